"""Samples ratioflow bundles with onnxruntime and numpy alone: the format is docs/bundle.md, the noise docs/noise.md."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
from ratioflow_noise import FLOW, PRIOR, normals, uniforms

NAMES = re.compile(r"[a-z0-9-]+\.onnx|weights(-fp16)?\.bin|verify/\w[\w.-]*\.npy", re.ASCII)


def onnxruntime_loader(providers=("CPUExecutionProvider",)):
    """Loads a graph file with onnxruntime: path -> (inputs by name -> outputs by name)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; the optimiser's warnings help nobody

    def load(path):
        session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(None, inputs)))

    return load


class Bundle:
    """A bundle in a folder, every file checked against the manifest. `load` brings another engine (see onnxruntime_loader)."""

    def __init__(self, folder, load=None):
        self.folder, self._load, self._graphs = Path(folder), load or onnxruntime_loader(), {}
        self.manifest = json.loads((self.folder / "manifest.json").read_text("utf-8"))
        if self.manifest["formatVersion"] > 1:
            raise ValueError(f"{folder} has format version {self.manifest['formatVersion']}; this driver reads 1")
        for name, record in self.manifest["files"].items():
            if not NAMES.fullmatch(name):
                raise ValueError(f"{folder}: the manifest names {name!r}, which is no file of a bundle")
            digest = hashlib.sha256()
            with open(self.folder / name, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            if digest.hexdigest() != record["sha256"]:
                raise ValueError(f"{folder}: {name} is not what the manifest says; copy or export the bundle again")

    def run(self, graph, **inputs):
        """The outputs of a graph, by name."""
        if graph not in self._graphs:
            self._graphs[graph] = self._load(self.folder / f"{graph}.onnx")
        samples = len(next(inputs[name] for name in ("x", "x0", "z") if name in inputs))
        return self._graphs[graph]({**self._composed(graph, samples), **inputs})

    def _composed(self, graph, samples):
        """What a composed bundle's graph wants besides: no class, the manifest's scale and weights."""
        inputs = {}
        if "guidance" in self.manifest and graph not in ("prior", "ratio"):
            inputs["y"] = np.full(samples, -1, np.int64)
            if graph != "generator":
                inputs["phi"] = np.array(self.manifest["guidance"]["scale"], np.float32)
        if "mixture" in self.manifest and graph not in ("prior", "generator"):
            inputs["weights"] = np.array(self.manifest["mixture"], np.float32)
        return inputs

    def sample(self, count=1, seed=0, first=0, *, x0=None, noise=None, batch=64, y=None, phi=None, weights=None, **settings):
        """Samples `first` to `first + count - 1` of a seed, float32 [count, ...]; settings: K, kappa, eta, nu.

        `x0`: start from these instead of the prior; `noise` [K + kappa, count, ...]: this instead of the seed's. The batch changes speed and memory, never a sample.
        Of composed bundles: `y`, one class or one for each sample (below 0: none), `phi`, the scale of the guidance, and `weights` of the estimators.
        """
        options = {name: settings.pop(name, self.manifest[name]) for name in ("K", "kappa", "eta", "nu")}
        if settings:
            raise TypeError(f"unknown settings {sorted(settings)}; there are {sorted(options)}")
        for name, value, least in (("count", count, 1), ("batch", batch, 1), *((name, value, 0) for name, value in options.items())):
            if not least <= value < np.inf:
                raise ValueError(f"{name} is {value}; allowed: from {least}")
        if "guidance" not in self.manifest and (y is not None or phi is not None):
            raise ValueError("y and phi need a guided bundle: compose it with a classifier")
        if "mixture" not in self.manifest and weights is not None:
            raise ValueError("weights need a bundle of several estimators")
        extras = {name: np.asarray(value, np.float32) for name, value in (("phi", phi), ("weights", weights)) if value is not None}
        classes = None if y is None else np.broadcast_to(np.asarray(y, np.int64), count)
        if classes is not None and classes.max() >= self.manifest["guidance"]["classes"]:
            raise ValueError(f"y is {classes.max()}; allowed: up to {self.manifest['guidance']['classes'] - 1}")
        if x0 is None and self.manifest["prior"]["kind"] == "source":
            raise ValueError("this bundle starts from samples of another domain: give them as x0")
        size = int(np.prod(self.manifest["sampleShape"]))
        draw = {"normal": normals, "uniform": uniforms}[self.manifest["prior"]["z"]]
        eta, nu = (np.array(options[name], np.float32) for name in ("eta", "nu"))
        parts = []
        for start in range(0, count, batch):
            n, index = min(batch, count - start), first + start
            z = draw(seed, PRIOR, 0, index, n, size).astype(np.float32)
            x = self.run("prior", z=z)["x0"] if x0 is None else np.asarray(x0[start:start + n], np.float32)
            if classes is not None:
                extras["y"] = classes[start:start + n]
            for k in range(options["K"] + options["kappa"]):
                xi = normals(seed, FLOW, k, index, n, size).reshape(x.shape) if noise is None else np.asarray(noise[k][start:start + n], np.float32)
                x = self.run("step", x=x, noise=xi, eta=eta, nu=nu, **extras)["next"]
            parts.append(x if self.manifest["valueRange"] is None else np.clip(x, *self.manifest["valueRange"]))
        return np.concatenate(parts)

    def score(self, x):
        """log q/p of samples [count, ...]: negative where x looks like data."""
        return self.run("ratio", x=np.asarray(x, np.float32))["logRatio"]

    def verify(self, provider="cpu"):
        """Runs the verification vectors: (graph.output, largest error, allowed), one per output."""
        tolerances = self.manifest["tolerances"]
        for vector in self.manifest["verification"]:
            tolerance = vector.get("tolerance") or tolerances.get(provider, tolerances["default"])
            outputs = self.run(vector["graph"], **{name: np.load(self.folder / file) for name, file in vector["inputs"].items()})
            for name, file in vector["outputs"].items():
                expected = np.load(self.folder / file)
                error = np.abs(outputs[name] - expected.astype(np.float64)).max() if outputs[name].shape == expected.shape else np.inf
                yield f"{vector['graph']}.{name}", error, tolerance["absolute"] + tolerance["relative"] * np.abs(expected.astype(np.float64)).max()
