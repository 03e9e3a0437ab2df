"""Input gradients of PyTorch networks against torch.autograd.

Exports small networks, one or more per family of operators, with both of PyTorch's exporters and a dynamic batch, has
`gradient` differentiate the files, runs them with ONNX Runtime and compares with autograd at two batch sizes.

Usage: python torch_models.py [--only REGEX] [--opsets 13,14,…] [--stacks N] [--free] [--double] [--exporter dynamo|script|both] [--write]
"""
import argparse
import copy
import io
import itertools
import json
import os
import pathlib
import re
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from double_evaluator import evaluate
from onnx.reference import ReferenceEvaluator
from ours import differentiate
from page import rows_of, write_section
from torch import nn
from torch.nn import functional as F
from torch_blocks import Function, blocks, stacks

warnings.filterwarnings("ignore")
onnxruntime.set_default_logger_severity(4)
torch.set_num_threads(1)
# Outputs in float64 farther apart than this, relative to the largest, are no matter of rounding.
EXACT = 1e-12
# The fused inference path of attention layers has no ONNX export.
torch.backends.mha.set_fastpath_enabled(False)


class Attention(nn.Module):
    def __init__(self, width=16, heads=4):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Encoder(nn.Module):
    """A vision transformer in small: patches, class token, positions, two blocks."""

    def __init__(self, width=16):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, 17, width))
        self.blocks = nn.Sequential(*[nn.TransformerEncoderLayer(width, 4, 32, activation="gelu", batch_first=True, norm_first=True) for _ in range(2)])
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.blocks(x)[:, 0])


class WindowAttention(nn.Module):
    """Shifted windows, as in Swin: roll, partition, attention with a relative bias, and back."""

    def __init__(self, width=8, window=4):
        super().__init__()
        self.window, self.qkv, self.out = window, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, 2))
        grid = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        offset = (grid[:, :, None] - grid[:, None, :]).permute(1, 2, 0) + window - 1
        self.register_buffer("index", offset[..., 0] * (2 * window - 1) + offset[..., 1])

    def forward(self, x):
        n, c, h, w = x.shape
        s = self.window
        x = torch.roll(x.permute(0, 2, 3, 1), (-2, -2), (1, 2))
        x = x.view(n, h // s, s, w // s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, s * s, c)
        q, k, v = self.qkv(x).reshape(x.shape[0], s * s, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index.view(-1)].view(s * s, s * s, 2).permute(2, 0, 1)
        a = torch.softmax((q * (c // 2) ** -0.5) @ k.transpose(-2, -1) + bias, -1)
        x = self.out((a @ v).transpose(1, 2).reshape(-1, s * s, c))
        x = x.view(n, h // s, w // s, s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return torch.roll(x, (2, 2), (1, 2)).permute(0, 3, 1, 2)


class UNet(nn.Module):
    def __init__(self, c=8):
        super().__init__()
        self.first = nn.Conv2d(3, c, 3, padding=1)
        self.down = nn.Conv2d(c, 2 * c, 3, 2, 1)
        self.norm, self.norm2 = nn.GroupNorm(4, c), nn.GroupNorm(4, 2 * c)
        self.middle = nn.Conv2d(2 * c, 2 * c, 3, padding=1)
        self.query = nn.Conv2d(2 * c, 6 * c, 1)
        self.up = nn.Conv2d(2 * c, c, 3, padding=1)
        self.transposed = nn.ConvTranspose2d(2 * c, c, 4, 2, 1)
        self.last = nn.Conv2d(3 * c, 1, 3, padding=1)

    def forward(self, x):
        a = F.silu(self.norm(self.first(x)))
        b = F.silu(self.norm2(self.middle(self.down(a))))
        n, c, h, w = b.shape
        q, k, v = self.query(b).reshape(n, 3, c, h * w).unbind(1)
        b = b + (v @ torch.softmax(q.transpose(1, 2) @ k * c ** -0.5, -1).transpose(1, 2)).reshape(n, c, h, w)
        up = self.up(F.interpolate(b, scale_factor=2, mode="nearest"))
        return self.last(torch.cat([a, up, self.transposed(b)], 1))


class Residual(nn.Module):
    def __init__(self, activation, c=6, groups=1, stride=2):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c), activation, nn.Conv2d(c, c, 3, padding=1, groups=groups), nn.BatchNorm2d(c))
        self.b = nn.Conv2d(3, c, 1, stride)
        self.activation = activation

    def forward(self, x):
        return self.activation(self.a(x) + self.b(x)).mean((2, 3))


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish(), nn.Conv2d(8, 8, 5, 1, 2, groups=8), nn.ReLU6())
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1), nn.Hardsigmoid())

    def forward(self, x):
        x = self.stem(x)
        return x * self.gate(x)


image = (3, 16, 16)
flat = (12,)
sequence = (6, 16)


def cases():
    yield "mlp", nn.Sequential(nn.Linear(12, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)), flat
    for activation in ["ReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish", "Softplus", "Softsign", "Hardswish", "Hardsigmoid", "Hardtanh", "ReLU6", "Tanhshrink",
                       "Softshrink", "Hardshrink", "LogSigmoid", "PReLU", "Sigmoid", "Tanh", "Threshold"]:
        make = (lambda: nn.Threshold(0.1, -1.0)) if activation == "Threshold" else getattr(nn, activation)
        yield f"activation {activation}", nn.Sequential(nn.Linear(12, 12), make(), nn.Linear(12, 2)), flat
    yield "activation GELU tanh", nn.Sequential(nn.Linear(12, 12), nn.GELU("tanh")), flat
    for name, function in {
        "exp log": lambda x: torch.log(1 + torch.exp(x) + x * x), "powers": lambda x: (x.abs() + 1) ** 1.5 + x ** 3 + torch.sqrt(x * x + 1) + torch.rsqrt(x * x + 2) + 2 ** x,
        "trigonometry": lambda x: torch.sin(x) + torch.cos(x) * torch.tan(x / 4) + torch.atan(x) + torch.asin(torch.tanh(x)) + torch.sinh(x / 3) + torch.cosh(x / 3) + torch.asinh(x),
        "atan2-free division": lambda x: x / (1 + x.abs()) + 1 / (2 + x * x), "erf": lambda x: torch.erf(x) * x,
        "clamp": lambda x: x.clamp(-0.5, 0.7) + x.clamp(min=0.1) * x.clamp(max=0.3), "minimum": lambda x: torch.minimum(x, x.flip(1)) * torch.maximum(x, 0.2 * x),
        "where": lambda x: torch.where(x > 0.1, x * x, -x), "masked": lambda x: x.masked_fill(x < 0, -2.0) * x, "frac": lambda x: x - torch.floor(x) + x * torch.round(x),
        "reductions": lambda x: torch.stack([x.sum(1), x.mean(1), x.amax(1), x.amin(1), x.prod(1), x.norm(dim=1), x.norm(p=1, dim=1), torch.logsumexp(x, 1), x.var(1), x.std(1, unbiased=False)], 1),
        "cumsum": lambda x: torch.cumsum(x, 1) * x, "topk": lambda x: torch.topk(x, 4, 1)[0], "sort": lambda x: torch.sort(x, 1)[0][:, :3], "max values": lambda x: x.max(1)[0],
        "softmax": lambda x: torch.softmax(x, 1) * torch.log_softmax(x, 1), "normalize": lambda x: F.normalize(x, dim=1), "cosine": lambda x: F.cosine_similarity(x, x.flip(1), 1),
        "gather": lambda x: torch.gather(x, 1, torch.argsort(x, 1)) * x, "index": lambda x: x[:, [0, 2, 2, 5]] * x[:, 1:5], "index_select": lambda x: torch.index_select(x, 1, torch.tensor([3, 1, 0])),
        "slices": lambda x: x[:, 1:9:3] + x[:, -3:] * x[:, :3], "flip": lambda x: x.flip(1) * x, "roll": lambda x: torch.roll(x, 3, 1) * x, "split": lambda x: sum((i + 1) * p * p for i, p in enumerate(torch.split(x, [3, 3, 6 - 3, 3], 1))),
        "chunk": lambda x: torch.chunk(x, 3, 1)[1] * torch.chunk(x, 3, 1)[2], "repeat": lambda x: x.repeat(1, 3) * torch.arange(36.0, dtype=x.dtype), "tile": lambda x: torch.tile(x[:, :, None], (2, 1, 3)).pow(2),
        "expand": lambda x: x[:, :, None].expand(-1, -1, 4) * torch.arange(4.0, dtype=x.dtype), "einsum": lambda x: torch.einsum("bij,bkj->bik", x.view(-1, 3, 4), x.view(-1, 3, 4)), "einsum2": lambda x: torch.einsum("bi,bj->bij", x, x * x),
        "outer": lambda x: x[:, :, None] * x[:, None, :], "bmm": lambda x: torch.bmm(x.view(-1, 3, 4), x.view(-1, 4, 3)), "vector": lambda x: x @ torch.arange(12.0, dtype=x.dtype), "addmm": lambda x: torch.addmm(torch.ones(5, dtype=x.dtype), x, torch.ones(12, 5, dtype=x.dtype).cumsum(0), beta=2, alpha=0.5),
        "tril": lambda x: torch.tril(x.view(-1, 3, 4)) + torch.triu(x.view(-1, 3, 4), 1) * 2, "scatter": lambda x: torch.zeros_like(x).scatter_add(1, torch.zeros_like(x, dtype=torch.long), x), "pixel": lambda x: F.pixel_shuffle(x.view(-1, 12, 1, 1), 2),
        "remainder": lambda x: torch.remainder(x, 0.7) * x, "broadcast": lambda x: (x.view(-1, 3, 4) - x.view(-1, 3, 4).mean(1, keepdim=True)) / (x.view(-1, 3, 4).std(2, keepdim=True) + 1), "log1p": lambda x: torch.log1p(x.abs()) + torch.expm1(x),
    }.items():
        yield name, Function(function), flat
    for padding in ["reflect", "replicate", "circular", "constant"]:
        yield f"pad {padding}", Function(lambda x, mode=padding: F.pad(x, (1, 2, 2, 1), mode=mode) ** 2), image
    yield "crop", Function(lambda x: F.pad(x, (-1, 2, -2, -1)) ** 2), image
    for mode, corners in [("nearest", None), ("bilinear", False), ("bilinear", True), ("bicubic", False)]:
        yield f"resize {mode} {corners}", Function(lambda x, mode=mode, corners=corners: F.interpolate(x, size=(24, 10), mode=mode, align_corners=corners) ** 2), image
        yield f"scale {mode} {corners}", Function(lambda x, mode=mode, corners=corners: F.interpolate(x, scale_factor=2, mode=mode, align_corners=corners) ** 2), image
    yield "resize linear 1-D", Function(lambda x: F.interpolate(x, size=20, mode="linear") ** 2), (3, 12)
    yield "resize antialias", Function(lambda x: F.interpolate(x, size=(7, 9), mode="bilinear", antialias=True) ** 2), image
    for name, pool in {
        "max 3 2 1": nn.MaxPool2d(3, 2, 1), "max 2": nn.MaxPool2d(2), "max ceil": nn.MaxPool2d(3, 2, ceil_mode=True), "max dilated": nn.MaxPool2d(3, 1, 1, 2), "average 2": nn.AvgPool2d(2),
        "average 3 2 1": nn.AvgPool2d(3, 2, 1), "average inside": nn.AvgPool2d(3, 2, 1, count_include_pad=False), "average ceil": nn.AvgPool2d(3, 2, 0, ceil_mode=True), "adaptive": nn.AdaptiveAvgPool2d(4),
        "adaptive max": nn.AdaptiveMaxPool2d(1), "lp": nn.LPPool2d(2, 3, 2),
    }.items():
        yield f"pool {name}", nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), pool), image
    yield "pools 1-D", nn.Sequential(nn.Conv1d(3, 4, 3, 2, 1), nn.MaxPool1d(3, 2, 1), nn.AvgPool1d(2)), (3, 24)
    yield "pools 3-D", nn.Sequential(nn.Conv3d(2, 3, 3, 2, 1), nn.ReLU(), nn.AvgPool3d(2), nn.Conv3d(3, 2, 1)), (2, 8, 8, 8)
    for name, layer in {
        "strided": nn.Conv2d(3, 4, 3, 2, 1), "stride 3 odd": nn.Conv2d(3, 4, 5, 3, 1), "dilated": nn.Conv2d(3, 4, 3, 1, 2, 2), "dilated strided": nn.Conv2d(3, 4, 3, 2, 2, 2), "grouped": nn.Conv2d(3, 6, 3, 2, 1, groups=3),
        "rectangular": nn.Conv2d(3, 4, (1, 5), (2, 1), (0, 2)), "wide padding": nn.Conv2d(3, 4, 1, 1, 2), "circular": nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), "same": nn.Conv2d(3, 4, 4, padding="same"),
        "transposed": nn.ConvTranspose2d(3, 4, 4, 2, 1), "transposed output padding": nn.ConvTranspose2d(3, 4, 3, 2, 1, 1), "transposed dilated": nn.ConvTranspose2d(3, 4, 3, 3, 2, 1, dilation=2), "transposed grouped": nn.ConvTranspose2d(3, 6, 2, 2, groups=3),
    }.items():
        yield f"conv {name}", layer, image
    yield "conv transposed 1-D", nn.ConvTranspose1d(3, 4, 4, 2, 1), (3, 9)
    yield "conv transposed 3-D", nn.ConvTranspose3d(2, 3, 2, 2), (2, 3, 4, 5)
    for name, layer in {
        "batch": nn.BatchNorm2d(3), "instance": nn.InstanceNorm2d(3, affine=True), "group": nn.GroupNorm(3, 3), "layer": nn.LayerNorm([16, 16]), "layer all": nn.LayerNorm([3, 16, 16], elementwise_affine=False),
        "local response": nn.LocalResponseNorm(2), "RMS": nn.RMSNorm(16),
    }.items():
        yield f"norm {name}", nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), layer, nn.Tanh()), image
    yield "attention", Attention(), sequence
    yield "attention functional", Function(lambda x: F.scaled_dot_product_attention(x.view(-1, 6, 2, 8).transpose(1, 2), x.view(-1, 6, 2, 8).transpose(1, 2), x.view(-1, 6, 2, 8).transpose(1, 2), is_causal=True)), sequence
    yield "transformer", nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), sequence
    yield "vision transformer", Encoder(), image
    yield "windows", WindowAttention(), (8, 8, 8)
    yield "u-net", UNet(), image
    for name, activation in {"relu": nn.ReLU(), "silu": nn.SiLU(), "leaky": nn.LeakyReLU(0.1)}.items():
        yield f"residual {name}", Residual(activation, groups=2), image
    yield "squeeze-excite", SqueezeExcite(), image
    yield "channel shuffle", Function(lambda x: F.channel_shuffle(x.repeat(1, 2, 1, 1), 2) ** 2), image
    yield "unfold", Function(lambda x: F.unfold(x, 3, padding=1) ** 2), image
    yield "pixel unshuffle", Function(lambda x: F.pixel_unshuffle(x, 2) ** 2), image
    yield "grid sample", Function(lambda x: F.grid_sample(x, torch.linspace(-1, 1, 32, dtype=x.dtype).view(1, 4, 4, 2).expand(x.shape[0], -1, -1, -1), align_corners=False)), image


def export(model, x, exporter, opset, free=False):
    """With a dynamic batch; `free`: with dynamic extents of images and volumes, too."""
    buffer = io.BytesIO()
    spatial = {axis: f"S{axis}" for axis in range(2, x.dim())} if free and x.dim() > 3 else {}
    if exporter == "script":
        torch.onnx.export(model, (x,), buffer, dynamo=False, opset_version=opset, input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "N", **spatial}, "y": {0: "N"}})
        return buffer.getvalue()
    extents = {0: torch.export.Dim("N"), **{axis: torch.export.Dim.AUTO for axis in spatial}}
    program = torch.onnx.export(model, (x,), dynamo=True, opset_version=opset, input_names=["x"], output_names=["y"], dynamic_shapes=(extents,), verbose=False)
    return program.model_proto.SerializeToString()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=".")
    parser.add_argument("--opsets", default="18", help="one or more, with commas: networks × exporters × opsets")
    parser.add_argument("--write", action="store_true", help="write the rows of these exporters and opsets into docs/gradient-coverage.md")
    parser.add_argument("--stacks", type=int, default=0, help="so many random stacks of layers besides")
    parser.add_argument("--free", action="store_true", help="extents of images symbolic, too")
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--exporter", default="both")
    parser.add_argument("--keep", help="folder for the models; a temporary one if absent")
    arguments = parser.parse_args()
    dtype = torch.float64 if arguments.double else torch.float32
    tolerance = 1e-9 if arguments.double else 1e-4
    opsets = [int(opset) for opset in arguments.opsets.split(",")]
    exporters = ["script", "dynamo"] if arguments.exporter == "both" else [arguments.exporter]
    torch.manual_seed(0)
    jobs, notes = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = arguments.keep or folder
        os.makedirs(folder, exist_ok=True)
        for name, model, shape in itertools.chain(cases(), blocks(), stacks(arguments.stacks)):
            if not re.search(arguments.only, name):
                continue
            model = model.to(dtype).eval()
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.normal_()
                    module.running_var.uniform_(0.5, 2)
            for exporter, opset in itertools.product(exporters, opsets):
                if exporter == "dynamo" and opset < 18:
                    continue  # the oldest that it writes
                title = {"name": f"{name} ({exporter}, opset {opset})", "exporter": exporter, "opset": opset}
                try:
                    with torch.no_grad():
                        content = export(model, torch.randn(3, *shape, dtype=dtype), exporter, opset, arguments.free)
                except Exception as error:  # noqa: BLE001 - PyTorch cannot export everything
                    notes.append({**title, "status": "not exported", "detail": str(error).split("\n")[0][:100]})
                    continue
                found = next(entry.version for entry in onnx.load_from_string(content).opset_import if entry.domain == "")
                if found != opset:
                    notes.append({**title, "status": "not exported", "detail": f"the exporter made opset {found} instead"})
                    continue
                path = os.path.join(folder, f"{len(jobs)}.onnx")
                pathlib.Path(path).write_bytes(content)
                jobs.append({"title": title, "network": model, "shape": shape, "model": path, "out": path.replace(".onnx", ".grad.onnx")})
        results = differentiate(folder, [{"model": job["model"], "out": job["out"], "of": "y", "wrt": "x", "seed": True} for job in jobs])
        for job, result in zip(jobs, results):
            status, detail = check(job, result, dtype, tolerance)
            notes.append({**job["title"], "status": status, "detail": detail})
    for note in notes:
        if note["status"] != "pass":
            print(f"{note['status']}: {note['name']}: {note['detail']}")
    counts = {status: sum(note["status"] == status for note in notes) for status in sorted({note["status"] for note in notes})}
    print(json.dumps({"torch": torch.__version__, "opsets": opsets, "dtype": str(dtype), **counts}))
    if arguments.write:
        write(notes)
    if any(note["status"] in ("wrong", "does not run", "failed") for note in notes):
        raise SystemExit(1)


def write(notes):
    statuses = ["pass", "refused", "wrong", "failed", "does not run", "no reference", "export differs", "not exported"]
    count = lambda exporter, opset, status: sum((note["exporter"], note["opset"], note["status"]) == (exporter, opset, status) for note in notes)  # noqa: E731
    # What this run does not have stays as it is on the page.
    rows = {(exporter, int(opset)): found for exporter, opset, *found in rows_of("Opsets")}
    for exporter, opset in {(note["exporter"], note["opset"]) for note in notes}:
        rows["TorchScript" if exporter == "script" else exporter, opset] = [str(count(exporter, opset, status)) for status in statuses]
    write_section("Opsets", [
        f"Written by `python tests/parity/gradient/torch_models.py --opsets 13,14,… --write` with PyTorch {torch.__version__.split('+')[0]}: small networks and single operators, each exported at each opset (dynamo writes 18 at least); "
        "float32 gradients within 1e-4 of autograd's. *Not exported*: PyTorch refuses that opset or operator, or writes another opset than asked. *No reference*: PyTorch's own gradients in float32 and float64 differ. *Export differs*: the output of the exported network already differs from PyTorch's.", "",
        "| exporter | opset | " + " | ".join(statuses) + " |", "|---" * (len(statuses) + 2) + "|",
        *["| " + " | ".join([exporter, str(opset), *found]) + " |" for (exporter, opset), found in sorted(rows.items(), reverse=True)],
    ])


def run(path, options, feeds, names=("y", "grad_x")):
    """By ONNX Runtime, or where it has no kernel for the element type, by the reference evaluator."""
    names = list(names)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001
        if "NOT_IMPLEMENTED" not in str(error):
            raise
        try:
            return evaluate(path, names, feeds)
        except AssertionError:  # what that does not do faster
            return ReferenceEvaluator(path).run(names, feeds)
    return session.run(names, feeds)


def check(job, result, dtype, tolerance):
    if not result["ok"]:
        return ("refused" if result["kind"] == "UnsupportedError" else "failed"), f"{result['error']}"
    try:
        onnx.checker.check_model(onnx.load(job["out"]), full_check=True)
    except Exception as error:  # noqa: BLE001
        return "wrong", f"checker: {error}"[:300]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    worst = 0.0
    for batch in (1, 4):
        # Rounding decides on which side of a kink an activation lies, in ONNX Runtime differently from PyTorch. A rule
        # that is wrong is wrong at every input; so the best of a few counts.
        best = float("inf")
        for _ in range(4):
            found = sample(job["network"], (batch, *job["shape"]), dtype, tolerance)
            if found is None:
                return "no reference", "PyTorch's own gradients in float32 and float64 differ: kinks or ties at every input tried"
            x, y, seed, expected = found
            try:
                output, gradient = run(job["out"], options, {"x": x, "seed_y": seed})
            except Exception as error:  # noqa: BLE001
                return "does not run", str(error)[:300]
            apart = float(np.abs(output - y).max()) / max(1.0, float(np.abs(y).max()))
            # In float64 exporters store attributes and some constants in single precision: what they wrote is another function, with differences of its own.
            rewritten = dtype == torch.float64 and not apart <= EXACT
            if not apart <= tolerance * 10 and not rewritten:
                return "export differs", "the exported network itself differs from PyTorch"
            if gradient.shape != expected.shape:
                return "wrong", f"shape {gradient.shape} for {expected.shape}"
            best = min(best, by_differences(job["model"], options, x, seed, gradient) if rewritten else relative(gradient, expected))
            if best <= tolerance:
                break
        if best > tolerance and rewritten and (apart > tolerance * 10 or computes_in_single(job["model"])):
            return "export differs", f"by {apart:.1e}, and has differences in single precision only"
        worst = max(worst, best)
    return ("pass", f"{worst:.1e}") if worst <= tolerance else ("wrong", f"relative error {worst:.1e}")


def computes_in_single(path):
    return any(node.op_type == "Cast" and node.attribute[0].i == onnx.TensorProto.FLOAT for node in onnx.load(path).graph.node)


def by_differences(path, options, x, seed, gradient):
    """How far a gradient is from central differences of the exported model itself, of sixth order in float64, along random directions."""
    worst, random = 0.0, np.random.default_rng(3)
    for _ in range(3):
        direction = random.standard_normal(x.shape)
        value = lambda step: float(np.sum(seed * run(path, options, {"x": x + step * direction}, ["y"])[0]))  # noqa: E731
        # Long steps where the network is smooth, short ones where they would pass a kink.
        found = [sum(weight * (value(k * h) - value(-k * h)) for k, weight in ((1, 45), (2, -9), (3, 1))) / (60 * h) for h in (1e-3, 1e-4, 1e-5)]
        worst = max(worst, min(abs(float(np.sum(gradient * direction)) - difference) for difference in found) / float(np.linalg.norm(gradient)))
    return worst


def relative(value, expected):
    return float(np.abs(value - expected).max() / max(np.abs(expected).max(), 1e-30))


def sample(network, shape, dtype, tolerance):
    """An input at which PyTorch agrees with itself: elsewhere rounding decides on which side of a kink an activation lies."""
    for _ in range(8):
        x = torch.randn(*shape, dtype=dtype, requires_grad=True)
        y = network(x)
        seed = torch.randn_like(y)
        (expected,) = torch.autograd.grad(y, x, seed)
        found = x.detach().numpy(), y.detach().numpy(), seed.numpy(), expected.numpy()
        if dtype == torch.float64:
            return found
        precise = x.detach().double().requires_grad_()
        try:
            (exact,) = torch.autograd.grad(copy.deepcopy(network).double()(precise), precise, seed.double())
        except RuntimeError:
            return found  # a network with constants of one element type
        if relative(expected.numpy(), exact.numpy()) < tolerance / 2:
            return found
    return None


if __name__ == "__main__":
    main()
