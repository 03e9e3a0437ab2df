"""Blocks as people write them, and random stacks of layers: what `gradient` meets beside the operators one by one."""
import random

import torch
from torch import nn
from torch.nn import functional as F


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, x):
        return self.function(x, *self.layers)


class Last(nn.Module):
    """The sequence that a recurrent layer makes, and its last state."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        y, state = self.layer(x)
        h = state[0] if isinstance(state, tuple) else state
        return y.mean(1) + h.sum(0).repeat(1, y.shape[-1] // h.shape[-1])


class LayerScale(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma, self.norm, self.mlp = nn.Parameter(torch.rand(width)), nn.LayerNorm(width), nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        return x + self.gamma * self.mlp(self.norm(x))


class SwiGLU(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.up, self.down = nn.RMSNorm(width), nn.Linear(width, 4 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        a, b = self.up(self.norm(x)).chunk(2, -1)
        return x + self.down(F.silu(a) * b)


def rotary(x):
    """Rotary position embedding of [N, T, D] by interleaved pairs, then attention of one head."""
    steps, width = x.shape[1], x.shape[2]
    angle = torch.arange(steps, dtype=x.dtype)[:, None] * (100.0 ** (-torch.arange(0, width, 2, dtype=x.dtype) / width))
    a, b = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()), -1).flatten(-2)
    return torch.softmax(turned @ turned.transpose(1, 2) / width ** 0.5, -1) @ x


def linear_attention(x):
    q, k = F.elu(x) + 1, F.elu(x.flip(1)) + 1
    return torch.einsum("btd,bde->bte", q, torch.einsum("btd,bte->bde", k, x)) / torch.einsum("btd,bd->bt", q, k.sum(1)).unsqueeze(-1)


def causal(x):
    score = torch.einsum("bqd,bkd->bqk", x, x)
    return torch.einsum("bqk,bkd->bqd", score.masked_fill(torch.ones(x.shape[1], x.shape[1]).triu(1).bool(), float("-inf")).softmax(-1), x)


def scattered(x):
    index = torch.tensor([3, 0, -1, 2]).remainder(5)
    return torch.zeros(x.shape[0], 5, x.shape[2], dtype=x.dtype).index_add(1, index, x[:, :4]) ** 2 + x[:, [-1, -2, 0, 0, 1]]


def patches(x):
    """Space to depth by slices, as detectors begin."""
    return torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)


def blurred(x):
    kernel = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), (kernel[:, None] * kernel / 16).repeat(x.shape[1], 1, 1, 1), stride=2, groups=x.shape[1])


def normalized_kernel(x, layer):
    weight = layer.weight
    weight = (weight - weight.mean((1, 2, 3), keepdim=True)) / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
    return F.conv2d(x, weight, layer.bias, padding=1)


image, volume, line, sequence = (4, 12, 10), (2, 6, 5, 4), (4, 15), (6, 8)


def blocks():
    """Yields name, module, shape of a sample."""
    for name, function, shape in [
        ("rotary embedding", rotary, sequence), ("linear attention", linear_attention, sequence), ("causal attention", causal, sequence), ("scattered and gathered", scattered, sequence),
        ("patches by slices", patches, image), ("blur pool", blurred, image), ("gated linear unit", lambda x: F.glu(x, 1), image), ("squared relu", lambda x: F.relu(x) ** 2, image),
        ("mean and variance", lambda x: (x - x.mean((2, 3), keepdim=True)) * torch.rsqrt(x.var((2, 3), keepdim=True, unbiased=False) + 1e-3), image),
        ("generalised mean pool", lambda x: F.adaptive_avg_pool2d(x.clamp(min=1e-3) ** 3, 1) ** (1 / 3), image), ("log sum exp pool", lambda x: torch.logsumexp(x.flatten(2), -1), image),
        ("adaptive average 3 5", lambda x: F.adaptive_avg_pool2d(x, (3, 5)), image), ("adaptive maximum 3 5", lambda x: F.adaptive_max_pool2d(x, (3, 5)), image), ("adaptive 1-D", lambda x: F.adaptive_avg_pool1d(x, 5), line),
        ("bicubic with corners", lambda x: F.interpolate(x, size=(17, 7), mode="bicubic", align_corners=True) ** 2, image), ("bilinear with corners", lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear", align_corners=True) ** 2, image),
        ("bilinear down", lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear") ** 2, image), ("trilinear", lambda x: F.interpolate(x, scale_factor=2, mode="trilinear") ** 2, volume), ("nearest exact", lambda x: F.interpolate(x, size=(7, 13), mode="nearest-exact") ** 2, image),
        ("area", lambda x: F.interpolate(x, size=(6, 5), mode="area") ** 2, image), ("fold", lambda x: F.fold(F.unfold(x, 3, padding=1, stride=2) ** 2, (12, 10), 3, padding=1, stride=2), image),
        ("movedim and matmul", lambda x: torch.matmul(x.movedim(1, -1), torch.ones(4, 3, dtype=x.dtype).cumsum(0)), image), ("outer softmax", lambda x: torch.softmax(x[:, :, None] - x[:, None], 2).sum(-1), line),
        ("diagonal", lambda x: torch.diagonal(x[:, :, :10], dim1=2, dim2=3) ** 2, image), ("triu indices", lambda x: (x[:, :, None] * x[:, None])[:, torch.triu_indices(4, 4)[0], torch.triu_indices(4, 4)[1]], line),
        ("sorted by another", lambda x: torch.gather(x, 2, torch.argsort(x[:, :1].expand_as(x), 2)) * x, line), ("cumulative product", lambda x: torch.cumprod(1 + 0.1 * x, 1), line), ("cumulative maximum", lambda x: torch.cummax(x, 2)[0], line),
        ("logcumsumexp", lambda x: torch.logcumsumexp(x, 2), line), ("pairwise distance", lambda x: torch.cdist(x[:, :, :4], x[:, :, 5:9]), line), ("norm of differences", lambda x: (x[:, 1:] - x[:, :-1]).norm(dim=2), line),
        ("complex magnitude", lambda x: (x[:, :2] ** 2 + x[:, 2:] ** 2 + 1e-6).sqrt(), line), ("where by shape", lambda x: x if x.shape[-1] > 3 else -x, line), ("clamped by tensor", lambda x: torch.clamp(x, -x.abs().mean(), x.abs().mean()), line),
        ("lerp and addcmul", lambda x: torch.lerp(x, x.flip(1), 0.3) + torch.addcmul(x, x, x, value=0.5), line), ("gelu by hand", lambda x: 0.5 * x * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x ** 3))), line),
        ("hinge and huber", lambda x: F.smooth_l1_loss(x, torch.zeros_like(x), reduction="none", beta=0.7) + F.relu(1 - x), line), ("angles", lambda x: torch.atan2(x[:, :2], x[:, 2:] + 3), line), ("sinc", lambda x: torch.sin(x) / (x + 4), line),
        ("bucket weights", lambda x: x * torch.tensor([0.5, 1.0, 2.0], dtype=x.dtype)[(x > 0).long() + (x > 1).long()], line), ("one-hot", lambda x: F.one_hot((x[:, :, 0] > 0).long(), 3).to(x.dtype) * x[:, :, :3], line),
        ("meshgrid", lambda x: torch.stack(torch.meshgrid(torch.linspace(-1, 1, 4, dtype=x.dtype), torch.linspace(-1, 1, 15, dtype=x.dtype), indexing="ij"))[0] * x, line), ("kronecker", lambda x: torch.einsum("bi,bj,bk->bijk", x[:, 0, :3], x[:, 1, :3], x[:, 2, :2]), line),
        ("trace", lambda x: torch.einsum("bcii->bc", x[:, :, :10]), image), ("batched einsum", lambda x: torch.einsum("bchw,bcHw->bhH", x, x), image), ("unbind and stack", lambda x: torch.stack([a * b for a, b in zip(x.unbind(1), x.flip(1).unbind(1))], 1), line),
        ("unequal split", lambda x: torch.cat([part.mean(1, keepdim=True) for part in x.split([1, 3], 1)], 1), line), ("select and narrow", lambda x: x.select(1, -1) * x.narrow(1, 1, 1).squeeze(1), line), ("masked mean", lambda x: (x * (x > 0)).sum(1) / ((x > 0).sum(1) + 1), line),
        ("nan to num", lambda x: torch.nan_to_num(x / (x.abs() + 1)), line), ("baddbmm", lambda x: torch.baddbmm(x[:, :, :4], x[:, :, 4:8], x[:, :, 8:12], alpha=0.5), line), ("softmin", lambda x: F.softmin(x, 2) * x, line), ("multi-margin", lambda x: (x - x.amax(2, keepdim=True)).exp().sum(2).log(), line),
        ("deep product", lambda x: (1 + 0.1 * x).prod(2), line), ("rrelu and celu", lambda x: F.rrelu(x) + F.celu(x, 0.5) + F.hardtanh(x, -0.3, 0.4) + F.logsigmoid(x) + F.threshold(x, 0.1, 2.0), line), ("std mean", lambda x: torch.std_mean(x, 2)[0] * torch.std_mean(x, 2)[1], line),
        ("double precision inside", lambda x: (x.double() ** 3).to(x.dtype), line), ("integers beside", lambda x: x * torch.arange(15) + x.shape[1], line), ("empty part", lambda x: torch.cat([x, x[:, :0]], 1) ** 2, line),
    ]:
        yield name, Function(lambda x, function=function: function(x)), shape
    for name, module, shape in [
        ("layer scale", LayerScale(8), sequence), ("SwiGLU", SwiGLU(8), sequence), ("standardised kernel", Function(normalized_kernel, nn.Conv2d(4, 6, 3)), image),
        ("grouped 3-D", nn.Sequential(nn.Conv3d(2, 4, 3, 2, 1, groups=2), nn.BatchNorm3d(4), nn.ELU(), nn.ConvTranspose3d(4, 2, 3, 2, 1, output_padding=(1, 0, 1))), volume),
        ("transposed 1-D", nn.ConvTranspose1d(4, 3, 5, 3, 2, output_padding=1), line), ("transposed dilated 1-D", nn.ConvTranspose1d(4, 3, 3, 2, 1, output_padding=1, dilation=2), line), ("causal 1-D", nn.Sequential(nn.ConstantPad1d((4, 0), 0.0), nn.Conv1d(4, 5, 3, dilation=2)), line),
        ("depthwise separable", nn.Sequential(nn.Conv2d(4, 8, 5, 2, 2, groups=4), nn.Conv2d(8, 3, 1), nn.Hardswish()), image), ("bilinear layer", Function(lambda x, layer: layer(x[:, 0], x[:, 1]), nn.Bilinear(15, 15, 4)), line),
        ("group norm in 1-D", nn.Sequential(nn.Conv1d(4, 6, 3), nn.GroupNorm(2, 6), nn.Mish()), line), ("instance norm in 3-D", nn.InstanceNorm3d(2, affine=True), volume), ("local response", nn.LocalResponseNorm(3, alpha=0.1, k=2.0), image),
        ("weight norm", nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 3, 3)), image), ("GRU", Last(nn.GRU(8, 5, 2, batch_first=True)), sequence), ("LSTM both ways", Last(nn.LSTM(8, 5, bidirectional=True, batch_first=True)), sequence),
        ("LSTM projected", Last(nn.LSTM(8, 5, batch_first=True)), sequence), ("RNN relu", Last(nn.RNN(8, 5, nonlinearity="relu", batch_first=True)), sequence), ("pixel shuffle", nn.Sequential(nn.Conv2d(4, 12, 1), nn.PixelShuffle(2), nn.PReLU(3)), image),
        ("channel attention", Function(lambda x, layer: x * torch.sigmoid(layer(x.mean((2, 3)).unsqueeze(1)).transpose(1, 2).unsqueeze(-1)), nn.Conv1d(1, 1, 3, padding=1)), image),
        ("decoder layer", Function(lambda x, layer: layer(x, x.flip(1)), nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)), sequence), ("embedding bag of weights", Function(lambda x, layer: torch.softmax(x, -1) @ layer.weight, nn.Embedding(8, 5)), sequence),
    ]:
        yield name, module, shape


def stacks(count):
    """Random stacks of convolutions, pools, norms and joins; every seed another one."""
    for seed in range(count):
        rng = random.Random(seed)
        torch.manual_seed(seed)
        yield f"stack {seed}", stack(rng), (3, rng.randint(9, 17), rng.randint(9, 17))


class Branches(nn.Module):
    def __init__(self, first, second, join):
        super().__init__()
        self.first, self.second, self.join = first, second, join

    def forward(self, x):
        a, b = self.first(x), self.second(x)
        return torch.cat((a, b), 1) if self.join == "cat" else a + b if self.join == "sum" else a * torch.sigmoid(b)


def stack(rng):
    layers, width = [], 3
    for _ in range(rng.randint(3, 6)):
        kind = rng.choice(["conv", "conv", "transposed", "pool", "norm", "activation", "branches", "resize", "pad"])
        out = rng.choice([2, 4, 6])
        if kind == "conv":
            kernel = rng.choice([1, 3, 5, (1, 3), (4, 2)])
            extent = max(kernel) if isinstance(kernel, tuple) else kernel
            groups = rng.choice([1, 1, 2]) if width % 2 == 0 and out % 2 == 0 else 1
            layers.append(nn.Conv2d(width, out, kernel, rng.choice([1, 1, 2, (2, 1)]), rng.randint(extent // 2, extent), rng.choice([1, 1, 2]) if extent == 3 else 1, groups, padding_mode=rng.choice(["zeros", "zeros", "zeros", "replicate"])))
            width = out
        elif kind == "transposed":
            stride = rng.choice([1, 2, 3])
            layers.append(nn.ConvTranspose2d(width, out, rng.choice([2, 3, 4]), stride, rng.randint(0, 1), rng.randint(0, stride - 1)))
            width = out
        elif kind == "pool":
            kernel = rng.choice([2, 3])
            layers.append(rng.choice([nn.MaxPool2d, nn.AvgPool2d])(kernel, rng.choice([1, 2]), rng.randint(0, kernel // 2), ceil_mode=rng.random() < 0.4))
        elif kind == "norm":
            layers.append(rng.choice([nn.BatchNorm2d(width), nn.InstanceNorm2d(width, affine=True), nn.GroupNorm(1, width)]))
        elif kind == "activation":
            layers.append(rng.choice([nn.SiLU(), nn.LeakyReLU(0.3), nn.GELU(), nn.Hardswish(), nn.ELU(), nn.PReLU(), nn.Softplus(), nn.ReLU6(), nn.Softmax(1), nn.Tanh()]))
        elif kind == "branches":
            layers.append(Branches(nn.Conv2d(width, out, 3, padding=1), nn.Conv2d(width, out, 1), rng.choice(["cat", "sum", "gate"])))
            width = 2 * out if layers[-1].join == "cat" else out
        elif kind == "resize":
            layers.append(nn.Upsample(scale_factor=2, mode=rng.choice(["nearest", "bilinear", "bicubic"])))
        else:
            layers.append(rng.choice([nn.ReflectionPad2d((1, 0, 2, 1)), nn.ReplicationPad2d(1), nn.ZeroPad2d((2, -1, 0, 1)), nn.ConstantPad2d(1, 0.5)]))
    return nn.Sequential(*layers)
