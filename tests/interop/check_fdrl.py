"""Makes checkpoints as the official FDRL code saves them (same dictionary, same names; the networks written anew with
torch's own spectral_norm), converts them with fdrl_to_onnx.py, and compares ONNX Runtime on the result with torch.

usage: check_fdrl.py FOLDER; prints one JSON object per case.
"""

import contextlib
import io
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu
from torch.nn.utils import spectral_norm

warnings.filterwarnings("ignore")
torch.manual_seed(11)
torch.set_num_threads(1)
folder = Path(sys.argv[1])
sys.path.insert(0, str(Path(__file__).parents[2] / "runtimes/python"))
import fdrl_to_onnx  # noqa: E402


def convert(*arguments):
    """Exit status, output and error of the script: in this process, since importing torch takes longer than all else."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            fdrl_to_onnx.main([str(argument) for argument in arguments])
    except SystemExit as ended:
        return 1, out.getvalue(), str(ended)
    return 0, out.getvalue(), ""


class Network(nn.Module):
    """Layers by their names in the checkpoint; `walk` says how they are applied."""

    def __init__(self, layers, walk, spectral):
        super().__init__()
        self.walk = walk
        for name, layer in layers.items():
            *path, last = name.split(".")
            place = self
            for part in path:
                if part not in place._modules:
                    place.add_module(part, nn.Module())
                place = place._modules[part]
            if isinstance(layer, nn.Parameter):
                place.register_parameter(last, layer)
            else:
                place.add_module(last, spectral_norm(layer) if spectral else layer)

    def forward(self, x):
        return self.walk(lambda name, value: self.get_submodule(name)(value), x, self)


def conv(a, b, size, stride=1, bias=False):
    return nn.Conv2d(a, b, size, stride, size // 2, bias=bias)


def shallow(attention):
    layers = {"conv1": conv(3, 64, 3), "linear": nn.Linear(256, 1)}
    widths = [64, 64, 128, 128, 256]
    for i in range(1, 5):
        a, b = widths[i - 1], widths[i]
        layers |= {f"layer{i}.0.conv1": conv(a, b, 3, 2), f"layer{i}.0.conv2": conv(b, b, 3), f"layer{i}.0.shortcut_conv": conv(a, b, 1, 2)}
    if attention:
        layers |= {f"self_attn_module.{part}": conv(128, 16, 1, bias=True) for part in ("key", "query", "value")}
        layers["self_attn_module.self_att"] = conv(16, 128, 1, bias=True)
        layers["self_attn_module.gamma"] = nn.Parameter(torch.tensor(0.7))

    def walk(apply, x, network):
        y = leaky_relu(apply("conv1", x), 0.2)
        for i in range(1, 5):
            inner = leaky_relu(apply(f"layer{i}.0.conv1", y), 0.2)
            y = leaky_relu(apply(f"layer{i}.0.conv2", inner) + apply(f"layer{i}.0.shortcut_conv", y), 0.2)
            if attention and i == 2:
                n, c, h, w = y.shape
                key, query, value = (apply(f"self_attn_module.{part}", y).reshape(n, -1, h * w) for part in ("key", "query", "value"))
                beta = torch.softmax(torch.einsum("nck,ncq->nkq", key, query), dim=1)
                mixed = torch.einsum("nck,nkq->ncq", value, beta).reshape(n, -1, h, w)
                y = network.self_attn_module.gamma * apply("self_attn_module.self_att", mixed) + y
        return apply("linear", adaptive_avg_pool2d(y, 1).flatten(1)).flatten()

    return layers, walk


def mlp(dimensions, width, hidden):
    sizes = [dimensions] + [width] * (hidden + 1) + [1]
    layers = {f"mlp.{2 * i}": nn.Linear(a, b) for i, (a, b) in enumerate(zip(sizes, sizes[1:]))}

    def walk(apply, x, network):
        for i in range(len(sizes) - 2):
            x = leaky_relu(apply(f"mlp.{2 * i}", x), 0.2)
        return apply(f"mlp.{2 * len(sizes) - 4}", x).flatten()

    return layers, walk


image = {"img_size": 64, "model": "resnetshallow", "eta": 3.0, "noise_factor": 0.01, "n_flow_steps": 100, "ema_rate": 0.998}
cases = {
    "attention, spectral norm, several GPUs, averaged": (shallow(True), (3, 64, 64), True, True, True, image | {"self_attn": True, "loss_function": "LSIF", "f_divergence": "Pearson", "dataset": "cat2dog"}),
    "plain, live weights": (shallow(False), (3, 64, 64), False, False, False, image | {"self_attn": False, "loss_function": "LR", "f_divergence": "logD", "dataset": "celeba"}),
    "points": (mlp(2, 64, 3), (2,), True, False, True, {"in_dim": 2, "hidden_dim": 64, "n_hidden_layers": 3, "loss_function": "LR", "f_divergence": "KL", "eta": 1.0, "noise_factor": 0.01, "n_flow_steps": 200, "dataset": "swissroll"}),
}
for name, ((layers, walk), shape, spectral, parallel, averaged, config) in cases.items():
    network = Network(layers, walk, spectral)
    x = torch.rand(4, *shape) * 2 - 1
    network.train()
    with torch.no_grad():
        # Weights of a size that training makes, and the norm's vectors as a long power iteration leaves them.
        for parameter in network.parameters():
            parameter.mul_(1.5)
        for layer in network.modules():
            if hasattr(layer, "weight_orig"):
                left, _, right = torch.linalg.svd(layer.weight_orig.flatten(1), full_matrices=False)
                layer.weight_u.copy_(left[:, 0])
                layer.weight_v.copy_(right[0])
    shadow = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        expected = network.double()(x.double()).numpy()
        network.float()
    if averaged:
        # Averages of unit vectors are shorter; the live weights are others.
        for key, value in shadow.items():
            if key.endswith(("weight_u", "weight_v")):
                value.mul_(0.5)
        for parameter in network.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    live = {("module." if parallel else "") + key: value for key, value in network.state_dict().items()}
    config = config | {"spectral_norm": spectral, "ema": averaged, "device": [0, 1] if parallel else "cpu"}
    file = folder / "checkpoint.pt"
    torch.save({"step": 99, "model": live, "optim": {"state": {}, "param_groups": []}, "ema": shadow if averaged else {}, "scheduler": {"last_epoch": 0}, "config": config}, file)
    out = folder / "estimator.onnx"
    status, printed, err = convert(file, "-o", out)
    result = {"name": name, "status": status, "out": printed, "err": err}
    if status == 0:
        (actual,) = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"]).run(None, {"x": x.numpy()})
        result["difference"] = float(np.abs(actual - expected).max() / np.abs(expected).max())
        result["shape"] = list(actual.shape)
    print(json.dumps(result))

broken = torch.load(file, weights_only=True)


def refusal(name, checkpoint):
    torch.save(checkpoint, file)
    status, _, err = convert(file, "-o", folder / "refused.onnx")
    print(json.dumps({"name": name, "status": status, "err": err, "written": (folder / "refused.onnx").exists()}))


refusal("no checkpoint", {"weights": torch.zeros(2)})
refusal("no averaged weights", broken | {"ema": {}})
refusal("another width", broken | {"config": broken["config"] | {"hidden_dim": 32}})
refusal("an unknown size", broken | {"config": {"img_size": 48, "ema": False}})
diverged = {key: torch.full_like(value, float("nan")) if key == "mlp.0.bias" else value for key, value in broken["ema"].items()}
refusal("weights that are no numbers", broken | {"ema": diverged})
