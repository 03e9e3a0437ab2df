"""Figures of two sets of features by their published definitions, in numpy and scipy: python figures.py <folder>.

Reads real.npy and fake.npy, subsets.json (rows of each subset of the kernel distance); writes figures.json. The Fréchet
distance is computed as pytorch-fid does (sqrtm of the product, real part); the other figures by brute force.
"""
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
from scipy import linalg, stats
from scipy.spatial.distance import cdist as distances

folder = Path(sys.argv[1])
real, fake = (np.load(folder / name).astype(np.float64) for name in ("real.npy", "fake.npy"))
subsets = json.loads((folder / "subsets.json").read_text())


def frechet(mu1, sigma1, mu2, sigma2):
    root = linalg.sqrtm(sigma1 @ sigma2)
    return float(((mu1 - mu2) ** 2).sum() + np.trace(sigma1) + np.trace(sigma2) - 2 * np.trace(np.real(root)))


def pytorch_fid(mu1, sigma1, mu2, sigma2):
    """pytorch-fid's own function; None where it is not installed. It needs neither torch nor pillow, which its file imports."""
    if find_spec("pytorch_fid") is None:
        return None
    modules = ("torch", "torch.nn", "torch.nn.functional", "torchvision", "torchvision.transforms", "PIL", "pytorch_fid.inception")
    sys.modules.update({name: MagicMock() for name in modules})
    from pytorch_fid.fid_score import calculate_frechet_distance

    return float(calculate_frechet_distance(mu1, sigma1, mu2, sigma2))


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
moments = [moment for rows in (real, fake) for moment in (rows.mean(0), np.cov(rows, rowvar=False))]
values = [mmd(real[a], fake[b]) for a, b in subsets]
figures = {
    "frechet": frechet(*moments),
    "pytorch_fid": pytorch_fid(*moments),
    "nuclear": nuclear(real, fake),
    "kernel": values,
    "precision": float((between <= radii(real, 3)[:, None]).any(0).mean()),
    "recall": float((between <= radii(fake, 3)[None]).any(1).mean()),
    "density": float(inside.sum(0).mean() / 5),
    "coverage": float(inside.any(1).mean()),
    "quantiles": [float(stats.t.ppf(0.975, nu)) for nu in (1, 2, 3, 4, 9, 30, 99)],
    "auc": float((fake[:, :1] > real[None, :, 0]).mean() + 0.5 * (fake[:, :1] == real[None, :, 0]).mean()),
}
np.savez(folder / "statistics.npz", mu=moments[0], sigma=moments[1])
np.savez_compressed(folder / "compressed.npz", mu=moments[0], sigma=moments[1])
(folder / "figures.json").write_text(json.dumps(figures))
