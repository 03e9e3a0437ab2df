"""Writes vectors.json, the published test vectors of the noise specification, from the Python implementation.

Run: python make_vectors.py   (needs numpy). docs/noise.md explains the file; vectors.test.ts holds the SDK against it.
"""
import hashlib
import json
import pathlib
import sys

import numpy as np

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parents[1] / "runtimes" / "python"))
import ratioflow_noise as noise  # noqa: E402


def bits(array):
    """Hexadecimal bit patterns, most significant digit first."""
    width = array.dtype.itemsize
    return [f"{int(value):0{2 * width}x}" for value in array.ravel().view(f"u{width}")]


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()


counters = [((0, 0), (0, 0)), ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF)),
            ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3)), ((1, 2), (3, 4)), ((0x80000000, 0), (0, 0x80000000))]
# seed, purpose, step, first sample, samples, elements of a sample
streams = [(42, 1, 3, 5, 1, 4), (0, 0, 0, 0, 2, 3), (1, 1, 0, 0, 1, 8), (2**64 - 1, 1, 119, 2**32 - 2, 2, 5),
           (2**53 + 1, 2, 99_999, 7, 3, 1), (1 << 32, 4, 2**32 - 1, 1000, 1, 7), (12345678901234567890, 5, 17, 123456789, 2, 6)]
large = [(7, 1, 2, 0, 16, 3 * 32 * 32), (18446744073709551557, 0, 0, 999, 1001, 7)]

vectors = {
    "description": "Test vectors of ratioflow's noise (docs/noise.md). Bit patterns are hexadecimal, most significant digit first; "
                   "digests are SHA-256 over little-endian bytes, samples in order, elements in order.",
    "threefry": [{"key": bits(np.array(k, np.uint32)), "counter": bits(np.array(c, np.uint32)),
                  "words": bits(np.concatenate(noise.threefry(k, *c)))} for k, c in counters],
    "streamKeys": [{"seed": str(s), "purpose": p, "step": k, "key": bits(np.array(noise.stream_key(s, p, k), np.uint32))}
                   for s, p, k, *_ in streams],
    "trainingSeeds": [{"seed": str(s), "iteration": t, "trainingSeed": str(noise.training_seed(s, t))}
                      for s, t in ((0, 0), (42, 3), (2**64 - 1, 99_999))],
    "knots": {"selected": [{"index": j, "float64": bits(noise.KNOTS[j:j + 1])[0]}
                           for j in (0, 1, 255, 256, 2048, 4095, 5000, 7000, 7599, 7600, 8191, 8192)],
              "sha256": sha256(noise.KNOTS)},
    "streams": [{"seed": str(s[0]), "purpose": s[1], "step": s[2], "firstSample": s[3], "count": s[4], "elements": s[5],
                 "words": bits(noise.words(*s)), "uniformsFloat64": bits(noise.uniforms(*s)), "normalsFloat32": bits(noise.normals(*s))}
                for s in streams],
    "digests": [{"seed": str(s[0]), "purpose": s[1], "step": s[2], "firstSample": s[3], "count": s[4], "elements": s[5],
                 "words": sha256(noise.words(*s)), "uniformsFloat64": sha256(noise.uniforms(*s)), "normalsFloat32": sha256(noise.normals(*s))}
                for s in large],
}
(here / "vectors.json").write_text(json.dumps(vectors, indent=1) + "\n")
