"""Input gradients of whole PyTorch networks, from both of its exporters, against torch.autograd.

The families of torchvision, the networks of the paper and a U-Net, with random weights, in float32 and float16 on ONNX
Runtime and in float64 on the evaluator of double_evaluator.py. Where rounding alone moves PyTorch's own gradient by more than
the tolerance (which side of a kink an activation lies on), the exact gradient in float64 is what counts, and the graph may be
no farther from it than PyTorch is, by a factor of two. Float16 is compared with the float64 gradient at the same rounded
weights and input. Peers (peers.py) differentiate the TorchScript export in float32 with its batch fixed, as they want it.

Usage: python torch_networks.py [--only REGEX] [--opset N] [--columns REGEX] [--results FILE] [--write]
"""
import argparse
import copy
import functools
import json
import os
import pathlib
import re
import tempfile
from importlib.metadata import version

import onnx
import onnxruntime
import torch
from double_evaluator import evaluate
from networks import CASES, as_exported, networks
from ours import differentiate
from page import cells_of, write_section
from peers import PACKAGES, PEERS, Refused, TimedOut, limited, with_batch
from torch_models import export, relative

# The half's is that of its own arithmetic: eps is 1e-3, and hundreds of roundings lie one behind the other.
TOLERANCE = {"half": 2e-2, "single": 1e-4, "double": 1e-9}
# Seconds that a peer may take for one network.
PATIENCE = 120
DTYPE = {"half": torch.float16, "single": torch.float32, "double": torch.float64}
PRECISIONS = {"half": "float16", "single": "float32", "double": "float64"}
HEADING = "Networks from PyTorch"
# (who exports or differentiates, precision) → heading
COLUMNS = {
    **{(exporter, precision): f"{name}, {PRECISIONS[precision]}" for precision in ("single", "double", "half") for exporter, name in (("script", "TorchScript"), ("dynamo", "dynamo"))},
    **{(peer, "single"): peer for peer in PEERS},
}


def reference(model, x, seed):
    x = x.clone().requires_grad_()
    y = model(x)
    return y.detach(), torch.autograd.grad(y, x, seed.to(y.dtype))[0]


def run(path, precision, feeds):
    if precision == "double":
        return evaluate(path, ["y", "grad_x"], feeds)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(["y", "grad_x"], feeds)


def references(model, precision, shape, batch):
    """What gradient graphs are compared with, a function of the number of the trial, computed once for all of them: input, seed,
    output and gradient in float64 of each network that may have been exported, and autograd's gradient in this precision."""
    dtype = DTYPE[precision]
    own = copy.deepcopy(model).to(dtype)
    candidates = [copy.deepcopy(own).double()]
    rounded = as_exported(candidates[0]) if precision == "double" else None
    candidates += [] if rounded is None else [rounded]

    @functools.cache
    def of(trial):
        torch.manual_seed(100 + trial)
        x = torch.randn(batch, *shape, dtype=torch.float64).to(dtype)
        with torch.no_grad():
            seed = torch.randn(candidates[0](x.double()).shape, dtype=dtype)
        exact = [reference(candidate, x.double(), seed) for candidate in candidates]
        if not all(float(gradient.abs().max()) > 0 for _, gradient in exact):
            raise ValueError("the gradient of this network is zero: it tells nothing")
        return x, seed, exact, None if precision == "double" else reference(own, x, seed)[1]
    return of


def compare(path, precision, references_of):
    """Relative errors of a gradient graph, and of PyTorch's own gradient in this precision, both from float64."""
    tolerance, best = TOLERANCE[precision], None
    # Rounding decides on which side of a kink an activation lies; a wrong rule is wrong at every input.
    for trial in range(1 if precision == "double" else 6):
        x, seed, candidates, autograd = references_of(trial)
        output, gradient = run(path, precision, {"x": x.numpy(), "seed_y": seed.numpy()})
        # A constant that the exporter rounded moves the output, too: then it is that network whose gradient counts.
        y, exact = min(candidates, key=lambda pair: relative(output, pair[0].numpy()))
        autograd = exact if autograd is None else autograd
        found = {
            "output": relative(output, y.numpy()), "exact": relative(gradient, exact.numpy()),
            "autograd": relative(gradient, autograd.numpy()), "torch": relative(autograd.numpy(), exact.numpy()),
        }
        judged = found["exact" if precision == "half" else "autograd"]
        found["judged"] = judged
        found["exported"] = precision != "double" or found["output"] <= tolerance / 10
        found["ok"] = bool(judged <= tolerance or (found["torch"] > tolerance and found["exact"] <= 2 * found["torch"]))
        if best is None or not judged >= best["judged"]:
            best = found
        if judged <= tolerance:
            break
    return {key: value if isinstance(value, bool) else float(value) for key, value in best.items()}


def export_network(path, model, shape, precision, exporter, opset):
    x = torch.randn(2, *shape, dtype=DTYPE[precision])
    try:
        with torch.no_grad():
            pathlib.Path(path).write_bytes(export(copy.deepcopy(model).to(DTYPE[precision]), x, exporter, opset))
    except Exception as error:  # noqa: BLE001 - PyTorch cannot export everything
        return {"status": "not exported", "detail": str(error).split("\n")[0][:100]}
    return None


def gradients_by(who, path, out, batch):
    """Has a peer differentiate; what went wrong, or None."""
    try:
        onnx.save(limited(PATIENCE, PEERS[who], with_batch(onnx.load(path), batch), "y", "x"), out)
    except TimedOut as error:
        return {"status": "timed out", "detail": str(error)}
    except Refused as error:
        return {"status": "refused", "detail": str(error)[:120]}
    return None


def rows_of(name, model, shape, columns, opset, folder, batch=None):
    """One row a column; each network alone in a folder, as its gradient graphs are as large as itself."""
    batch = batch or (1 if shape[-1] > 200 else 2)
    jobs, failed = {}, {}
    known = {precision: references(model, precision, shape, batch) for precision in {precision for _, precision in columns}}
    for who, precision in columns:
        path = os.path.join(folder, f"{'script' if who in PEERS else who}-{precision}.onnx")
        problem = None if os.path.exists(path) else export_network(path, model, shape, precision, "script" if who in PEERS else who, opset)
        out = os.path.join(folder, f"{who}-{precision}.grad.onnx")
        problem = problem or (gradients_by(who, path, out, batch) if who in PEERS else None)
        if problem:
            failed[who, precision] = problem
        else:
            jobs[who, precision] = {"model": path, "out": out, "of": "y", "wrt": "x", "seed": True}
    ours = {column: job for column, job in jobs.items() if column[0] not in PEERS}
    for column, result in zip(ours, differentiate(folder, list(ours.values())) if ours else []):
        if not result["ok"]:
            failed[column] = {"status": "refused" if result["kind"] == "UnsupportedError" else "failed", "detail": result["error"]}
    for column in columns:
        row = {"name": name, "exporter": column[0], "precision": column[1]}
        try:
            if column not in failed:
                if column[0] not in PEERS:
                    onnx.checker.check_model(jobs[column]["out"], full_check=True)
                found = compare(jobs[column]["out"], column[1], known[column[1]])
                failed[column] = {"status": "pass" if found["ok"] else "wrong" if found["exported"] else "export differs", "found": found,
                                  "detail": " ".join(f"{key} {value:.1e}" for key, value in found.items() if not isinstance(value, bool))}
        except Exception as error:  # noqa: BLE001
            failed[column] = {"status": "does not run", "detail": str(error)[:300]}
        yield row | failed[column]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=".*", help="regular expression for whole names")
    parser.add_argument("--opset", type=int, default=18)
    parser.add_argument("--columns", default=".*", help="regular expression for headings of columns: TorchScript, float32; dynamo, float64; onnx-ad; …")
    parser.add_argument("--results", help="file to which results are appended, line by line; what it has already is not done again")
    parser.add_argument("--write", action="store_true", help="write the table into docs/gradient-coverage.md")
    arguments = parser.parse_args()
    columns = [column for column, heading in COLUMNS.items() if re.search(arguments.columns, heading)]
    results = pathlib.Path(arguments.results) if arguments.results else None
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results and results.exists() else []
    done = {(row["name"], row["exporter"], row["precision"]) for row in rows}
    missing = {name: [column for column in columns if (name, *column) not in done] for name in CASES}
    for name, model, shape in networks(arguments.only, skip=[name for name, open_ in missing.items() if not open_]):
        with tempfile.TemporaryDirectory() as folder:
            fresh = list(rows_of(name, model, shape, missing[name], arguments.opset, folder))
        for row in fresh:
            print(f"{row['status']}: {row['name']} ({row['exporter']}, {row['precision']}): {row.get('detail', '')}", flush=True)
        rows += fresh
        if results:
            with results.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in fresh)
    counts = {status: sum(row["status"] == status for row in rows) for status in sorted({row["status"] for row in rows})}
    print(json.dumps({"torch": torch.__version__, "opset": arguments.opset, **counts}))
    if arguments.write:
        write(rows, arguments.opset)
    if any(row["status"] in ("wrong", "failed", "does not run") for row in rows if row["exporter"] not in PEERS and not is_beyond(row)):
        raise SystemExit(1)


def is_beyond(row):
    """Whether PyTorch's own gradient in float16 has little to do with the network's: it is no measure for ours then."""
    return row["precision"] == "half" and "found" in row and not row["found"]["torch"] < 0.5


def cell(row):
    found = row.get("found")
    if not found:
        return row["status"]
    if is_beyond(row):
        return f"beyond float16 (PyTorch {found['torch']:.0e})"
    text = f"{found['judged']:.0e}" if found["ok"] else f"{row['status']} ({found['judged']:.0e})"
    if row["precision"] == "half":
        return f"{text} (PyTorch {found['torch']:.0e})"
    if found["judged"] > TOLERANCE[row["precision"]] and row["exporter"] not in PEERS:
        text += f" (from float64 {found['exact']:.0e}, PyTorch {found['torch']:.0e})"
    return text


def write(rows, opset):
    """Cells that these rows do not have stay as the page has them."""
    import torchvision
    table = cells_of(HEADING)
    for row in rows:
        table.setdefault(row["name"], {})[COLUMNS[row["exporter"], row["precision"]]] = cell(row)
    headings = [heading for heading in COLUMNS.values() if any(heading in cells for cells in table.values())]
    ours = [text for cells in table.values() for heading, text in cells.items() if heading not in PEERS and not text.startswith(("–", "not exported", "beyond"))]
    half, peers = any("float16" in heading for heading in headings), [who for who in PEERS if who in headings]
    lines = [
        f"Written by `python tests/parity/gradient/torch_networks.py --write` with PyTorch {torch.__version__.split('+')[0]}, torchvision {torchvision.__version__.split('+')[0]}, opset {opset}: networks with random weights (none zero) "
        "and a random seed for the output, exported with a dynamic batch by PyTorch's exporters, TorchScript and dynamo; batch 2, batch 1 for 224 × 224 pixels. "
        f"Float32{' and float16 run' if half else ' runs'} on ONNX Runtime's CPU provider, float64 on the `onnx` package's reference evaluator. The largest difference from autograd's gradient in the same precision, relative to its largest element"
        + ("; in float16 from the float64 gradient of the network with the same rounded weights, beside the distance of PyTorch's own float16 gradient" if half else "") + ". Where PyTorch's own gradient is farther from float64 than the tolerance (1e-4"
        + (", in float16 2e-2" if half else "") + ": an activation near a kink lies on the other side), both distances from float64 are given."
        + (f" The last columns are other tools ({', '.join(f'{who} {version(PACKAGES[who])}' for who in peers)}) on the TorchScript export with a fixed batch." if peers else ""), "",
        f"**{sum(text[0].isdigit() for text in ours)} of {len(ours)} gradients of ours pass.** *Not exported*: PyTorch refuses. *–*: not measured."
        + (" *Beyond float16*: with these weights PyTorch's own gradient is off by half its size or more, or not finite." if half else "") + (f" *Timed out*: no answer within {PATIENCE} s. *Does not run*: ONNX Runtime does not take the graph." if peers else ""), "",
        "| network | " + " | ".join(headings) + " |", "|---" * (len(headings) + 1) + "|",
        *[f"| {name} | " + " | ".join(table[name].get(heading, "–") for heading in headings) + " |" for name in CASES if name in table],
    ]
    write_section(HEADING, lines)


if __name__ == "__main__":
    main()
