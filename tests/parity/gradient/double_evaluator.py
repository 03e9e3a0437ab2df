"""Evaluates ONNX models in float64: the `onnx` package's reference evaluator, with PyTorch doing its slow operators.

ONNX Runtime's CPU provider has no float64 convolution, and the reference evaluator loops over elements in Python where
images are concerned.
"""
import numpy as np
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from torch.nn import functional as F


def tensor(array):
    # PyTorch takes no negative strides.
    return torch.from_numpy(np.ascontiguousarray(array))


def explicit_pads(pads, rank):
    pads = pads or [0] * (2 * rank)
    # PyTorch counts from the last axis, in pairs.
    return [value for axis in reversed(range(rank)) for value in (pads[axis], pads[axis + rank])]


class Conv(OpRun):
    op_domain = ""

    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=None, kernel_shape=None, pads=None, strides=None):
        rank = x.ndim - 2
        assert auto_pad in (None, "NOTSET", "VALID")
        padded = F.pad(tensor(x), explicit_pads(pads, rank))
        convolve = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
        bias = None if b is None else tensor(b)
        return (convolve(padded, tensor(w), bias, strides or 1, 0, dilations or 1, group or 1).numpy(),)


class ConvTranspose(OpRun):
    op_domain = ""

    def _run(self, x, w, b=None, auto_pad=None, dilations=None, group=None, kernel_shape=None, output_padding=None, output_shape=None, pads=None, strides=None):
        rank = x.ndim - 2
        assert auto_pad in (None, "NOTSET") and output_shape is None
        convolve = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
        full = convolve(tensor(x), tensor(w), None, strides or 1, 0, 0, group or 1, dilations or 1)
        extra = [value for axis in reversed(range(rank)) for value in (0, (output_padding or [0] * rank)[axis])]
        cropped = F.pad(F.pad(full, extra), [-value for value in explicit_pads(pads, rank)])
        if b is not None:
            cropped = cropped + tensor(b).reshape(-1, *[1] * rank)
        return (cropped.numpy(),)


class MaxPool(OpRun):
    op_domain = ""

    def _run(self, x, auto_pad=None, ceil_mode=None, dilations=None, kernel_shape=None, pads=None, storage_order=None, strides=None):
        rank = len(kernel_shape)
        assert auto_pad in (None, "NOTSET") and not storage_order and rank == 2
        pads = list(pads or [0] * 4)
        padded = F.pad(tensor(x), explicit_pads(pads, rank), value=float("-inf"))
        values, places = F.max_pool2d(padded, kernel_shape, strides or 1, 0, dilations or 1, bool(ceil_mode), return_indices=True)
        if len(self.onnx_node.output) < 2:
            return (values.numpy(),)
        height, width = x.shape[2:]
        rows, columns = places // padded.shape[3] - pads[0], places % padded.shape[3] - pads[1]
        planes = torch.arange(x.shape[0] * x.shape[1]).reshape(x.shape[0], x.shape[1], 1, 1)
        return values.numpy(), ((planes * height + rows) * width + columns).numpy()


class ScatterElements(OpRun):
    op_domain = ""

    def _run(self, data, indices, updates, axis=None, reduction=None):
        extent = data.shape[axis or 0]
        at = tensor(np.where(indices < 0, indices + extent, indices))
        result = tensor(data.copy())
        if reduction in (None, "none"):
            result.scatter_(axis or 0, at, tensor(updates))
        else:
            result.scatter_reduce_(axis or 0, at, tensor(updates), {"add": "sum", "max": "amax", "min": "amin", "mul": "prod"}[reduction])
        return (result.numpy(),)


class Erf(OpRun):
    op_domain = ""

    def _run(self, x):
        return (torch.erf(tensor(np.asarray(x))).numpy().astype(x.dtype),)


def evaluate(path, names, feeds):
    return ReferenceEvaluator(path, new_ops=[Conv, ConvTranspose, MaxPool, ScatterElements, Erf]).run(names, feeds)
