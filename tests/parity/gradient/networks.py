"""The networks whose gradients are compared and timed: those of the paper, a U-Net, the families of torchvision.

All have random weights from a seed of their own, so that a network is the same in whatever selection it is made.
"""
import copy
import re

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch_models import UNet

# ONNX keeps attributes in single precision, in float64 models, too.
SLOPE = float(np.float32(0.2))


class BasicBlock(nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()
        self.first = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.shortcut = nn.Identity() if before == channels and stride == 1 else nn.Conv2d(before, channels, 1, stride, bias=False)

    def forward(self, x):
        return F.leaky_relu(self.second(F.leaky_relu(self.first(x), SLOPE)) + self.shortcut(x), SLOPE)


class SelfAttention(nn.Module):
    """As in SAGAN: keys, queries and values of an eighth of the channels, no division by a root, a gain."""

    def __init__(self, channels):
        super().__init__()
        self.key, self.query, self.value = (nn.Conv2d(channels, channels // 8, 1, bias=False) for _ in range(3))
        self.out = nn.Conv2d(channels // 8, channels, 1, bias=False)
        self.gain = nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        n, _, h, w = x.shape
        keys, queries, values = (layer(x).flatten(2) for layer in (self.key, self.query, self.value))
        weights = torch.softmax(queries.transpose(1, 2) @ keys, -1)
        return x + self.gain * self.out((values @ weights.transpose(1, 2)).reshape(n, -1, h, w))


class Estimator(nn.Module):
    """Blocks of (channels, stride), "attention" between them, global average, one number."""

    def __init__(self, channels, blocks):
        super().__init__()
        layers, width = [nn.Conv2d(3, channels, 3, 1, 1, bias=False), nn.LeakyReLU(SLOPE)], channels
        for block in blocks:
            if block == "attention":
                layers.append(SelfAttention(width))
            else:
                layers.append(BasicBlock(width, *block))
                width = block[0]
        self.features, self.head = nn.Sequential(*layers), nn.Linear(width, 1)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3))).squeeze(1)


class RoundedHardsigmoid(nn.Module):
    """With the slope that ONNX's attribute keeps in single precision."""

    def forward(self, x):
        return (x * float(np.float32(1 / 6)) + 0.5).clamp(0, 1)


class RoundedHardswish(RoundedHardsigmoid):
    def forward(self, x):
        return x * super().forward(x)


def mlp():
    return nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(SLOPE), *[m for _ in range(3) for m in (nn.Linear(64, 64), nn.LeakyReLU(SLOPE))], nn.Linear(64, 1), nn.Flatten(0))


DEEP = [(256, 2), (256, 1)] * 2
# Name → how it is made, the shape of a sample. The "small" ones stand for their family in the tests.
PAPER = {
    "mlp": (mlp, (2,)),
    "small resnet with self-attention": (lambda: Estimator(16, [(16, 1), (32, 2), "attention", (32, 1)]), (3, 16, 16)),
    "resnet32": (lambda: Estimator(128, [(128, 1)] * 3 + [(256, 2), (256, 1), (256, 1)] * 3), (3, 32, 32)),
    "resnet64": (lambda: Estimator(64, [(64, 2), (128, 2), (128, 1), *DEEP]), (3, 64, 64)),
    "resnet128": (lambda: Estimator(64, [(64, 2), (128, 2), (128, 2), (128, 1), *DEEP]), (3, 128, 128)),
    "resnet64-shallow": (lambda: Estimator(64, [(64, 2), (128, 2), "attention", (128, 2), (256, 2)]), (3, 64, 64)),
    "resnet64-shallow with spectral normalisation": (lambda: spectral(Estimator(64, [(64, 2), (128, 2), "attention", (128, 2), (256, 2)])), (3, 64, 64)),
    "resnet128 with self-attention": (lambda: Estimator(64, [(64, 2), (128, 2), "attention", (128, 2), (128, 1), *DEEP]), (3, 128, 128)),
    "U-Net": (lambda: UNet(16), (3, 32, 32)),
}
# Extents: the smallest at which a network's own layers still have something to do, and both exporters know its pooling.
FAMILIES = {
    "alexnet": 224, "resnet18": 64, "resnet50": 64, "resnext50_32x4d": 64, "vgg11": 224, "vgg11_bn": 224, "densenet121": 64, "mobilenet_v2": 64, "mobilenet_v3_small": 64, "mobilenet_v3_large": 64,
    "efficientnet_b0": 64, "efficientnet_v2_s": 64, "convnext_tiny": 64, "inception_v3": 96, "googlenet": 64, "shufflenet_v2_x0_5": 64, "shufflenet_v2_x1_0": 64, "squeezenet1_0": 64, "squeezenet1_1": 64,
    "mnasnet0_5": 64, "regnet_x_400mf": 64, "regnet_y_400mf": 64, "vit_b_16": 64, "vit_b_32": 64, "swin_t": 64, "swin_v2_t": 64,
}


def spectral(model):
    """Spectral normalisation on every layer, after enough power iterations to have converged."""
    for module in list(model.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.utils.parametrizations.spectral_norm(module, n_power_iterations=50)
    return model


def torchvision_network(name, extent):
    from torchvision import models
    # The initialisation of their own lets signals fade until pools choose among rounding errors.
    options = {"init_weights": False, "transform_input": False} if name in ("inception_v3", "googlenet") else {}
    if name.startswith("vit"):
        options["image_size"] = extent
    return getattr(models, name)(weights=None, **options)


CASES = PAPER | {name: (lambda name=name, extent=extent: torchvision_network(name, extent), (3, extent, extent)) for name, extent in FAMILIES.items()}


def networks(pattern, dtype=torch.float64, skip=()):
    """Yields name, network and shape of a sample of those whose whole name matches, but those to skip."""
    for name, (make, shape) in CASES.items():
        if re.fullmatch(pattern, name) and name not in skip:
            torch.manual_seed(0)
            yield name, prepared(make(), dtype), shape


def prepared(model, dtype):
    model = model.to(dtype).eval()
    torch.manual_seed(1)
    # What starts at zero, or nearly so, would hide the layers before it: heads of ViT, scales of ConvNeXt.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_scale" in name or float(parameter.abs().max()) == 0:
                parameter.normal_(0, 0.5)
    for module in model.modules():
        if isinstance(getattr(module, "eps", None), float):
            module.eps = float(np.float32(module.eps))
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    return model


def as_exported(model):
    """The network with the constants that exporters round to single precision, or None where there are none."""
    rounded = copy.deepcopy(model)
    replaced = 0
    for module in list(rounded.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, (nn.Hardswish, nn.Hardsigmoid)):
                setattr(module, name, RoundedHardswish() if isinstance(child, nn.Hardswish) else RoundedHardsigmoid())
                replaced += 1
    return rounded if replaced else None
