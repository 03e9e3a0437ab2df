"""The two customary Inception networks as feature extractors for `ratioflow evaluate`: ONNX and its description.

    python inception_to_onnx.py fid --weights pt_inception-2015-12-05-6726825d.pth -o inception-fid.onnx
    python inception_to_onnx.py torchvision --weights inception_v3_google-0cc3c7bd.pth -o inception-torchvision.onnx

`fid` is the TensorFlow network of FID as pytorch-fid ported it: 1,008 classes, average pools that do not count the
padding, a max pool in the last block. `torchvision` is the network of the FDRL paper's protocol. Weights are the user's
own files, nothing is downloaded; `--random` draws them, to try the export. Needs torch, torchvision and onnx.
"""
import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import inception_v3

DESCRIPTION = """# {what}
model: {model}
input: images
output: features
size: 299
resize: bilinear
range: [-1, 1]
quantise: {quantise}
batch: 16
"""


def with_pool(block: nn.Module, pool) -> None:
    """Replaces what an Inception block pools in its last branch."""

    class Patched(type(block)):
        def _forward(self, x):
            return [*super()._forward(x)[:-1], self.branch_pool(pool(x))]

    block.__class__ = Patched


def network(kind: str) -> nn.Module:
    """Images [N, 3, 299, 299] in [−1, 1] → features [N, 2048]; without the head and the auxiliary classifier."""
    model = inception_v3(weights=None, num_classes=1008 if kind == "fid" else 1000, aux_logits=kind != "fid", transform_input=False, init_weights=False)
    if kind == "fid":
        average = lambda x: F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)
        largest = lambda x: F.max_pool2d(x, kernel_size=3, stride=1, padding=1)
        for name in ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b"):
            with_pool(getattr(model, f"Mixed_{name}"), average)
        with_pool(model.Mixed_7c, largest)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("fid", "torchvision"))
    parser.add_argument("-o", "--out", type=Path, required=True, help="model .onnx; its description .yaml comes beside it")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", type=Path, help="state dictionary of the network")
    source.add_argument("--random", action="store_true", help="random weights of seed 0")
    options = parser.parse_args()
    if options.out.suffix != ".onnx":
        parser.error(f"the output {options.out} must end in .onnx")
    torch.manual_seed(0)
    model = network(options.kind)
    if options.weights:
        model.load_state_dict(torch.load(options.weights, map_location="cpu", weights_only=True))
    model.fc, model.dropout, model.AuxLogits, model.aux_logits = nn.Identity(), nn.Identity(), None, False
    model.eval()
    images = torch.zeros(2, 3, 299, 299)
    torch.onnx.export(
        model, (images,), options.out, input_names=["images"], output_names=["features"], opset_version=18,
        dynamic_shapes={"x": {0: torch.export.Dim("N")}}, dynamo=True, external_data=False,
    )
    what = "Inception of FID (pytorch-fid's port)" if options.kind == "fid" else "torchvision's Inception v3"
    options.out.with_suffix(".yaml").write_text(DESCRIPTION.format(what=what, model=options.out.name, quantise="true" if options.kind == "fid" else "false"))


if __name__ == "__main__":
    main()
