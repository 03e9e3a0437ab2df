"""Figures of two sets of features by their published definitions, in numpy and scipy: python figures.py <folder>.

Reads real.npy and fake.npy, subsets.json (rows of each subset of the kernel distance); writes figures.json. The Fréchet
distance is computed as pytorch-fid does (sqrtm of the product, real part); the other figures by brute force.
"""
import json
import sys
from pathlib import Path

import numpy as np
from scipy import linalg, stats
from scipy.spatial.distance import cdist as distances

folder = Path(sys.argv[1])
real, fake = (np.load(folder / name).astype(np.float64) for name in ("real.npy", "fake.npy"))
subsets = json.loads((folder / "subsets.json").read_text())


def frechet(mu1, sigma1, mu2, sigma2):
    root = linalg.sqrtm(sigma1 @ sigma2)
    return float(((mu1 - mu2) ** 2).sum() + np.trace(sigma1) + np.trace(sigma2) - 2 * np.trace(np.real(root)))


def nuclear(one, other):
    """The same where samples are few: tr (S1 S2)^1/2 is the sum of the singular values of X1 X2ᵀ."""
    x, y = ((a - a.mean(0)) / np.sqrt(len(a) - 1) for a in (one, other))
    root = linalg.svdvals(x @ y.T).sum()
    return float(((one.mean(0) - other.mean(0)) ** 2).sum() + (x**2).sum() + (y**2).sum() - 2 * root)


def kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def mmd(x, y):
    m = len(x)
    off = lambda k: k.sum() - np.trace(k)
    return float((off(kernel(x, x)) + off(kernel(y, y))) / (m * (m - 1)) - 2 * kernel(x, y).mean())


def radii(x, k):
    return np.sort(distances(x, x), axis=1)[:, k]


between = distances(real, fake)
inside = between < radii(real, 5)[:, None]
values = [mmd(real[a], fake[b]) for a, b in subsets]
figures = {
    "frechet": frechet(real.mean(0), np.cov(real, rowvar=False), fake.mean(0), np.cov(fake, rowvar=False)),
    "nuclear": nuclear(real, fake),
    "kernel": values,
    "precision": float((between <= radii(real, 3)[:, None]).any(0).mean()),
    "recall": float((between <= radii(fake, 3)[None]).any(1).mean()),
    "density": float(inside.sum(0).mean() / 5),
    "coverage": float(inside.any(1).mean()),
    "quantiles": [float(stats.t.ppf(0.975, nu)) for nu in (1, 2, 3, 4, 9, 30, 99)],
    "auc": float((fake[:, :1] > real[None, :, 0]).mean() + 0.5 * (fake[:, :1] == real[None, :, 0]).mean()),
}
np.savez(folder / "statistics.npz", mu=real.mean(0), sigma=np.cov(real, rowvar=False))
np.savez_compressed(folder / "compressed.npz", mu=real.mean(0), sigma=np.cov(real, rowvar=False))
(folder / "figures.json").write_text(json.dumps(figures))
