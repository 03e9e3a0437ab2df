"""Trains on a set of the plane by Algorithm 1 in eager PyTorch, and samples: what planar-sets.mjs compares ours with.

argv: a JSON object with set, seed, iterations, batch, K, eta, nu, learningRate, decayAt, decayFactor, ema, dequantisation,
count, and out, the .npy file [count, 2] that is written. Sets with the constants of the official code, drawn by torch.
"""

import json
import math
import os
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "training"))
from algorithm1 import Mlp, loss_of  # noqa: E402


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
    network, average = Mlp(), Mlp()
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr=job["learningRate"])
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, job["decayAt"], job["decayFactor"])

    def flow(model, x):
        for _ in range(job["K"]):
            x.requires_grad_()
            (gradient,) = torch.autograd.grad(model(x).sum(), x)
            x = x.detach() - job["eta"] * gradient + job["nu"] * torch.randn_like(x)
        return x

    for _ in range(job["iterations"]):
        data = draw(job["set"], job["batch"]) + job["dequantisation"] * torch.randn(job["batch"], 2)
        samples = flow(network, torch.randn(job["batch"], 2))
        loss = loss_of("lr-kl", network(data), network(samples))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), network.parameters()):
                slow.mul_(job["ema"]).add_(fast, alpha=1 - job["ema"])
    np.save(job["out"], flow(average, torch.randn(job["count"], 2)).numpy())
