"""Ratioflow's noise in Python: the specification of docs/noise.md in numpy, bit for bit the noise of the SDK.

Every value depends on (seed, purpose, step, sample, element) alone. numpy rounds after every operation (no fused
multiply-add), as the specification demands.
"""
import numpy as np

PRIOR, FLOW, ORDER, DEQUANTISATION, TEST_VECTORS, WEIGHTS = range(6)


def threefry(key, c0, c1):
    """Threefry-2x32-20 of the counters (c0, c1), arrays of uint32 that broadcast: two arrays of words."""
    k = [np.array(word, np.uint32) for word in key]
    k.append(np.uint32(0x1BD11BDA) ^ k[0] ^ k[1])
    x0, x1 = np.broadcast_arrays(np.atleast_1d(np.asarray(c0, np.uint32)), np.asarray(c1, np.uint32))
    x0, x1 = x0 + k[0], x1 + k[1]
    for i in range(5):
        for r in (13, 15, 26, 6) if i % 2 == 0 else (17, 29, 16, 24):
            x0 = x0 + x1
            x1 = ((x1 << np.uint32(r)) | (x1 >> np.uint32(32 - r))) ^ x0
        x0 = x0 + k[(i + 1) % 3]
        x1 = x1 + k[(i + 2) % 3] + np.uint32(i + 1)
    return x0, x1


def stream_key(seed, purpose, step):
    """Key words of a stream: the block of counter (purpose, step) under the seed, an integer in [0, 2**64)."""
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed {seed} is not in [0, 2**64)")
    return [int(word[0]) for word in threefry((seed & 0xFFFFFFFF, seed >> 32), purpose, step)]


def training_seed(seed, iteration):
    """Seed of the prior and flow noise of one training iteration."""
    low, high = stream_key(seed, FLOW, iteration)
    return high << 32 | low


def words(seed, purpose, step, first, count, elements):
    """Raw words, uint32 [count, elements], of samples first, first + 1, …"""
    blocks = np.arange((elements + 1) // 2, dtype=np.uint32)
    samples = np.arange(first, first + count, dtype=np.uint64).astype(np.uint32)
    pair = threefry(stream_key(seed, purpose, step), samples[:, None], blocks[None, :])
    return np.stack(pair, axis=-1).reshape(count, 2 * len(blocks))[:, :elements]


def uniforms(*stream):
    """Uniforms in (0, 1), float64; arguments as for `words`."""
    return (words(*stream) + 0.5) * 2.0**-32


def normals(*stream):
    """Standard normals, float32; arguments as for `words`."""
    w = words(*stream).astype(np.int64)
    upper = w >= 2**31
    n = 2 * np.where(upper, 2**32 - 1 - w, w) + 1
    e = np.frexp(n.astype(np.float64))[1].astype(np.int64) - 1  # n < 2**32 is exact in a double
    t = (n / 2.0**e - 1) * 256
    i = np.floor(t).astype(np.int64)
    j = 256 * e + i
    magnitude = KNOTS[j] + (t - i) * (KNOTS[j + 1] - KNOTS[j])
    return np.where(upper, magnitude, -magnitude).astype(np.float32)


def _horner(coefficients, x):
    total = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total = total * x + c
    return total


def _log(x):
    m, e = np.frexp(x)  # m in [0.5, 1)
    m, e = np.where(m < 0.7071067811865476, 2 * m, m), np.where(m < 0.7071067811865476, e - 1, e)
    s = (m - 1) / (m + 1)
    h = _horner([1 / (2 * k + 1) for k in range(11, -1, -1)], s * s)
    return e * 0.6931471805599453 + 2 * s * h


# Wichura's algorithm AS 241 (PPND16): numerators and denominators, highest power first.
_CENTRE = ((2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
            13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
           (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
            5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0))
_TAIL = ((7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
          3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
         (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
          0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0))


def quantile(p):
    """The quantile of the normal distribution for an array of p in [2**-33, 0.5], all zero or below.

    The third range of AS 241, p < exp(-25), never occurs.
    """
    q = p - 0.5
    r = 0.180625 - q * q
    t = np.sqrt(-_log(p)) - 1.6
    centre = q * _horner(_CENTRE[0], r) / _horner(_CENTRE[1], r)
    tail = -(_horner(_TAIL[0], t) / _horner(_TAIL[1], t))
    return np.where(np.abs(q) <= 0.425, centre, tail)


_J = np.arange(8192)
KNOTS = np.append(-quantile((1 + (_J % 256) / 256) * 2.0 ** (_J // 256 - 33)), 0.0)
