"""Checks a bundle without any of our JavaScript: ONNX's checker, ONNX Runtime at every optimisation level, the onnx
package's reference evaluator, and OpenVINO and tract where they are installed, against the verification vectors; then
samples it from a seed and compares with the given samples. usage: check_bundle.py BUNDLE SAMPLES.npy SEED; prints one line
per finding, the last one as JSON: how many outputs each engine got right (ONNX Runtime at all levels together), and
which graphs it does not run."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from engines import ENGINES  # noqa: E402
from ratioflow_noise import normals, uniforms  # noqa: E402

bundle, samples_file, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
manifest = json.loads((bundle / "manifest.json").read_text())
levels = ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"]
checks = {"onnxruntime": 0}
refused = {}
# The slope of a kink in half precision is Clip(60000 · 60000 y, slope, 1), where overflow is meant.
np.seterr(over="ignore")


def session(graph, level="ORT_ENABLE_ALL"):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    return ort.InferenceSession(str(bundle / f"{graph}.onnx"), options, providers=["CPUExecutionProvider"])


def compare(engine, what, actual, expected, tolerance):
    checks[engine] += 1
    allowed = tolerance["absolute"] + tolerance["relative"] * np.abs(np.float64(expected)).max()
    error = np.abs(np.float64(actual) - np.float64(expected)).max()
    if actual.shape != expected.shape or actual.dtype != expected.dtype or not error <= allowed:
        print(f"{what}: shape {actual.shape} of {actual.dtype} against {expected.shape}, largest error {error}, allowed {allowed}")


others = {}
for engine in ("reference", "openvino", "tract"):
    try:
        others[engine] = ENGINES[engine]()[1]
        checks[engine] = 0
    except ImportError:
        pass

for vector in manifest["verification"]:
    graph = vector["graph"]
    tolerance = vector.get("tolerance", manifest["tolerances"]["cpu"])
    onnx.checker.check_model(str(bundle / f"{graph}.onnx"), full_check=True)
    feeds = {name: np.load(bundle / file) for name, file in vector["inputs"].items()}
    outputs = {name: np.load(bundle / file) for name, file in vector["outputs"].items()}
    for level in levels:
        for name, actual in zip(outputs, session(graph, level).run(list(outputs), feeds)):
            compare("onnxruntime", f"{graph}.{name} at {level}", actual, outputs[name], tolerance)
    for engine, load in others.items():
        try:
            run = load(bundle / f"{graph}.onnx")
        except Exception as error:  # what an engine lacks is its answer, which the caller judges
            refused.setdefault(engine, {})[graph] = str(error).split("\n")[0]
            continue
        results = run(feeds)
        for name in outputs:
            compare(engine, f"{graph}.{name} by {engine}", np.asarray(results[name]), outputs[name], tolerance)

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
compare("onnxruntime", "samples", x, expected, {"absolute": 1e-4, "relative": 1e-3})
print(json.dumps({"checks": checks, "refused": refused}))
