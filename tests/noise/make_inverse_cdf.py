"""Writes inverse-cdf.json: quantiles of the normal distribution at the uniforms of chosen words, by mpmath.

Independent of ratioflow: mpmath's inverse error function at 60 digits, rounded once to a double.
Run: python make_inverse_cdf.py   (needs mpmath; the fixture is committed, so only to change it)
"""
import json
import pathlib
import random

import mpmath

mpmath.mp.dps = 60


def quantile(word):
    p = (mpmath.mpf(word) + 0.5) / 2**32
    return float(mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1))


words = set(range(64)) | {2**32 - 1 - w for w in range(64)} | {2**31 + d for d in range(-32, 32)}
for e in range(32):  # the ends of every octave of the table, and both sides of each
    words |= {w for w in range(2**e - 2, 2**e + 2) if 0 <= w < 2**32}
centre = int(0.075 * 2**32)  # where AS 241 changes its formula
words |= set(range(centre - 8, centre + 8)) | {2**32 - 1 - w for w in range(centre - 8, centre + 8)}
words |= {537919301, 537918830}  # the largest errors of all words, after and before rounding to float32
generator = random.Random(20230303)
words |= {generator.getrandbits(32) for _ in range(600)}
# The tails have few words: a share at every order of magnitude.
words |= {int(2 ** generator.uniform(0, 31)) for _ in range(600)}

rows = [[w, quantile(w)] for w in sorted(words)]
path = pathlib.Path(__file__).with_name("inverse-cdf.json")
path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
print(f"{len(rows)} quantiles in {path.name}")
