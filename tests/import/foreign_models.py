"""Writes estimators as other people export them, and PyTorch's own answers, for import.test.ts.

usage: foreign_models.py FOLDER; prints a JSON list of {"name", "file", "options", "x", "n", "gradient"}: the paths of a
model, of inputs [5, ...] as ratioflow has them (channels first), and of the network's output and input gradient.
"""

import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import gelu, leaky_relu

logging.disable(logging.WARNING)
warnings.filterwarnings("ignore")
torch.manual_seed(2303)
torch.set_num_threads(1)
folder = Path(sys.argv[1])
cases = []


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False) if stride > 1 or before != after else nn.Identity()

    def forward(self, x):
        return leaky_relu(self.second(leaky_relu(self.first(x), 0.2)) + self.shortcut(x), 0.2)


class ResNet(nn.Module):
    """The shape of METHOD's resnet32, narrow so that tests are quick: view() keeps the batch extent in shape arithmetic."""

    def __init__(self, width=8, head=1):
        super().__init__()
        w = width
        stages = [Block(w, w, 1), Block(w, w, 1), Block(w, 2 * w, 2), Block(2 * w, 2 * w, 1), Block(2 * w, 2 * w, 2)]
        self.stem = nn.Conv2d(3, w, 3, 1, 1, bias=False)
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(2 * w, head)

    def forward(self, x):
        y = self.pool(self.stages(leaky_relu(self.stem(x), 0.2)))
        return self.head(y.view(y.size(0), -1))


class Attentive(nn.Module):
    """Group normalisation, GELU, layer normalisation and attention, whose reshapes carry the batch extent in several ways."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.norm = nn.GroupNorm(4, 16)
        self.inner = nn.LayerNorm(16)
        self.qkv = nn.Linear(16, 48)
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        y = gelu(self.norm(self.stem(x)))
        n, c, h, w = y.shape
        tokens = self.inner(y.flatten(2).transpose(1, 2))
        q, k, v = self.qkv(tokens).reshape(n, h * w, 3, 2, 8).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / 8**0.5).softmax(-1)
        tokens = tokens + (weights @ v).transpose(1, 2).reshape(n, h * w, c)
        return self.head(tokens.mean(1)).squeeze(-1)


class ChannelsLast(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x.permute(0, 3, 1, 2))


class Mlp(nn.Sequential):
    def __init__(self, dim):
        super().__init__(nn.Linear(dim, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))


def write(name, network, shape, *, opset=18, batch="N", exporter="script", dtype=torch.float32, layout=None, options=None):
    network = network.eval().to(torch.float32)
    x = 0.7 * torch.randn(5, *shape)
    leaf = x.clone().requires_grad_()
    seen = leaf.permute(0, 2, 3, 1) if layout == "nhwc" else leaf
    n = network(seen).reshape(-1)
    (gradient,) = torch.autograd.grad(n.sum(), leaf)
    for part, value in {"x": x, "n": n, "gradient": gradient}.items():
        np.save(folder / f"{name}.{part}.npy", value.detach().numpy())
    network = network.to(dtype)
    count = batch if isinstance(batch, int) else 2
    example = torch.randn(count, *shape, dtype=dtype)
    if layout == "nhwc":
        example = example.permute(0, 2, 3, 1)
    file = folder / f"{name}.onnx"
    free = not isinstance(batch, int)
    if exporter == "script":
        axes = {"dynamic_axes": {"x": {0: batch}, "n": {0: batch}}} if free else {}
        torch.onnx.export(network, (example,), str(file), opset_version=opset, dynamo=False, input_names=["x"], output_names=["n"], **axes)
    else:
        shapes = {"dynamic_shapes": ({0: torch.export.Dim(batch)},)} if free else {}
        torch.onnx.export(network, (example,), str(file), opset_version=opset, dynamo=True, verbose=False, input_names=["x"], output_names=["n"], **shapes)
    network.to(torch.float32)
    paths = {part: f"{name}.{part}.npy" for part in ("x", "n", "gradient")}
    cases.append({"name": name, "file": f"{name}.onnx", "options": options or {}, **paths})


image = (3, 8, 8)
resnet = ResNet()
for opset in (13, 16, 18, 20):
    write(f"resnet, TorchScript exporter, opset {opset}", resnet, image, opset=opset, batch="batch_size")
for opset in (18, 20):
    write(f"resnet, torch.export exporter, opset {opset}", resnet, image, opset=opset, exporter="dynamo")
attentive = Attentive()
for opset in (14, 20):
    write(f"attention, TorchScript exporter, opset {opset}", attentive, image, opset=opset)
for opset in (18, 21, 23):
    write(f"attention, torch.export exporter, opset {opset}", attentive, image, opset=opset, exporter="dynamo")
for count in (1, 4):
    write(f"resnet, fixed batch of {count}, TorchScript exporter", resnet, image, opset=13, batch=count)
    write(f"resnet, fixed batch of {count}, torch.export exporter", resnet, image, batch=count, exporter="dynamo")
    write(f"attention, fixed batch of {count}, TorchScript exporter", attentive, image, opset=17, batch=count)
    write(f"attention, fixed batch of {count}, torch.export exporter", attentive, image, batch=count, exporter="dynamo")
write("resnet in float16", resnet, image, dtype=torch.float16)
write("attention in float16, torch.export exporter", attentive, image, dtype=torch.float16, exporter="dynamo")
write("resnet in float64", resnet, image, dtype=torch.float64)
write("resnet, channels last", ChannelsLast(resnet), image, layout="nhwc", options={"layout": "nhwc"})
write("points", Mlp(2), (2,), opset=17)
write("points, fixed batch of 1", Mlp(7), (7,), batch=1)
print(json.dumps(cases))
