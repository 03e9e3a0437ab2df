"""The PyTorch side of the benchmarks: one JSON request per line on stdin, one reply per line on stdout.

{"do": "facts"}; {"do": "memory"}: the largest resident size; {"do": "train", "case": "toy" | "digits" | "resnet32",
"steps"?: n, "official"?: true}: milliseconds of one training iteration (Algorithm 1), of n bridging steps instead of the configured number;
{"do": "sample", "case": ..., "batch": n, "steps"?: n, "official"?: true, "spectral"?: true}: milliseconds of K + kappa flow steps of a batch
(Algorithm 2), or of so many; of a spectrally normalised network, whose power iteration goes on at every step, as in the official code. Eager PyTorch; `official` keeps each step's graph until the next one has its own and changes x in place,
as the official code does, otherwise no graph is kept. The networks and the flow are those that the tests compare ours with.
"""

import json
import os
import sys
import time

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "training"))
from algorithm1 import Mlp, Residual, loss_of  # noqa: E402


class Setting:
    """One estimator, its optimizer, its data and its prior."""

    def __init__(self, network, lr, ema, batch, steps, refinement, eta, dequantisation):
        self.network, self.batch, self.steps, self.refinement, self.eta = network, batch, steps, refinement, eta
        self.optimizer = torch.optim.Adam(network.parameters(), lr=lr)
        self.ema, self.average = ema, [p.detach().clone() for p in network.parameters()]
        self.dequantisation = dequantisation

    def flow(self, x, steps):
        for _ in range(steps):
            x.requires_grad_()
            (gradient,) = torch.autograd.grad(self.network(x).sum(), x)
            x = x.detach() - self.eta * gradient + 0.01 * torch.randn_like(gradient)
        return x

    def official_flow(self, x, steps):
        x.requires_grad_()
        for _ in range(steps):
            output = self.network(x)
            (gradient,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
            x.data -= self.eta * gradient + 0.01 * torch.randn_like(x)
        return x.detach()

    def flow_of(self, official):
        return self.official_flow if official else self.flow

    def train(self, steps, official):
        data = self.data(self.batch)
        if self.dequantisation:
            data = data + self.dequantisation * torch.randn_like(data)
        samples = self.flow_of(official)(self.prior(self.batch), steps)
        loss = loss_of("lr-kl", self.network(data), self.network(samples))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.ema:
            with torch.no_grad():
                for average, parameter in zip(self.average, self.network.parameters()):
                    average.mul_(self.ema).add_(parameter, alpha=1 - self.ema)
        loss.item()

    def sample(self, batch, steps, official):
        self.flow_of(official)(self.prior(batch), steps).clamp(-1, 1)


class Toy(Setting):
    def __init__(self, _):
        super().__init__(Mlp(), 5e-5, 0, 1024, 200, 0, 1, 0)

    def data(self, batch):
        t = 1.5 * np.pi * (1 + 2 * torch.rand(batch))
        return torch.stack((t * torch.cos(t), t * torch.sin(t)), 1) / 10 + 0.02 * torch.randn(batch, 2)

    def prior(self, batch):
        return torch.randn(batch, 2)


class Digits(Setting):
    def __init__(self, spectral):
        # resnet28 of docs/training.md.
        super().__init__(Residual(1, 32, [(32, 2), (64, 2), (64, 1), (64, 2)], spectral=spectral), 3e-4, 0.99, 64, 30, 10, 3, 0.03)
        self.images = torch.randint(0, 256, (60000, 1, 28, 28), dtype=torch.uint8)
        self.mean, self.factor = torch.zeros(784), 0.01 * torch.randn(784, 784)

    def data(self, batch):
        return self.images[torch.randint(0, 60000, (batch,))].float() / 127.5 - 1

    def prior(self, batch):
        return (self.mean + torch.randn(batch, 784) @ self.factor).clamp(-1, 1).reshape(batch, 1, 28, 28)


class Cifar(Setting):
    def __init__(self, spectral):
        super().__init__(Residual(3, 128, [(128, 1)] * 3 + [(256, 2), (256, 1), (256, 1)] * 3, spectral=spectral), 1e-4, 0.998, 64, 100, 20, 3, 0.03)
        self.images = torch.randint(0, 256, (256, 3, 32, 32), dtype=torch.uint8)

    def data(self, batch):
        return self.images[torch.randint(0, 256, (batch,))].float() / 127.5 - 1

    def prior(self, batch):
        return 2 * torch.rand(batch, 3, 32, 32) - 1


SETTINGS = {}


def setting(case, spectral=False):
    if (case, spectral) not in SETTINGS:
        SETTINGS[case, spectral] = {"toy": Toy, "digits": Digits, "resnet32": Cifar}[case](spectral)
    return SETTINGS[case, spectral]


def answer(request):
    if request["do"] == "facts":
        return {"torch": torch.__version__.split("+")[0], "threads": torch.get_num_threads()}
    if request["do"] == "memory":
        # Of this process alone: getrusage would include the one that it was forked from.
        with open("/proc/self/status") as status:
            return {"bytes": next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))}
    chosen = setting(request["case"], request.get("spectral", False))
    start = time.perf_counter()
    official = request.get("official", False)
    if request["do"] == "train":
        chosen.train(request.get("steps", chosen.steps), official)
    else:
        chosen.sample(request["batch"], request.get("steps", chosen.steps + chosen.refinement), official)
    return {"milliseconds": (time.perf_counter() - start) * 1000}


if __name__ == "__main__":
    torch.manual_seed(0)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
