"""Checks a bundle without any of our JavaScript: ONNX's checker, ONNX Runtime at every optimisation level, and the onnx
package's reference evaluator, and OpenVINO where it is installed, against the verification vectors; then samples it from a
seed and compares with the given samples. usage: check_bundle.py BUNDLE SAMPLES.npy SEED; prints one line per finding, the
last one as JSON: how much was compared, and by how many engines besides the levels of ONNX Runtime."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx.reference import ReferenceEvaluator

try:
    import openvino
except ImportError:
    openvino = None

sys.path.insert(0, str(Path(__file__).parents[2] / "runtimes/python"))
from ratioflow_noise import normals, uniforms  # noqa: E402

bundle, samples_file, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
manifest = json.loads((bundle / "manifest.json").read_text())
levels = ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"]
checks = 0
# The slope of a kink in half precision is Clip(60000 y, slope, 1), where overflow is meant.
np.seterr(over="ignore")


def session(graph, level="ORT_ENABLE_ALL"):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    return ort.InferenceSession(str(bundle / f"{graph}.onnx"), options, providers=["CPUExecutionProvider"])


def compare(what, actual, expected, tolerance):
    global checks
    checks += 1
    allowed = tolerance["absolute"] + tolerance["relative"] * np.abs(np.float64(expected)).max()
    error = np.abs(np.float64(actual) - np.float64(expected)).max()
    if actual.shape != expected.shape or actual.dtype != expected.dtype or not error <= allowed:
        print(f"{what}: shape {actual.shape} of {actual.dtype} against {expected.shape}, largest error {error}, allowed {allowed}")


for vector in manifest["verification"]:
    graph = vector["graph"]
    tolerance = vector.get("tolerance", manifest["tolerances"]["cpu"])
    onnx.checker.check_model(str(bundle / f"{graph}.onnx"), full_check=True)
    feeds = {name: np.load(bundle / file) for name, file in vector["inputs"].items()}
    outputs = {name: np.load(bundle / file) for name, file in vector["outputs"].items()}
    for level in levels:
        for name, actual in zip(outputs, session(graph, level).run(list(outputs), feeds)):
            compare(f"{graph}.{name} at {level}", actual, outputs[name], tolerance)
    for name, actual in zip(outputs, ReferenceEvaluator(str(bundle / f"{graph}.onnx")).run(list(outputs), feeds)):
        compare(f"{graph}.{name} by the reference evaluator", actual, outputs[name], tolerance)
    if openvino:
        # Its own choice of precision would be bfloat16 on processors that have it.
        compiled = openvino.Core().compile_model(str(bundle / f"{graph}.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        results = compiled(feeds)
        for name in outputs:
            compare(f"{graph}.{name} by OpenVINO", results[name], outputs[name], tolerance)

# Algorithm 2, from a seed: prior, K + kappa steps, one clamp at the end.
expected = np.load(samples_file)
count, shape = len(expected), manifest["sampleShape"]
elements, steps = int(np.prod(shape)), manifest["K"] + manifest["kappa"]
draw = {"normal": normals, "uniform": uniforms}[manifest["prior"]["z"]]
z = np.float32(draw(seed, 0, 0, 0, count, elements)).reshape(count, elements)
(x0,) = session("prior").run(["x0"], {"z": z})
noise = np.stack([np.float32(normals(seed, 1, k, 0, count, elements)).reshape(count, *shape) for k in range(steps)])
scalars = {name: np.array(manifest[name], np.float32) for name in ("eta", "nu")}
(x,) = session("sampler").run(["x"], {"x0": x0, "noise": noise, **scalars})
if manifest["valueRange"]:
    x = np.clip(x, *manifest["valueRange"])
compare("samples", x, expected, {"absolute": 1e-4, "relative": 1e-3})
print(json.dumps({"checks": checks, "engines": 2 if openvino else 1}))
