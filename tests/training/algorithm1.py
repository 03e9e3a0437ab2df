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


class Resnet28(nn.Module):
    """Stem 32; Block 32 s2; Block 64 s2; Block 64; Block 64 s2; global average pool; dense."""

    blocks = [(32, 32, 2), (32, 64, 2), (64, 64, 1), (64, 64, 2)]

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({"stem": nn.Conv2d(1, 32, 3, 1, 1, bias=False), "head": nn.Linear(64, 1)})
        for i, (inputs, outputs, stride) in enumerate(self.blocks, 1):
            self.layers[f"block{i}_conv1"] = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.layers[f"block{i}_conv2"] = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            if stride != 1 or inputs != outputs:
                self.layers[f"block{i}_shortcut"] = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        x = F.leaky_relu(self.layers["stem"](x), 0.2)
        for i in range(1, 5):
            y = F.leaky_relu(self.layers[f"block{i}_conv1"](x), 0.2)
            shortcut = f"block{i}_shortcut"
            x = F.leaky_relu(self.layers[f"block{i}_conv2"](y) + (self.layers[shortcut](x) if shortcut in self.layers else x), 0.2)
        return self.layers["head"](x.mean((2, 3)))[:, 0]


NETWORKS = {"mlp": Mlp, "resnet28": Resnet28}
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
            axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
            target = getattr(network.layers[layer], "bias" if part == "bias" else "weight")
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
            samples = flow(network, case["pairing"], x0[t], noise[t], case["eta"], case["nu"])
            loss = loss_of(case["pairing"], network(data[t]), network(samples))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(json.dumps(losses), flush=True)


if __name__ == "__main__":
    main()
