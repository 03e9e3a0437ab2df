"""Turns a checkpoint of the official FDRL code (clear-nus/fdrl) into an ONNX estimator that `ratioflow import` takes.

usage: python fdrl_to_onnx.py CHECKPOINT.pt -o estimator.onnx [--live] [--opset 18]

Needs torch and onnx. The checkpoint is read as data alone (nothing in it is executed). The averaged weights are taken
unless --live; the spectral norm is the converged one, the largest singular value, and stands in the weights. Prints the
command that makes the bundle, with the checkpoint's own pairing, eta, nu and number of steps.
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import leaky_relu

# Loss of the density ratio, divergence of the flow: the pairing's name. The loss does not matter any more once trained,
# but it says what the network's output is.
PAIRINGS = {
    ("LSIF", "Pearson"): "lsif-chi2",
    **{(loss, divergence): pairing for loss in ("LR", "KL") for divergence, pairing in (("KL", "lr-kl"), ("JS", "lr-js"), ("logD", "lr-logd"))},
}

# Stages of the residual networks: name in the checkpoint, channels, blocks, stride of the first.
STAGES = {
    (32, "resnet"): (128, [("layer1", 128, 3, 1), ("layer2", 256, 3, 2), ("layer3", 256, 3, 2), ("layer4", 256, 3, 2)]),
    (64, "resnet"): (64, [("layer1", 64, 1, 2), ("layer2", 128, 2, 2), ("layer3", 256, 2, 2), ("layer4", 256, 2, 2)]),
    (64, "resnetshallow"): (64, [("layer1", 64, 1, 2), ("layer2", 128, 1, 2), ("layer3", 128, 1, 2), ("layer4", 256, 1, 2)]),
    (128, "resnet"): (64, [("layer1", 64, 1, 2), ("layer2", 128, 1, 2), ("layer3", 128, 2, 2), ("layer4", 256, 2, 2), ("layer5", 256, 2, 2)]),
}


class CheckpointError(Exception):
    pass


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        changes = stride != 1 or before != after
        self.shortcut_conv = nn.Conv2d(before, after, 1, stride, bias=False) if changes else nn.Identity()

    def forward(self, x):
        return leaky_relu(self.conv2(leaky_relu(self.conv1(x), 0.2)) + self.shortcut_conv(x), 0.2)


class Attention(nn.Module):
    """Self-attention over positions as the official code has it: values of C/8 channels, softmax over the keys."""

    def __init__(self, channels):
        super().__init__()
        self.key, self.query, self.value = (nn.Conv2d(channels, channels // 8, 1) for _ in range(3))
        self.self_att = nn.Conv2d(channels // 8, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        key, query, value = (part(x).flatten(2) for part in (self.key, self.query, self.value))
        weights = (key.transpose(1, 2) @ query).softmax(1)
        return x + self.gamma * self.self_att((value @ weights).unflatten(2, x.shape[2:]))


class ResNet(nn.Module):
    def __init__(self, size, name, attention):
        super().__init__()
        width, stages = STAGES[size, name]
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.order = []
        attended = not attention
        for stage, after, blocks, stride in stages:
            self.add_module(stage, nn.Sequential(*(Block(width if i == 0 else after, after, stride if i == 0 else 1) for i in range(blocks))))
            self.order.append(stage)
            width = after
            if width == 128 and not attended:
                # Once, after the first stage of 128 channels.
                self.self_attn_module, attended = Attention(width), True
                self.order.append("self_attn_module")
        self.linear = nn.Linear(width, 1)

    def forward(self, x):
        x = leaky_relu(self.conv1(x), 0.2)
        for stage in self.order:
            x = getattr(self, stage)(x)
        return self.linear(x.mean((2, 3))).squeeze(-1)


class Mlp(nn.Module):
    def __init__(self, dimensions, width, hidden):
        super().__init__()
        sizes = [dimensions] + [width] * (hidden + 1)
        layers = [part for before, after in zip(sizes, sizes[1:]) for part in (nn.Linear(before, after), nn.LeakyReLU(0.2))]
        self.mlp = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, x):
        return self.mlp(x).squeeze(-1)


def network_of(config):
    """The network that a configuration describes, and the shape of its samples."""
    try:
        if "img_size" not in config:
            return Mlp(config["in_dim"], config["hidden_dim"], config["n_hidden_layers"]), (config["in_dim"],)
        size = config["img_size"]
        # The official code looks at the name at 64 x 64 only.
        name = config.get("model", "resnet") if size == 64 else "resnet"
        if (size, name) not in STAGES:
            raise CheckpointError(f"the configuration wants the model {name!r} for {size} x {size}; known are {sorted(STAGES)}")
        return ResNet(size, name, config.get("self_attn", False)), (3, size, size)
    except KeyError as missing:
        raise CheckpointError(f"the configuration lacks {missing}: is this a checkpoint of FDRL?") from None


def plain_weights(state):
    """Weights under their plain names: without `module.`, spectral norms divided out."""
    state = {name.removeprefix("module."): value for name, value in state.items()}
    weights = {}
    for name, value in state.items():
        if name.endswith(("weight_u", "weight_v")):
            continue
        if name.endswith("weight_orig"):
            # Averaged u and v are no unit vectors, and those of the live network are one step behind: neither is asked.
            sigma = torch.linalg.matrix_norm(value.double().flatten(1), 2)
            name, value = name.removesuffix("_orig"), (value.double() / sigma).float()
        weights[name] = value.float()
    return weights


def read_checkpoint(path, live=False):
    """The network of a checkpoint with its weights, the shape of its samples, and its configuration."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as cause:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {str(cause).splitlines()[0]}") from cause
    if not isinstance(checkpoint, dict) or "config" not in checkpoint or "model" not in checkpoint:
        raise CheckpointError(f"{path} holds no dictionary with config and model: is this a checkpoint of FDRL?")
    config = checkpoint["config"]
    averaged = not live and config.get("ema", False)
    if averaged and not checkpoint.get("ema"):
        raise CheckpointError(f"{path} lacks the averaged weights (ema) that its configuration promises; --live takes the others")
    network, shape = network_of(config)
    weights = plain_weights(checkpoint["ema" if averaged else "model"])
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != found:
        different = [f"{name}: {found.get(name, 'missing')} instead of {expected.get(name, 'nothing')}" for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]
        raise CheckpointError(f"{path} does not fit its configuration: {'; '.join(different[:5])}")
    bad = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(f"{path}: the weights {', '.join(bad[:5])} are not finite: training had diverged")
    network.load_state_dict(weights)
    return network.eval(), shape, config


def write_estimator(network, shape, path, opset=18):
    """x [N, ...] -> n [N] as ONNX, there whole or not at all."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.onnx.export(network, (torch.zeros(2, *shape),), str(temporary), opset_version=opset, dynamo=False,
                          input_names=["x"], output_names=["n"], dynamic_axes={"x": {0: "N"}, "n": {0: "N"}})
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def import_command(path, config):
    """The command that makes the bundle; what the checkpoint does not say is left to be filled in."""
    pairing = PAIRINGS.get((config.get("loss_function"), config.get("f_divergence")), "PAIRING")
    prior, refine = ("gaussian", 0) if "img_size" not in config else ("source", 10) if config.get("dataset") == "cat2dog" else ("ddp --data IMAGES", 20)
    return (f"ratioflow import {shlex.quote(str(path))} -o BUNDLE --pairing {pairing} --eta {config.get('eta', 'ETA')} "
            f"--nu {config.get('noise_factor', 'NU')} --steps {config.get('n_flow_steps', 'K')} --refine {refine} --prior {prior}")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("-o", "--out", required=True, help="the ONNX estimator")
    parser.add_argument("--live", action="store_true", help="the weights of the last iteration instead of the averaged ones")
    parser.add_argument("--opset", type=int, default=18)
    given = parser.parse_args(arguments)
    try:
        network, shape, config = read_checkpoint(given.checkpoint, given.live)
        write_estimator(network, shape, given.out, given.opset)
    except (CheckpointError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{given.out}: x [N, {', '.join(map(str, shape))}] -> n [N]; make the bundle with")
    print(f"  {import_command(given.out, config)}")


if __name__ == "__main__":
    main()
