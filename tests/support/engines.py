"""Engines with a Python interface, each behind one function: graph file -> (inputs by name -> outputs by name).
usage: engines.py BUNDLE...: every bundle's verification vectors on every engine that is installed, as rows of a table."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "runtimes/python"))
from ratioflow import Bundle, onnxruntime_loader  # noqa: E402


def onnxruntime_engine():
    import onnxruntime as ort

    return f"onnxruntime {ort.__version__} (Python)", onnxruntime_loader()


def openvino_engine():
    import openvino as ov

    core = ov.Core()

    def load(path):
        # Float32 throughout: on newer processors the default is bfloat16.
        model = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        # The results of a compiled model are its own memory, which the next call overwrites.
        return lambda inputs: {name: np.array(value) for name, value in model(inputs).to_dict().items() for name in name.names}

    return f"OpenVINO {ov.__version__.split('-')[0]}", load


def tract_engine():
    import onnx
    import tract

    loader = tract.onnx()

    def load(path):
        model = loader.load(str(path))
        inputs = [model.input_name(i) for i in range(model.input_count())]
        # tract gives outputs the names of the nodes that make them.
        outputs = [output.name for output in onnx.load(str(path), load_external_data=False).graph.output]
        plan = model.into_model().into_runnable()
        return lambda feeds: dict(zip(outputs, [result.to_numpy() for result in plan.run([np.require(feeds[name], requirements="C") for name in inputs])]))

    return f"tract {tract.version()}", load


def reference_engine():
    import onnx
    from onnx.reference import ReferenceEvaluator

    def load(path):
        session = ReferenceEvaluator(str(path))
        return lambda inputs: dict(zip(session.output_names, session.run(None, inputs)))

    return f"onnx {onnx.__version__}", load


ENGINES = {"onnxruntime": onnxruntime_engine, "openvino": openvino_engine, "tract": tract_engine, "reference": reference_engine}


def verdict(bundle, load):
    """Largest error over what a bundle's vectors check, as a share of what is allowed; and what does not run, with the reason."""
    bundle, errors, refused = Bundle(bundle, load), {}, {}
    for vector in bundle.manifest["verification"]:
        bundle.manifest = {**bundle.manifest, "verification": [vector]}
        try:
            for output, error, allowed in bundle.verify():
                errors[output] = error, allowed
        except Exception as error:  # whatever the engine raises is its answer
            refused[vector["graph"]] = str(error).split("\n")[0]
    return errors, refused


if __name__ == "__main__":
    for engine in ENGINES.values():
        try:
            name, load = engine()
        except ImportError:
            continue
        for folder in sys.argv[1:]:
            errors, refused = verdict(folder, load)
            wrong = {output: f"{error:.1e} of {allowed:.1e}" for output, (error, allowed) in errors.items() if not error <= allowed}
            worst = max((error for output, (error, _) in errors.items() if output in ("gradient.drift", "step.next", "sampler.x")), default=np.nan)
            print(f"| {name} | {Path(folder).name} | {worst:.1e} | {len(errors)} | {json.dumps(wrong)} | {json.dumps(refused)} |", flush=True)
