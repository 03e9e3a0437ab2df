"""onnx-ad behind the signature of `ratioflow gradient --seed`: model, output, input → a model with `seed_<output>` and `grad_<input>`.

onnx-ad writes an adjoint model with its own names and a trailing axis of seeds.
"""
from onnx import TensorProto, helper


class Refused(Exception):
    pass


def by_onnx_ad(model, output, source):
    import onnx_ad
    try:
        adjoint = onnx_ad.reverse(model, inputs=[source], outputs=[output], prefix="adjoint_", dim="seeds", layout="onnx")
    except Exception as error:  # noqa: BLE001 - it raises many kinds of errors
        raise Refused(f"{type(error).__name__}: {error}") from error
    graph = adjoint.graph
    seed = next(value for value in graph.input if value.name == f"adjoint_{output}")
    primal = next(value for value in graph.output if value.name == output)
    graph.input.remove(seed)
    graph.input.append(helper.make_tensor_value_info(f"seed_{output}", seed.type.tensor_type.elem_type, shape_of(primal)))
    result = next(value for value in graph.output if value.name == f"adjoint_{source}")
    primal = next(value for value in graph.input if value.name == source)
    graph.output.remove(result)
    graph.output.append(helper.make_tensor_value_info(f"grad_{source}", result.type.tensor_type.elem_type, shape_of(primal)))
    graph.initializer.append(helper.make_tensor("last_axis", TensorProto.INT64, [1], [-1]))
    graph.node.insert(0, helper.make_node("Unsqueeze", [f"seed_{output}", "last_axis"], [f"adjoint_{output}"]))
    graph.node.append(helper.make_node("Squeeze", [f"adjoint_{source}", "last_axis"], [f"grad_{source}"]))
    return adjoint


def shape_of(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
