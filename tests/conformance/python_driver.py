"""Runs bundles on an engine with a Python interface: the driver of runtimes/python around that engine.
usage: python_driver.py ENGINE FOLDER OUT; reads OUT/jobs.json, writes OUT/<i>.samples.npy, OUT/<i>.noise.npy and
OUT/engine.json. ENGINE: onnxruntime, openvino, tract, reference."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "runtimes/python"))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from engines import ENGINES  # noqa: E402
from ratioflow import Bundle  # noqa: E402
from ratioflow_noise import FLOW, normals  # noqa: E402

(name, load), folder, out = ENGINES[sys.argv[1]](), Path(sys.argv[2]), Path(sys.argv[3])
bundles = {}
for i, job in enumerate(json.loads((out / "jobs.json").read_text())):
    if job["bundle"] not in bundles:
        bundles[job["bundle"]] = Bundle(folder / job["bundle"], load)
    bundle, seed, first, count = bundles[job["bundle"]], int(job["seed"]), job["first"], job["count"]
    given = {key: np.load(folder / job[key]) for key in ("x0", "noise") if job[key]}
    samples = bundle.sample(count, seed, first, batch=count, **given, **{key: job[key] for key in ("K", "kappa", "eta", "nu")})
    np.save(out / f"{i}.samples.npy", samples)
    np.save(out / f"{i}.noise.npy", np.asarray(normals(seed, FLOW, 0, first, count, int(np.prod(bundle.manifest["sampleShape"]))), np.float32))
(out / "engine.json").write_text(json.dumps({"engine": name}))
