"""Other packages that differentiate ONNX graphs, behind one signature: model, output, input → a model with `seed_<output>` and `grad_<input>`.

onnx-ad writes an adjoint model with its own names and a trailing axis of seeds; onnxsim's graph_grad appends nodes to a list
and needs the shapes of every value, so it gets what `onnx.shape_inference` finds.
"""
import onnx
from onnx import TensorProto, helper, shape_inference


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


def by_graph_grad(model, output, source):
    from onnxsim import graph_grad, qat_graph
    try:
        typed = shape_inference.infer_shapes(model, data_prop=True)
        graph = typed.graph
        shapes = {value.name: shape_of(value) for value in [*graph.input, *graph.output, *graph.value_info]}
        shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
        builder = qat_graph.GraphBuilder()
        gradients = graph_grad.build_backward(builder, list(graph.node), shapes, {output: f"seed_{output}"}, [source])
        name = gradients[source]
    except Exception as error:  # noqa: BLE001
        raise Refused(f"{type(error).__name__}: {error}") from error
    result = onnx.ModelProto()
    result.CopyFrom(typed)
    result.graph.node.extend(builder.nodes)
    result.graph.initializer.extend(builder.initializers)
    primal = next(value for value in graph.output if value.name == output)
    result.graph.input.append(helper.make_tensor_value_info(f"seed_{output}", primal.type.tensor_type.elem_type, shape_of(primal)))
    primal = next(value for value in graph.input if value.name == source)
    result.graph.node.append(helper.make_node("Identity", [name], [f"grad_{source}"]))
    result.graph.output.append(helper.make_tensor_value_info(f"grad_{source}", primal.type.tensor_type.elem_type, shape_of(primal)))
    return result


PEERS = {"onnx-ad": by_onnx_ad, "graph_grad": by_graph_grad}
