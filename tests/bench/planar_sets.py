"""Trains on a set of the plane by Algorithm 1 in eager PyTorch, and samples: what planar-sets.mjs compares ours with.

argv: a JSON object with set, seed, pairing, iterations, batch, K, eta, nu, learningRate, decayAt, decayFactor, ema, dequantisation,
count, and out, the .npy file [count, 2] that is written. Sets with the constants of the official code, drawn by torch.
"""

import json
import math
import os
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "training"))
from algorithm1 import Mlp  # noqa: E402
from own_draws import moved, train  # noqa: E402


def draw(name, count):
    if name == "swiss-roll":
        t = 1.5 * math.pi * (1 + 2 * torch.rand(count))
        return torch.stack((t * torch.cos(t), t * torch.sin(t)), 1) / 7.5 + 0.25 / 7.5 * torch.randn(count, 2)
    if name == "8-gaussians":
        angle = torch.randint(0, 8, (count,)) * math.pi / 4
        return (2 * torch.stack((torch.cos(angle), torch.sin(angle)), 1) + 0.02 * torch.randn(count, 2)) / 1.414
    return (2 * torch.randint(-2, 3, (count, 2)) + 0.05 * torch.randn(count, 2)) / 2.828


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    torch.manual_seed(job["seed"])
    # Small networks: a second thread waits more than it works.
    torch.set_num_threads(1)
    prior = lambda count: torch.randn(count, 2)
    average = train(Mlp, job, lambda count: draw(job["set"], count), prior)
    np.save(job["out"], moved(average, job, prior(job["count"]), job["K"]).numpy())
