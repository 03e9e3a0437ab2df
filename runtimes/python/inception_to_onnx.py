"""The two customary Inception networks as feature extractors for `ratioflow evaluate`: ONNX and its description.

    python inception_to_onnx.py fid --weights pt_inception-2015-12-05-6726825d.pth -o inception-fid.onnx
    python inception_to_onnx.py torchvision --weights inception_v3_google-0cc3c7bd.pth -o inception-torchvision.onnx

`fid` is the TensorFlow network of FID as pytorch-fid ported it: 1,008 classes, average pools that do not count the
padding, a max pool in the last block. `torchvision` is the network of the FDRL paper's protocol. Weights are the user's
own files, nothing is downloaded; `--random` draws them, to try the export. Needs torch, torchvision and onnx.
"""
import argparse
import os
import tempfile
from pathlib import Path

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


def with_pool(block, pool) -> None:
    """Replaces what an Inception block pools in its last branch."""

    class Patched(type(block)):
        def _forward(self, x):
            return [*super()._forward(x)[:-1], self.branch_pool(pool(x))]

    block.__class__ = Patched


def network(kind: str):
    """Images [N, 3, 299, 299] in [−1, 1] → features [N, 2048]; without the head and the auxiliary classifier."""
    import torch.nn.functional as F
    from torchvision.models import inception_v3

    model = inception_v3(weights=None, num_classes=1008 if kind == "fid" else 1000, aux_logits=kind != "fid", transform_input=False, init_weights=False)
    if kind == "fid":
        average = lambda x: F.avg_pool2d(x, kernel_size=3, stride=1, padding=1, count_include_pad=False)
        largest = lambda x: F.max_pool2d(x, kernel_size=3, stride=1, padding=1)
        for name in ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b"):
            with_pool(getattr(model, f"Mixed_{name}"), average)
        with_pool(model.Mixed_7c, largest)
    return model


def load_weights(model, path: Path) -> None:
    """Raises ValueError with the reason for a file that holds no weights of the model."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch's unpickler raises whatever the bytes lead it to
        raise ValueError(f"{path} is no file of weights that PyTorch reads ({type(error).__name__}); fetch it again, or save the network's state_dict()") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, no state dictionary; save the network's state_dict()")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        # A line for every layer follows the first; what begins the second tells enough.
        reason = " ".join(" ".join(str(error).splitlines()[1:2]).split())
        raise ValueError(f"{path} holds the weights of another network ({reason[:120]} …). Are they those of the other kind?") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("fid", "torchvision"))
    parser.add_argument("-o", "--out", type=Path, required=True, help="model .onnx; its description .yaml comes beside it")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", type=Path, help="state dictionary of the network")
    source.add_argument("--random", action="store_true", help="random weights of seed 0")
    options = parser.parse_args()
    description = options.out.with_suffix(".yaml")
    if options.out.suffix != ".onnx":
        parser.error(f"the output {options.out} must end in .onnx")
    for path in (options.out, description):
        if path.is_dir():
            parser.error(f"the output {path} is a folder; name a file")
    if not options.out.absolute().parent.is_dir():
        parser.error(f"the output's folder {options.out.parent} is not there; make it first")
    if options.weights and not options.weights.is_file():
        parser.error(f"the weights {options.weights} are no file; give the network's state dictionary, as torch.save writes it")
    # Imported once the arguments are known to be right: they take seconds.
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = network(options.kind)
    if options.weights:
        try:
            load_weights(model, options.weights)
        except ValueError as error:
            parser.error(str(error))
    model.fc, model.dropout, model.AuxLogits, model.aux_logits = nn.Identity(), nn.Identity(), None, False
    model.eval()
    images = torch.zeros(2, 3, 299, 299)
    what = "Inception of FID (pytorch-fid's port)" if options.kind == "fid" else "torchvision's Inception v3"
    # Both files or neither: made in a folder beside their place, then renamed.
    with tempfile.TemporaryDirectory(prefix=f".{options.out.stem}.", dir=options.out.absolute().parent) as folder:
        torch.onnx.export(
            model, (images,), Path(folder, "model.onnx"), input_names=["images"], output_names=["features"], opset_version=18,
            dynamic_shapes={"x": {0: torch.export.Dim("N")}}, dynamo=True, external_data=False,
        )
        Path(folder, "model.yaml").write_text(DESCRIPTION.format(what=what, model=options.out.name, quantise="true" if options.kind == "fid" else "false"), encoding="utf-8")
        os.replace(Path(folder, "model.onnx"), options.out)
        os.replace(Path(folder, "model.yaml"), description)


if __name__ == "__main__":
    main()
