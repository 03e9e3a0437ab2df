"""Input gradients of one network of every family of timm, with random weights, against torch.autograd: a sweep over what nobody here chose.

Of each module of timm the network with the fewest parameters, at the smallest image that it takes; exporters, comparison and
tolerances as in torch_networks.py, in float32. Needs timm beside what that needs, and about an hour.

Usage: python timm_networks.py --results FILE [--only REGEX] [--write]; what FILE has already is not done again.
"""
import argparse
import json
import pathlib
import re
import tempfile
import warnings

import timm
import torch
from page import write_section
from torch_networks import COLUMNS, rows_of

warnings.filterwarnings("ignore")
SIDES = (64, 96, 128, 160, 192, 224, 240, 256)
# With its opset: attention and folds of patches need 18 in the older exporter.
EXPORTERS = {"script": 18, "dynamo": 20}
LARGEST = 40e6


class Logits(torch.nn.Module):
    """The first output, where a network has several."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        y = self.network(x)
        return y[0] if isinstance(y, (tuple, list)) else y


def smallest(module):
    def parameters(name):
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in timm.create_model(name).parameters())
    sizes = {}
    for name in timm.list_models(module=module):
        try:
            sizes[name] = parameters(name)
        except Exception:  # noqa: BLE001 - some are not made without their weights
            continue
    name = min(sizes, key=sizes.get, default=None)
    return name if name and sizes[name] <= LARGEST else None


def made(name):
    """The network and its image, the smallest for which the output is finite; None where there is no such."""
    for side in SIDES:
        try:
            torch.manual_seed(0)
            try:
                network = timm.create_model(name, num_classes=10, img_size=side)
            except TypeError:
                network = timm.create_model(name, num_classes=10)
            network = Logits(network).eval()
            with torch.no_grad():
                if torch.isfinite(network(torch.randn(2, 3, side, side))).all():
                    return unsettled(network), (3, side, side)
        except Exception:  # noqa: BLE001 - too small an image
            continue
    return None


def unsettled(network):
    """Without parameters that begin at zero and statistics that begin at zero and one."""
    with torch.no_grad():
        for parameter in network.parameters():
            if float(parameter.abs().max()) == 0:
                parameter.normal_(0, 0.1)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return network


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", required=True)
    parser.add_argument("--only", default=".")
    parser.add_argument("--write", action="store_true", help="write the section into docs/gradient-coverage.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = pathlib.Path(arguments.results)
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    done = {(row["family"], row["exporter"]) for row in rows}
    for family in filter(lambda family: re.search(arguments.only, family), timm.list_modules()):
        wanted = [exporter for exporter in EXPORTERS if (family, exporter) not in done]
        name = smallest(family) if wanted else None
        network = made(name) if name else None
        for exporter in wanted:
            if network is None:
                fresh = [{"name": name, "exporter": exporter, "status": "none"}]
            else:
                with tempfile.TemporaryDirectory() as folder:
                    # Batch 2: with one image PyTorch 2.15's own gradient of efficientformer is wrong, as central differences show.
                    fresh = list(rows_of(name, *network, [(exporter, "single")], EXPORTERS[exporter], folder, batch=2))
            for row in fresh:
                row["family"] = family
                print(f"{row['status']}: {family}, {row['name']} ({exporter}): {row.get('detail', '')}", flush=True)
            rows += fresh
            with results.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in fresh)
    if arguments.write:
        write(rows)
    if any(row["status"] in ("wrong", "failed", "does not run") for row in rows):
        raise SystemExit(1)


def write(rows):
    heading = {exporter: COLUMNS[exporter, "single"].split(",")[0] for exporter in EXPORTERS}
    opsets = " and ".join(f"{opset} ({heading[exporter]})" for exporter, opset in EXPORTERS.items())
    lines = [f"Written by `python tests/parity/gradient/timm_networks.py --write` with timm {timm.__version__} and PyTorch {torch.__version__.split('+')[0]}: of each module of timm the network with the fewest parameters "
             f"(below {LARGEST / 1e6:.0f} million), random weights, float32, batch 2, at opset {opsets}.", ""]
    for exporter in EXPORTERS:
        own = [row for row in rows if row["exporter"] == exporter and row["status"] != "none"]
        passed = [row for row in own if row["status"] == "pass"]
        within = [row["found"]["judged"] for row in passed]
        lines.append(f"- **{heading[exporter]}: {len(passed)} of {len(own)} families pass**, the largest distance from autograd {max(within):.0e}. "
                     + "; ".join(f"{row['name']}: {row['status']}" for row in own if row["status"] != "pass") + ".")
    lines += ["", "The networks: " + ", ".join(sorted({row["name"] for row in rows if row["status"] != "none"})) + "."]
    write_section("Families of timm", lines)


if __name__ == "__main__":
    main()
