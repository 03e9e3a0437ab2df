"""Algorithm 1 of arXiv 2303.03714 in PyTorch: the losses of some iterations from given weights and random numbers.

One JSON line on stdin, {"folder": ..., "cases": [...]}, one line of losses per case on stdout. A case names its network,
pairing and settings; the folder holds <case>.<array>.npy: data [T, N, ...], x0 [T, N, ...], noise [T, K, N, ...], and
weights.<index> in the layout of TensorFlow ([in, out], [height, width, in, out]), whose names the case lists.
"""

import json
import os
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = [2, 64, 64, 64, 64]
        self.layers = nn.ModuleDict({f"hidden{i}": nn.Linear(sizes[i - 1], sizes[i]) for i in range(1, 5)})
        self.layers["head"] = nn.Linear(64, 1)

    def forward(self, x):
        for name, layer in self.layers.items():
            x = layer(x) if name == "head" else F.leaky_relu(layer(x), 0.2)
        return x[:, 0]


class Residual(nn.Module):
    """3x3 stem; blocks of given filters and strides; self-attention after some of them; global average pool; dense."""

    def __init__(self, channels, stem, blocks, attend_after=None, spectral=False):
        super().__init__()
        wrap = spectral_norm if spectral else lambda layer: layer
        self.blocks, self.attend_after = blocks, attend_after
        self.layers = nn.ModuleDict({"stem": wrap(nn.Conv2d(channels, stem, 3, 1, 1, bias=False)), "head": wrap(nn.Linear(blocks[-1][0], 1))})
        inputs = stem
        for i, (outputs, stride) in enumerate(blocks, 1):
            self.layers[f"block{i}_conv1"] = wrap(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False))
            self.layers[f"block{i}_conv2"] = wrap(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False))
            if stride != 1 or inputs != outputs:
                self.layers[f"block{i}_shortcut"] = wrap(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            if i == attend_after:
                for part in ("query", "key", "value"):
                    self.layers[f"attention_{part}"] = wrap(nn.Conv2d(outputs, max(1, outputs // 8), 1, bias=False))
                self.layers["attention_out"] = wrap(nn.Conv2d(max(1, outputs // 8), outputs, 1, bias=False))
                self.layers["attention_gain"] = Gain()
            inputs = outputs

    def attend(self, x):
        n, _, height, width = x.shape
        query, key, value = (self.layers[f"attention_{part}"](x).flatten(2) for part in ("query", "key", "value"))
        weights = torch.softmax(torch.einsum("ncj,nci->nji", query, key), dim=2)
        answer = torch.einsum("nji,nci->ncj", weights, value).reshape(n, -1, height, width)
        return x + self.layers["attention_gain"](self.layers["attention_out"](answer))

    def forward(self, x):
        x = F.leaky_relu(self.layers["stem"](x), 0.2)
        for i in range(1, len(self.blocks) + 1):
            y = F.leaky_relu(self.layers[f"block{i}_conv1"](x), 0.2)
            shortcut = f"block{i}_shortcut"
            x = F.leaky_relu(self.layers[f"block{i}_conv2"](y) + (self.layers[shortcut](x) if shortcut in self.layers else x), 0.2)
            if i == self.attend_after:
                x = self.attend(x)
        return self.layers["head"](x.mean((2, 3)))[:, 0]


class Gain(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.gain * x


NETWORKS = {
    "mlp": Mlp,
    "resnet28": lambda: Residual(1, 32, [(32, 2), (64, 2), (64, 1), (64, 2)]),
    # A quarter of the filters of resnet64-shallow.
    "shallow": lambda: Residual(1, 16, [(16, 2), (32, 2), (32, 2), (64, 2)], attend_after=2, spectral=True),
}
POTENTIALS = {
    "lsif-chi2": lambda n: 2 * n,
    "lr-kl": lambda n: n,
    "lr-js": F.logsigmoid,
    "lr-logd": lambda n: -F.logsigmoid(-n),
}


def loss_of(pairing, on_data, on_samples):
    if pairing == "lsif-chi2":
        return (on_data**2).mean() / 2 - on_samples.mean()
    return -F.logsigmoid(-on_data).mean() - F.logsigmoid(on_samples).mean()


def flow(network, pairing, x, noise, eta, nu):
    """x_{k+1} = x_k - eta grad f'(r(x_k)) + nu xi_k, for every xi_k of `noise`."""
    for xi in noise:
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(POTENTIALS[pairing](network(x)).sum(), x)
        x = x.detach() - eta * gradient + nu * xi
    return x


def load_weights(network, arrays):
    with torch.no_grad():
        for name, array in arrays.items():
            layer, part = name.split("/")
            module = network.layers[layer]
            if part == "spectral_v":
                # Ours follows the kernel's [height, width, in], PyTorch's [in, height, width].
                size = getattr(module, "kernel_size", None)
                array = array.reshape(*size, -1).transpose(2, 0, 1).reshape(-1) if size else array
            axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
            weight = "weight_orig" if hasattr(module, "weight_orig") else "weight"
            target = getattr(module, {"kernel": weight, "spectral_u": "weight_u", "spectral_v": "weight_v"}.get(part, part))
            target.copy_(torch.from_numpy(np.ascontiguousarray(array.transpose(axes))))


def main():
    torch.set_num_threads(1)
    request = json.loads(sys.stdin.readline())
    read = lambda case, array: np.load(os.path.join(request["folder"], f"{case['name']}.{array}.npy"))
    for case in request["cases"]:
        network = NETWORKS[case["network"]]()
        load_weights(network, {name: read(case, f"weights.{i}") for i, name in enumerate(case["weights"])})
        data, x0, noise = (torch.from_numpy(read(case, array)) for array in ("data", "x0", "noise"))
        optimizer = torch.optim.Adam(network.parameters(), lr=case["learningRate"], betas=(0.9, 0.999))
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, case["decayAt"], 0.1)
        losses = []
        for t in range(len(data)):
            # Spectral norms move in learning only, once per iteration: both batches go through the network together.
            network.eval()
            samples = flow(network, case["pairing"], x0[t], noise[t], case["eta"], case["nu"])
            network.train()
            loss = loss_of(case["pairing"], *network(torch.cat([data[t], samples])).chunk(2))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(json.dumps(losses), flush=True)


if __name__ == "__main__":
    main()
