"""Run time and peak memory of gradient graphs on ONNX Runtime's CPU provider, beside PyTorch eager and onnx-ad.

Each network is exported with a static batch (onnx-ad wants static shapes), differentiated by us and by onnx-ad, and timed in
turns with PyTorch's forward and input gradient in eager mode: one after the other, many times over, on one thread and by
processor time, which what else runs on the machine disturbs least. Graphs are optimised once, ahead of loading, as the
page says that users do. Peak memory: each alone in a fresh process, what its resident size grows by from before the model is
loaded, after a first convolution of a few numbers. Also how long differentiating takes, and by how much the process that
does it grows.

Usage: python gradients.py [--only REGEX] [--batch N] [--repeat N] [--results FILE] [--write]
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

PARITY = pathlib.Path(__file__).resolve().parents[1] / "parity" / "gradient"
sys.path.insert(0, str(PARITY))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from networks import networks  # noqa: E402
from peers import Refused, by_onnx_ad, limited  # noqa: E402


# Weights stay as they are in the file that is mapped, without a copy in the order in which products take them.
UNPACKED = {"disable_prepacking": "1"}


def opened(model, **entries):
    import onnxruntime
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = entries.pop("optimized", "")
    for name, value in entries.items():
        options.add_session_config_entry(f"session.{name}", value)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def optimized(path):
    """What ONNX Runtime makes of a graph for this machine, its weights in a file beside it."""
    place = path.with_suffix(".run.onnx")
    opened(str(path), optimized=str(place), optimized_model_external_initializers_file_name=place.with_suffix(".data").name,
           optimized_model_external_initializers_min_size_in_bytes="1024")
    return place


def session_of(path, **entries):
    session = opened(str(path), **entries)
    return lambda x, seed: session.run(["grad_x"], {"x": x, "seed_y": seed})[0]


def eager(model):
    def run(x, seed):
        x = torch.from_numpy(x).requires_grad_()
        return torch.autograd.grad(model(x), x, torch.from_numpy(seed))[0].numpy()
    return run


def measure_memory(request):
    """Run in a process of its own: the growth of the peak, in MB."""
    kind, path, shape, output = json.loads(request)
    torch.set_num_threads(1)
    if kind == "torch":
        torch.nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 4, 4))
    else:
        opened(small_convolution()).run(None, {"x": np.zeros((1, 1, 4, 4), np.float32)})
    before = resident("VmRSS")
    run = eager(next(networks(re.escape(path), torch.float32))[1]) if kind == "torch" else session_of(path, **UNPACKED if kind == "unpacked" else {})
    for _ in range(3):
        run(np.zeros(shape, np.float32), np.ones(output, np.float32))
    print((resident("VmHWM") - before) / 1024)


def small_convolution():
    from onnx import TensorProto, helper
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 4, 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "small", [x], [y], [helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 1, 1], [1])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()


def resident(field):
    # Not getrusage: a child begins with its parent's peak there.
    return int(re.search(rf"{field}:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1])


def peak(kind, path, shape, output):
    command = [sys.executable, __file__, "--memory", json.dumps([kind, str(path), shape, output])]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"measuring the memory of {path} failed: {result.stderr[-500:]}")
    return float(result.stdout.split()[-1])


def prepare(folder, name, model, shape, batch):
    import onnx
    path, out, peer = (folder / f"{name}{end}".replace(" ", "-") for end in (".onnx", ".grad.onnx", ".peer.onnx"))
    x = torch.randn(batch, *shape)
    with torch.no_grad():
        y = model(x)
        torch.onnx.export(model, (x,), str(path), dynamo=False, opset_version=18, input_names=["x"], output_names=["y"])
    case = {"path": path, "out": out, "peer": None, "refused": None, "shape": [batch, *shape], "output": list(y.shape)}
    case |= differentiated(folder, path, out)
    case["out"] = optimized(out)
    try:
        onnx.save(limited(120, by_onnx_ad, onnx.load(path), "y", "x"), str(peer))
        case["peer"] = optimized(peer)
    except Refused as error:
        case["refused"] = f"refused: {error}"[:80]
    except Exception as error:  # noqa: BLE001
        case["refused"] = f"does not run: {str(error)[:60]}"
    return case


def differentiated(folder, path, out):
    jobs = folder / "jobs.json"
    jobs.write_text(json.dumps([{"model": str(path), "out": str(out), "of": "y", "wrt": "x", "seed": True}]))
    run = subprocess.run(["node", str(PARITY / "differentiate.mjs"), str(jobs)], capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"differentiate.mjs failed (are the packages built?): {run.stderr[-1000:]}")
    result = json.loads((folder / "results.json").read_text())[0]
    if not result["ok"]:
        raise RuntimeError(f"{path.name}: {result['error']}")
    return result


def in_turns(runs, feeds, repeat):
    times = {name: [] for name in runs}
    for run in runs.values():
        run(*feeds)
    for _ in range(repeat):
        for name, run in runs.items():
            # Short networks many times in a turn: the clock has steps.
            begin, rounds = time.process_time(), 0
            while rounds == 0 or time.process_time() - begin < 0.05:
                run(*feeds)
                rounds += 1
            times[name].append((time.process_time() - begin) / rounds)
    return times


def row_of(folder, name, model, shape, arguments):
    case = prepare(folder, name, model, shape, arguments.batch)
    random = np.random.default_rng(0)
    feeds = random.standard_normal(case["shape"], np.float32), random.standard_normal(case["output"], np.float32)
    runs, peer = {"torch": eager(model), "ours": session_of(case["out"]), "unpacked": session_of(case["out"], **UNPACKED)}, case["refused"]
    if case["peer"]:
        try:
            runs["onnx-ad"] = session_of(case["peer"])
            expected, found = runs["ours"](*feeds), runs["onnx-ad"](*feeds)
            if not np.abs(expected - found).max() <= 1e-2 * np.abs(expected).max():
                peer = "differs"
        except Exception as error:  # noqa: BLE001
            runs.pop("onnx-ad", None)
            peer = f"does not run: {str(error)[:60]}"
    times = in_turns(runs, feeds, arguments.repeat)
    memory = {"torch": peak("torch", name, case["shape"], case["output"]), **{who: peak(kind, case["out"], case["shape"], case["output"]) for who, kind in (("ours", "ort"), ("unpacked", "unpacked"))}}
    if "onnx-ad" in times:
        memory["onnx-ad"] = peak("ort", case["peer"], case["shape"], case["output"])
    model_mb = os.path.getsize(case["path"]) / 1e6
    return {"name": name, "times": times, "memory": memory, "peer": peer, "seconds": case["seconds"], "rss": case["rss"], "model": model_mb}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=".*", help="regular expression for whole names")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--results", help="file to which results are appended, line by line; what it has already is not done again")
    parser.add_argument("--write", action="store_true", help="write the table into docs/gradient-coverage.md")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        return measure_memory(arguments.memory)
    torch.set_num_threads(1)
    results = pathlib.Path(arguments.results) if arguments.results else None
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results and results.exists() else []
    for name, model, shape in networks(arguments.only, torch.float32, skip={row["name"] for row in rows}):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row_of(pathlib.Path(folder), name, model, shape, arguments))
        print(describe(rows[-1]), flush=True)
        if results:
            with results.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    if arguments.write:
        write(rows, arguments)


def ratio(row, name):
    values = sorted(other / own for other, own in zip(row["times"][name], row["times"]["ours"]))
    return f"{values[0]:.2f} / **{statistics.median(values):.2f}** / {values[-1]:.2f}"


def describe(row):
    memory = row["memory"]
    peer = ratio(row, "onnx-ad") + (f" ({row['peer']})" if row["peer"] else "") if "onnx-ad" in row["times"] else row["peer"]
    cells = [
        row["name"], f"{1000 * statistics.median(row['times']['ours']):.1f}", ratio(row, "torch"), peer, f"{memory['ours']:.0f}", f"{memory['torch']:.0f}",
        f"{memory['onnx-ad']:.0f}" if "onnx-ad" in memory else "–", f"{1000 * statistics.median(row['times']['unpacked']):.1f}", f"{memory['unpacked']:.0f}", f"{row['model']:.1f}", f"{row['seconds']:.2f}", f"{row['rss']:.0f}",
    ]
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def write(rows, arguments):
    from page import write_section
    write_section("Run time and memory", [
        f"Written by `python tests/bench/gradients.py --write --batch {arguments.batch}`: the output and its gradient with respect to the input on ONNX Runtime's CPU provider, float32, batch {arguments.batch}, one thread; "
        f"processor time, {arguments.repeat} interleaved turns. Times of PyTorch {torch.__version__.split('+')[0]} eager (forward and input gradient) and of onnx-ad's graph as multiples of ours, smallest / **median** / largest: above 1 means that ours is "
        "faster. Graphs are optimised ahead of loading, as above. Memory of running: growth of the process from before the model was loaded, in MB. *Unpacked*: ours with `session.disable_prepacking`. Then the size of the model in MB, the seconds by the clock that reading, differentiating and writing it takes, and by how many MB "
        "that process grows.", "",
        "| network | ours, ms | PyTorch / ours | onnx-ad / ours | MB: ours | PyTorch | onnx-ad | unpacked: ms | MB | model, MB | to differentiate, s | MB |", "|---" * 12 + "|",
        *map(describe, rows),
    ])


if __name__ == "__main__":
    main()
