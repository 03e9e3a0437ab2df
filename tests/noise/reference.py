"""The Python implementation as a filter, for cross-language.test.ts.

Standard input: JSON list of [seed as a decimal string, purpose, step, first sample, samples, elements].
Standard output, for each in turn: words (uint32), uniforms (float64), normals (float32), all little endian.
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "runtimes" / "python"))
import ratioflow_noise as noise  # noqa: E402

for seed, *rest in json.load(sys.stdin):
    stream = (int(seed), *rest)
    for values, dtype in ((noise.words(*stream), "<u4"), (noise.uniforms(*stream), "<f8"), (noise.normals(*stream), "<f4")):
        sys.stdout.buffer.write(values.astype(dtype).tobytes())
