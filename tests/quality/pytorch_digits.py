"""Trains on digits by Algorithm 1 and samples by Algorithm 2 in eager PyTorch: python pytorch_digits.py '<JSON>'.

The JSON has data (uint8 .npy, [N, 1, 28, 28]), out (float32 .npy of samples in [-1, 1]), weights (.pt of the averaged network: kept, and
taken if it is there), pairing, prior (ddp or uniform), seed, count,
batch, iterations, decayAt, decayFactor, learningRate, ema, dequantisation, K, kappa, eta, nu: the fields of trainer/configs/digits.yaml.
Its random numbers are PyTorch's own.
"""

import json
import os
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "training"))
from algorithm1 import NETWORKS  # noqa: E402
from own_draws import moved, train  # noqa: E402

run = json.loads(sys.argv[1])
torch.manual_seed(run["seed"])
images = torch.from_numpy(np.load(run["data"])).flatten(1)


def prior_of(kind):
    if kind == "uniform":
        return lambda n: 2 * torch.rand(n, 784) - 1
    values = images.double() / 127.5 - 1
    mean, covariance = values.mean(0), torch.cov(values.T) + 1e-4 * torch.eye(784, dtype=torch.double)
    mean, factor = mean.float(), torch.linalg.cholesky(covariance).float()
    return lambda n: (mean + torch.randn(n, 784) @ factor.T).clamp(-1, 1)


# Channels last: the same numbers in an order in which these convolutions take two thirds of the time.
network = lambda: NETWORKS["resnet28"]().to(memory_format=torch.channels_last)
prior = prior_of(run["prior"])
draw = lambda n: prior(n).reshape(n, 1, 28, 28)
pixels = lambda n: images[torch.randint(0, len(images), (n,))].float().reshape(-1, 1, 28, 28) / 127.5 - 1


def report(iteration, loss):
    if iteration % 50 == 0:
        print(f"PyTorch: iteration {iteration} of {run['iterations']}, loss {loss.item():.3f}", file=sys.stderr, flush=True)


if os.path.exists(run["weights"]):
    average = network()
    average.load_state_dict(torch.load(run["weights"]))
else:
    average = train(network, run, pixels, draw, report)
    torch.save(average.state_dict(), run["weights"] + ".tmp")
    os.replace(run["weights"] + ".tmp", run["weights"])
torch.manual_seed(run["seed"] + 2**32)  # Samples do not depend on whether the training was done just now.
parts = [moved(average, run, draw(min(64, run["count"] - first)), run["K"] + run["kappa"]) for first in range(0, run["count"], 64)]
np.save(run["out"], torch.cat(parts).clamp(-1, 1).numpy())
