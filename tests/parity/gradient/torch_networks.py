"""Input gradients of whole PyTorch networks, from both of its exporters, against torch.autograd.

The families of torchvision, the networks of the paper and a U-Net, with random weights, in float32 on ONNX Runtime and in
float64 on the evaluator of double_evaluator.py. Where rounding alone moves PyTorch's own float32 gradient by more than the
tolerance (which side of a kink an activation lies on), the exact gradient in float64 is what counts, and the float32 graph
may be no farther from it than PyTorch is, by a factor of two.

Usage: python torch_networks.py [--only REGEX] [--opset N] [--precision single|double|both] [--write]
"""
import argparse
import copy
import json
import os
import pathlib
import re
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
import torch
from page import write_section
from torch import nn
from torch.nn import functional as F

from double_evaluator import evaluate
from torch_models import UNet, differentiate, export, relative

TOLERANCE = {"single": 1e-4, "double": 1e-9}
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


def paper_networks():
    deep = [(256, 2), (256, 1)]
    yield "mlp", nn.Sequential(nn.Linear(2, 64), nn.LeakyReLU(SLOPE), *[m for _ in range(3) for m in (nn.Linear(64, 64), nn.LeakyReLU(SLOPE))], nn.Linear(64, 1), nn.Flatten(0)), (2,)
    yield "resnet32", Estimator(128, [(128, 1)] * 3 + [(256, 2), (256, 1), (256, 1)] * 3), (3, 32, 32)
    yield "resnet64", Estimator(64, [(64, 2), (128, 2), (128, 1), *deep, *deep]), (3, 64, 64)
    yield "resnet128", Estimator(64, [(64, 2), (128, 2), (128, 2), (128, 1), *deep, *deep]), (3, 128, 128)
    yield "resnet64-shallow", Estimator(64, [(64, 2), (128, 2), "attention", (128, 2), (256, 2)]), (3, 64, 64)
    yield "resnet128 with self-attention", Estimator(64, [(64, 2), (128, 2), "attention", (128, 2), (128, 1), *deep, *deep]), (3, 128, 128)
    yield "U-Net", UNet(16), (3, 32, 32)


# Extents: the smallest at which a network's own layers still have something to do.
FAMILIES = {
    "alexnet": 64, "resnet18": 64, "resnet50": 64, "resnext50_32x4d": 64, "vgg11": 224, "vgg11_bn": 224, "densenet121": 64, "mobilenet_v2": 64, "mobilenet_v3_small": 64, "mobilenet_v3_large": 64,
    "efficientnet_b0": 64, "efficientnet_v2_s": 64, "convnext_tiny": 64, "inception_v3": 96, "googlenet": 64, "shufflenet_v2_x0_5": 64, "shufflenet_v2_x1_0": 64, "squeezenet1_0": 64, "squeezenet1_1": 64,
    "mnasnet0_5": 64, "regnet_y_400mf": 64, "vit_b_32": 64, "swin_t": 64, "swin_v2_t": 64,
}


def torchvision_networks(pattern):
    from torchvision import models
    for name, extent in FAMILIES.items():
        if not re.search(pattern, name):
            continue
        options = {"init_weights": True, "transform_input": False} if name in ("inception_v3", "googlenet") else {}
        if name == "vit_b_32":
            options["image_size"] = extent
        yield name, getattr(models, name)(weights=None, **options), (3, extent, extent)


def prepared(model, dtype):
    model = model.to(dtype).eval()
    torch.manual_seed(1)
    # What starts at zero, or nearly so, would hide the layers before it.
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


def reference(model, x, seed):
    x = x.clone().requires_grad_()
    y = model(x)
    return y.detach(), torch.autograd.grad(y, x, seed.to(y.dtype))[0]


def run_single(path, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(["y", "grad_x"], feeds)


def compare(job, precision, batch):
    """Relative errors of ours, and of PyTorch's float32 from its float64."""
    dtype = torch.float64 if precision == "double" else torch.float32
    best = None
    # Rounding decides on which side of a kink an activation lies; a wrong rule is wrong at every input.
    for trial in range(6 if precision == "single" else 1):
        torch.manual_seed(100 + trial)
        x = torch.randn(batch, *job["shape"], dtype=torch.float64)
        seed = torch.randn_like(job["double"](x))
        y, exact = reference(job["double"], x, seed)
        if not float(exact.abs().max()) > 0:
            raise ValueError("the gradient of this network is zero: it tells nothing")
        feeds = {"x": x.to(dtype).numpy(), "seed_y": seed.to(dtype).numpy()}
        output, gradient = (evaluate(job["out"], ["y", "grad_x"], feeds) if precision == "double" else run_single(job["out"], feeds))
        found = {"output": relative(output, y.numpy()), "exact": relative(gradient, exact.numpy())}
        if precision == "single":
            _, own = reference(job["single"], x.float(), seed)
            found |= {"autograd": relative(gradient, own.numpy()), "torch": relative(own.numpy(), exact.numpy())}
        else:
            found |= {"autograd": found["exact"], "torch": 0.0}
        # A constant that the exporter rounded moves the output, too: then it is the network that differs, not the gradient.
        found["exported"] = precision == "single" or found["output"] <= TOLERANCE[precision] / 10
        found["ok"] = bool(found["autograd"] <= TOLERANCE[precision] or (found["torch"] > TOLERANCE[precision] and found["exact"] <= 2 * found["torch"]))
        if best is None or found["autograd"] < best["autograd"]:
            best = found
        if best["autograd"] <= TOLERANCE[precision]:
            break
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=".")
    parser.add_argument("--opset", type=int, default=18)
    parser.add_argument("--precision", default="both", choices=["single", "double", "both"])
    parser.add_argument("--exporter", default="both", choices=["script", "dynamo", "both"])
    parser.add_argument("--results", help="file to which results are appended, line by line; --write takes all that it holds")
    parser.add_argument("--write", action="store_true", help="write the table into docs/gradient-coverage.md")
    arguments = parser.parse_args()
    precisions = ["single", "double"] if arguments.precision == "both" else [arguments.precision]
    exporters = ["script", "dynamo"] if arguments.exporter == "both" else [arguments.exporter]
    rows = []
    torch.manual_seed(0)
    for name, model, shape in [*paper_networks(), *torchvision_networks(arguments.only)]:
        if not re.search(arguments.only, name):
            continue
        double = prepared(model, torch.float64)
        single = copy.deepcopy(double).float()
        # One network at a time: a gradient graph of a large one is as large as the network.
        with tempfile.TemporaryDirectory() as folder:
            jobs = []
            for precision in precisions:
                for exporter in exporters:
                    dtype = torch.float64 if precision == "double" else torch.float32
                    path = os.path.join(folder, f"{precision}-{exporter}.onnx")
                    job = {"name": name, "shape": shape, "double": double, "single": single, "model": path, "out": path.replace(".onnx", ".grad.onnx"), "precision": precision, "exporter": exporter}
                    try:
                        with torch.no_grad():
                            pathlib.Path(path).write_bytes(export(double if precision == "double" else single, torch.randn(2, *shape, dtype=dtype), exporter, arguments.opset))
                        jobs.append(job)
                    except Exception as error:  # noqa: BLE001 - PyTorch cannot export everything
                        rows.append({"name": name, "precision": precision, "exporter": exporter, "status": "not exported", "detail": str(error).split("\n")[0][:100]})
            with open(os.path.join(folder, "jobs.json"), "w") as file:
                json.dump([{"model": job["model"], "out": job["out"], "of": "y", "wrt": "x", "seed": True} for job in jobs], file)
            differentiate(folder)
            with open(os.path.join(folder, "results.json")) as file:
                results = json.load(file)
            for job, result in zip(jobs, results):
                row = {key: job[key] for key in ("name", "precision", "exporter")}
                if not result["ok"]:
                    row |= {"status": "refused" if result["kind"] == "UnsupportedError" else "failed", "detail": result["error"]}
                else:
                    try:
                        onnx.checker.check_model(job["out"], full_check=True)
                        begin = time.time()
                        found = compare(job, job["precision"], 1 if shape[-1] > 200 else 2)
                        found = {key: value if isinstance(value, bool) else float(value) for key, value in found.items()}
                        row |= {"status": "pass" if found["ok"] else "wrong" if found["exported"] else "export differs", "found": found, "seconds": time.time() - begin}
                        row["detail"] = " ".join(f"{key} {value:.1e}" for key, value in found.items() if key not in ("ok", "exported"))
                    except Exception as error:  # noqa: BLE001
                        row |= {"status": "does not run", "detail": str(error)[:300]}
                rows.append(row)
                if arguments.results:
                    with open(arguments.results, "a") as file:
                        file.write(json.dumps(row) + "\n")
                print(f"{row['status']}: {row['name']} ({row['exporter']}, {row['precision']}): {row.get('detail', '')}", flush=True)
    counts = {status: sum(row["status"] == status for row in rows) for status in sorted({row["status"] for row in rows})}
    print(json.dumps({"torch": torch.__version__, "opset": arguments.opset, **counts}))
    if arguments.write:
        if arguments.results:
            rows = [json.loads(line) for line in pathlib.Path(arguments.results).read_text().splitlines()]
        write(rows, arguments.opset)
    if any(row["status"] in ("wrong", "failed", "does not run") for row in rows):
        raise SystemExit(1)


def write(rows, opset):
    import torchvision
    table = {}
    for row in rows:
        found = row.get("found")
        text = row["status"] if not found else f"{found['autograd']:.0e}" if found["ok"] else f"{row['status']} (output {found['output']:.0e}, gradient {found['autograd']:.0e})"
        if found and found["ok"] and found["autograd"] > TOLERANCE[row["precision"]]:
            text += f" (from float64 {found['exact']:.0e}, PyTorch {found['torch']:.0e})"
        table.setdefault(row["name"], {})[row["exporter"], row["precision"]] = text
    columns = [(exporter, precision) for precision in ("single", "double") for exporter in ("script", "dynamo")]
    lines = [
        f"Written by `python tests/parity/gradient/torch_networks.py --write` with PyTorch {torch.__version__.split('+')[0]}, torchvision {torchvision.__version__.split('+')[0]}, opset {opset}: networks with random "
        "weights and a random seed for the output, exported with a dynamic batch, batch 2. The largest difference from autograd's gradient, relative to its largest element (batch 1 for 224 × 224 pixels). Where PyTorch's own "
        "float32 gradient is farther than 1e-4 from its float64 gradient (an activation near a kink lies on the other side), both distances from float64 are given.", "",
        "| network | TorchScript exporter, float32 | dynamo, float32 | TorchScript, float64 | dynamo, float64 |", "|---|---|---|---|---|",
        *[f"| {name} | " + " | ".join(cells.get(column, "–") for column in columns) + " |" for name, cells in table.items()],
    ]
    write_section("Networks from PyTorch", lines)


if __name__ == "__main__":
    main()
