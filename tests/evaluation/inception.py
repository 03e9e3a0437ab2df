"""Features of Inception by pytorch-fid's code, and our export of the same weights: python inception.py <inception_to_onnx.py> <folder>.

Reads images.npy (uint8, [N, 3, H, W]); writes fid.onnx with its description, and fid.npy, the features of pytorch-fid's
InceptionV3. Weights are random; a batch has set the averages of the normalisation layers, so that features are of ordinary size.
"""
import runpy
import sys
from pathlib import Path

import numpy as np
import torch
from pytorch_fid import inception as pytorch_fid
from torchvision.models import inception_v3

exporter, folder = sys.argv[1], Path(sys.argv[2])
images = torch.from_numpy(np.load(folder / "images.npy")).float() / 255
torch.manual_seed(1)
network = inception_v3(weights=None, init_weights=False, transform_input=False, num_classes=1008, aux_logits=False).train()
for layer in network.modules():
    if isinstance(layer, torch.nn.BatchNorm2d):
        layer.momentum = None
with torch.no_grad():
    network(2 * torch.rand(4, 3, 139, 139) - 1)
torch.save(network.state_dict(), folder / "fid.pth")

# Its constructor would fetch the weights.
pytorch_fid.load_state_dict_from_url = lambda *_, **__: network.state_dict()
with torch.no_grad():
    np.save(folder / "fid.npy", pytorch_fid.InceptionV3([3]).eval()(images)[0].flatten(1).numpy())

sys.argv = [exporter, "fid", "--weights", str(folder / "fid.pth"), "-o", str(folder / "fid.onnx")]
runpy.run_path(exporter, run_name="__main__")
