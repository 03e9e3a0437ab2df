"""Classifiers as PyTorch exports them, and what its autograd says of them in float64: ∇ log p(y|x) of samples [N, 1, 8, 8] or
[N, 3, 8, 8] in [-1, 1] through resizing, channels and normalisation, and a whole guided flow next to a pair of Gaussians whose
drift is known. usage: classifiers.py FOLDER; prints the names of the cases as JSON."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate, log_softmax

warnings.filterwarnings("ignore")
folder = Path(sys.argv[1])
torch.manual_seed(5)


def network(channels, classes, head=()):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, stride=2, padding=1), nn.SiLU(), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.LazyLinear(classes), *head)


# name: channels of the samples; channels, size, exporter, what the classifier ends in, options of the guide
cases = {
    "same": dict(samples=3, channels=3, size=(8, 8), dynamo=False, head=(), guide={}),
    "grey-to-rgb": dict(samples=1, channels=3, size=(13, 11), dynamo=True, head=(), guide=dict(mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.25])),
    "smaller": dict(samples=1, channels=1, size=(5, 6), dynamo=False, head=(), guide=dict(inputRange=[-1, 1])),
    "single-pixels": dict(samples=1, channels=1, size=(5, 6), dynamo=True, head=(), guide=dict(inputRange=[0, 255], mean=[100], std=[70], antialias=False)),
    "probabilities": dict(samples=3, channels=3, size=(8, 8), dynamo=True, head=(nn.Softmax(dim=1),), guide=dict(kind="probabilities")),
    "log-probabilities": dict(samples=1, channels=1, size=(8, 8), dynamo=False, head=(nn.LogSoftmax(dim=-1),), guide={}),
    # Probabilities that are made by no softmax: their logarithm is differentiated.
    "mixed-probabilities": dict(samples=1, channels=1, size=(8, 8), dynamo=False, head=(nn.Softmax(dim=1), nn.Hardtanh(1e-4, 1)), guide=dict(kind="probabilities")),
}

spread, eta, nu, phi, steps = 0.5, 0.1, 0.02, 0.7, 6


def drift(x):
    """Of q = N(0, 1), p = N(m, spread²), pairing LR-KL, m rising from -0.8 to 0.8 along the elements."""
    elements = x[0].numel()
    mean = (-0.8 + 1.6 * torch.arange(elements, dtype=torch.float64) / (elements - 1)).float().double().reshape(x.shape[1:])
    return x - (x - mean) / spread**2


def guidance(model, case, x, y):
    """∇ log p(y|x); zero where y is -1."""
    x = x.detach().requires_grad_()
    guide = case["guide"]
    low, high = guide.get("inputRange", [0, 1])
    image = (x + 1) / 2 * (high - low) + low
    if case["size"] != (8, 8):
        image = interpolate(image, case["size"], mode="bilinear", antialias=guide.get("antialias", True))
    image = image.expand(-1, case["channels"], -1, -1)
    shape = (1, -1, 1, 1)
    image = (image - torch.tensor(guide.get("mean", [0.0]), dtype=torch.float64).reshape(shape)) / torch.tensor(guide.get("std", [1.0]), dtype=torch.float64).reshape(shape)
    out = model(image)
    logs = out.log() if guide.get("kind") == "probabilities" else log_softmax(out, 1)
    chosen = y >= 0
    logs[chosen, y[chosen]].sum().backward()
    return x.grad


for name, case in cases.items():
    model = network(case["channels"], 7, case["head"]).eval()
    image = torch.randn(2, case["channels"], *case["size"])
    model(image)
    for parameter in model.parameters():
        parameter.data *= 1.5
    path = folder / name
    path.mkdir()
    if case["dynamo"]:
        torch.onnx.export(model, (image,), path / "classifier.onnx", dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False)
    else:
        torch.onnx.export(model, (image,), path / "classifier.onnx", dynamo=False, input_names=["image"], output_names=["scores"], dynamic_axes={"image": {0: "n"}}, opset_version=15)
    model = model.double()
    count = 5
    x = torch.randn(count, case["samples"], 8, 8)
    y = torch.tensor([3, 0, -1, 6, 3])
    noise = torch.randn(steps, *x.shape)
    gradient = guidance(model, case, x.double(), y)
    state = x.double()
    for k in range(steps):
        state = state + eta * (drift(state) + phi * guidance(model, case, state, y)) + nu * noise[k].double()
    for key, value in dict(x=x, noise=noise, gradient=gradient.float(), drift=drift(x.double()).float(), flow=state.float(), y=y).items():
        np.save(path / f"{key}.npy", value.numpy())
print(json.dumps({name: {"samples": case["samples"], "guide": case["guide"], "dynamo": case["dynamo"]} for name, case in cases.items()}))
