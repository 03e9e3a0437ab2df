"""Makes the small ONNX models of the runtime's tests, with the `onnx` package: python make_models.py

affine.onnx: x [N, 2] -> y = x W + b, with W in weights.bin (offset 64) and b inside.
loop.onnx:   x0 [N, 2], noise [K, N, 2], eta -> x after K times x W eta + noise, with W of the Loop's body in weights.bin.
escape.onnx: like affine, but W is to come from ../weights.bin.
types.onnx:  float64 and int64 in, the same out; a bool besides.
"""
from pathlib import Path

import numpy as np
from onnx import TensorProto as T, checker, helper as h

here = Path(__file__).parent
W = np.array([[0.5, -0.25], [1.0, 0.75]], np.float32)
(here / "weights.bin").write_bytes(bytes(64) + W.tobytes())


def external(location="weights.bin"):
    tensor = T(name="W", data_type=T.FLOAT, dims=[2, 2], data_location=T.EXTERNAL)
    for key, value in {"location": location, "offset": "64", "length": "16"}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def value(name, kind, shape):
    return h.make_tensor_value_info(name, kind, shape)


def write(name, graph):
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=8)
    (here / name).write_bytes(model.SerializeToString())


def affine(location):
    return h.make_graph(
        [h.make_node("MatMul", ["x", "W"], ["d"]), h.make_node("Add", ["d", "b"], ["y"])], "affine",
        [value("x", T.FLOAT, ["N", 2])], [value("y", T.FLOAT, ["N", 2])],
        [external(location), h.make_tensor("b", T.FLOAT, [2], [1.0, -1.0])])


write("affine.onnx", affine("weights.bin"))
write("escape.onnx", affine("../weights.bin"))

body = h.make_graph(
    [h.make_node("Identity", ["go"], ["again"]),
     h.make_node("Gather", ["noise", "k"], ["xi"], axis=0),
     h.make_node("MatMul", ["x", "W"], ["d"]),
     h.make_node("Mul", ["d", "eta"], ["moved"]),
     h.make_node("Add", ["moved", "xi"], ["next"])],
    "body", [value("k", T.INT64, []), value("go", T.BOOL, []), value("x", T.FLOAT, ["N", 2])],
    [value("again", T.BOOL, []), value("next", T.FLOAT, ["N", 2])], [external()])
write("loop.onnx", h.make_graph(
    [h.make_node("Shape", ["noise"], ["shape"], start=0, end=1),
     h.make_node("Squeeze", ["shape"], ["K"]),
     h.make_node("Loop", ["K", "", "x0"], ["x_K"], body=body)],
    "loop", [value("x0", T.FLOAT, ["N", 2]), value("noise", T.FLOAT, ["K", "N", 2]), value("eta", T.FLOAT, [])],
    [value("x_K", T.FLOAT, ["N", 2])]))

write("types.onnx", h.make_graph(
    [h.make_node("Neg", ["d"], ["minus_d"]), h.make_node("Neg", ["i"], ["minus_i"]), h.make_node("Less", ["d", "minus_d"], ["less"])],
    "types", [value("d", T.DOUBLE, ["N"]), value("i", T.INT64, ["N"])],
    [value("minus_d", T.DOUBLE, ["N"]), value("minus_i", T.INT64, ["N"]), value("less", T.BOOL, ["N"])]))
checker.check_model(str(here / "affine.onnx"))
checker.check_model(str(here / "loop.onnx"))
