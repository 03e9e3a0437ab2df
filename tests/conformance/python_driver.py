"""Samples bundles on an engine with a Python interface, by docs/bundle.md alone: prior, then step after step.
usage: python_driver.py ENGINE FOLDER OUT; reads OUT/jobs.json, writes OUT/<i>.samples.npy, OUT/<i>.noise.npy and
OUT/engine.json. ENGINE: onnxruntime, openvino, reference."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "runtimes/python"))
from ratioflow_noise import normals, uniforms  # noqa: E402


def onnxruntime_engine():
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3

    def load(path):
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda output, feeds: session.run([output], feeds)[0]

    return f"onnxruntime {ort.__version__} (Python)", load


def openvino_engine():
    import openvino as ov

    core = ov.Core()

    def load(path):
        # Float32 throughout: on newer processors the default is bfloat16.
        model = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        # The results of a compiled model are its own memory, which the next call overwrites.
        return lambda output, feeds: np.array(model(feeds)[output])

    return f"OpenVINO {ov.__version__.split('-')[0]}", load


def reference_engine():
    import onnx
    from onnx.reference import ReferenceEvaluator

    def load(path):
        session = ReferenceEvaluator(str(path))
        return lambda output, feeds: session.run([output], feeds)[0]

    return f"onnx {onnx.__version__}", load


engine, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
name, load = {"onnxruntime": onnxruntime_engine, "openvino": openvino_engine, "reference": reference_engine}[engine]()
graphs = {}


def graph(bundle, file):
    key = bundle, file
    if key not in graphs:
        graphs[key] = load(folder / bundle / file)
    return graphs[key]


for i, job in enumerate(json.loads((out / "jobs.json").read_text())):
    bundle, seed, first, count = job["bundle"], int(job["seed"]), job["first"], job["count"]
    manifest = json.loads((folder / bundle / "manifest.json").read_text())
    shape = manifest["sampleShape"]
    elements = int(np.prod(shape))

    def draw(make, purpose, step):
        return np.asarray(make(seed, purpose, step, first, count, elements), np.float32)

    if job["x0"]:
        x = np.load(folder / job["x0"])
    else:
        z = draw({"normal": normals, "uniform": uniforms}[manifest["prior"]["z"]], 0, 0)
        x = graph(bundle, "prior.onnx")("x0", {"z": z.reshape(count, elements)})
    given = np.load(folder / job["noise"]) if job["noise"] else None
    scalars = {key: np.array(job[key], np.float32) for key in ("eta", "nu")}
    step = graph(bundle, "step.onnx")
    for k in range(job["K"] + job["kappa"]):
        noise = given[k] if given is not None else draw(normals, 1, k).reshape(count, *shape)
        x = step("next", {"x": x, "noise": noise, **scalars})
    if manifest["valueRange"]:
        x = np.clip(x, *manifest["valueRange"])
    np.save(out / f"{i}.samples.npy", np.asarray(x, np.float32))
    np.save(out / f"{i}.noise.npy", draw(normals, 1, 0))
(out / "engine.json").write_text(json.dumps({"engine": name}))
