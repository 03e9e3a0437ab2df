"""Run time and peak memory of gradient graphs on ONNX Runtime's CPU provider, beside PyTorch eager and onnx-ad.

Each network is exported with a static batch (onnx-ad wants static shapes), differentiated by us and by onnx-ad, and timed in
turns with PyTorch's forward and input gradient in eager mode: one after the other, many times over, medians. Peak memory:
each alone in a fresh process, what its resident size grows by from before the model is loaded.

Usage: python gradients.py [--only REGEX] [--batch N] [--threads N] [--repeat N] [--write]
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


def networks(pattern):
    from torch_networks import paper_networks, prepared, torchvision_networks
    for name, model, shape in [*(case for case in paper_networks() if re.search(pattern, case[0])), *torchvision_networks(pattern)]:
        yield name, prepared(model, torch.float32), shape


def session_of(path, threads):
    import onnxruntime
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x, seed: session.run(["grad_x"], {"x": x, "seed_y": seed})[0]


def eager(model):
    def run(x, seed):
        x = torch.from_numpy(x).requires_grad_()
        return torch.autograd.grad(model(x), x, torch.from_numpy(seed))[0].numpy()
    return run


def measure_memory(arguments):
    """Run in a process of its own: the growth of the peak, in MB."""
    kind, path, shape, output = json.loads(arguments.memory)
    torch.set_num_threads(arguments.threads)
    if kind == "torch":
        torch.nn.Conv2d(1, 1, 1)(torch.zeros(1, 1, 4, 4))
    else:
        import onnxruntime  # noqa: F401
    before = resident("VmRSS")
    run = eager(next(networks(f"^{re.escape(path)}$"))[1]) if kind == "torch" else session_of(path, arguments.threads)
    for _ in range(3):
        run(np.zeros(shape, np.float32), np.ones(output, np.float32))
    print((resident("VmHWM") - before) / 1024)


def resident(field):
    # Not getrusage: a child begins with its parent's peak there.
    return int(re.search(rf"{field}:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1])


def peak(kind, path, shape, output, threads):
    command = [sys.executable, __file__, "--memory", json.dumps([kind, str(path), shape, output]), "--threads", str(threads)]
    result = subprocess.run(command, capture_output=True, text=True)
    return float(result.stdout.split()[-1]) if result.returncode == 0 else float("nan")


def prepare(folder, name, model, shape, batch):
    import onnx
    from onnx_ad_adapter import Refused, by_onnx_ad
    path, out, peer = (folder / f"{name}{end}".replace(" ", "-") for end in (".onnx", ".grad.onnx", ".peer.onnx"))
    x = torch.randn(batch, *shape)
    with torch.no_grad():
        y = model(x)
        torch.onnx.export(model, (x,), str(path), dynamo=False, opset_version=18, input_names=["x"], output_names=["y"])
    jobs = folder / "jobs.json"
    jobs.write_text(json.dumps([{"model": str(path), "out": str(out), "of": "y", "wrt": "x", "seed": True}]))
    subprocess.run(["node", str(PARITY / "differentiate.mjs"), str(jobs)], check=True)
    result = json.loads((folder / "results.json").read_text())[0]
    if not result["ok"]:
        raise RuntimeError(result["error"])
    refused = None
    try:
        onnx.save(by_onnx_ad(onnx.load(path), "y", "x"), str(peer))
    except Refused as error:
        refused = str(error)[:80]
    return {"path": path, "out": out, "peer": None if refused else peer, "refused": refused, "shape": [batch, *shape], "output": list(y.shape), "seconds": result["seconds"]}


def in_turns(runs, feeds, repeat):
    times = {name: [] for name in runs}
    for name, run in runs.items():
        run(*feeds)
    for _ in range(repeat):
        for name, run in runs.items():
            begin = time.perf_counter()
            run(*feeds)
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=".")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write the table into docs/gradient-coverage.md")
    parser.add_argument("--quiet-file", help="file that asks others to be quiet while times are taken")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        return measure_memory(arguments)
    torch.set_num_threads(arguments.threads)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        cases = []
        for name, model, shape in networks(arguments.only):
            print(f"preparing {name}", flush=True)
            cases.append((name, model, prepare(folder, name, model, shape, arguments.batch)))
        if arguments.quiet_file:
            while os.path.exists(arguments.quiet_file):
                time.sleep(2)
            pathlib.Path(arguments.quiet_file).touch()
        try:
            for name, model, case in cases:
                random = np.random.default_rng(0)
                feeds = random.standard_normal(case["shape"], np.float32), random.standard_normal(case["output"], np.float32)
                runs = {"torch": eager(model), "ours": session_of(str(case["out"]), arguments.threads)}
                broken = None
                if case["peer"]:
                    try:
                        runs["onnx-ad"] = session_of(str(case["peer"]), arguments.threads)
                        expected, found = runs["ours"](*feeds), runs["onnx-ad"](*feeds)
                        if np.abs(expected - found).max() > 1e-2 * np.abs(expected).max():
                            broken = "differs"
                    except Exception as error:  # noqa: BLE001
                        runs.pop("onnx-ad", None)
                        broken = f"does not run: {str(error)[:60]}"
                rows.append({"name": name, "case": case, "times": in_turns(runs, feeds, arguments.repeat), "broken": broken})
                del runs
        finally:
            if arguments.quiet_file:
                os.remove(arguments.quiet_file)
        for row in rows:
            case = row["case"]
            row["memory"] = {
                "torch": peak("torch", row["name"], case["shape"], case["output"], arguments.threads),
                "ours": peak("ort", case["out"], case["shape"], case["output"], arguments.threads),
                "onnx-ad": peak("ort", case["peer"], case["shape"], case["output"], arguments.threads) if "onnx-ad" in row["times"] else float("nan"),
            }
            print(describe(row), flush=True)
    if arguments.write:
        write(rows, arguments)


def describe(row):
    times, memory = row["times"], row["memory"]
    peer = f"{times['onnx-ad'] / times['ours']:.2f}" + (f" ({row['broken']})" if row["broken"] else "") if "onnx-ad" in times else row["case"]["refused"] or row["broken"]
    cells = [row["name"], f"{1000 * times['ours']:.1f}", f"{times['torch'] / times['ours']:.2f}", peer, f"{memory['ours']:.0f}", f"{memory['torch']:.0f}", f"{memory['onnx-ad']:.0f}".replace("nan", "–")]
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def write(rows, arguments):
    from page import write_section
    write_section("Run time and memory", [
        f"Written by `python tests/bench/gradients.py --write --batch {arguments.batch} --threads {arguments.threads}`: the output and its gradient with respect to the input on ONNX Runtime's CPU provider, float32, "
        f"batch {arguments.batch}, {arguments.threads} thread(s), medians of {arguments.repeat} turns; times of PyTorch eager (forward and input gradient) and of onnx-ad's graph as multiples of ours: above 1 means that ours is "
        "faster. Memory: growth of the process from before the model was loaded, in MB.", "",
        "| network | ours, ms | PyTorch / ours | onnx-ad / ours | MB: ours | PyTorch | onnx-ad |", "|---|---|---|---|---|---|---|",
        *map(describe, rows),
    ])


if __name__ == "__main__":
    main()
