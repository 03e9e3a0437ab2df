"""Algorithm 1 of arXiv 2303.03714 in eager PyTorch with random numbers of PyTorch's own: whole runs to compare ours with."""

import torch
from algorithm1 import flow, loss_of


def moved(network, run, x, steps):
    """x after so many flow steps; `run` has pairing, eta, nu."""
    return flow(network, run["pairing"], x, (torch.randn_like(x) for _ in range(steps)), run["eta"], run["nu"])


def train(make, run, draw_data, draw_prior, report=lambda iteration, loss: None):
    """The averaged network; `run` has the fields of a configuration's flow and training, and pairing. Draws take a count."""
    network, average = make(), make()
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.Adam(network.parameters(), lr=run["learningRate"], betas=(0.9, 0.999))
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, run["decayAt"], run["decayFactor"])
    for t in range(run["iterations"]):
        data = draw_data(run["batch"])
        data = data + run["dequantisation"] * torch.randn_like(data)
        samples = moved(network, run, draw_prior(run["batch"]), run["K"])
        loss = loss_of(run["pairing"], network(data), network(samples))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for mean, parameter in zip(average.parameters(), network.parameters()):
                mean.mul_(run["ema"]).add_(parameter, alpha=1 - run["ema"])
        report(t + 1, loss)
    return average
