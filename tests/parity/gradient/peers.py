"""Other differentiators of ONNX graphs behind the signature of `ratioflow gradient --seed`: model, output, input → a model
with an input `seed_<output>` and an output `grad_<input>`.

onnx-ad writes an adjoint model with its own names and a trailing axis of seeds. onnxsim's graph_grad appends nodes to a
slice whose shapes are all known; it is given what onnxsim itself simplifies, and only the nodes between input and output.
"""
import signal

import onnx
from onnx import TensorProto, helper


class Refused(Exception):
    """What a peer will not differentiate, in its own words."""


class TimedOut(Refused):
    """What a peer did not finish in time."""


def by_onnx_ad(model, output, source):
    import onnx_ad
    try:
        adjoint = onnx_ad.reverse(model, inputs=[source], outputs=[output], prefix="adjoint_", dim="seeds", layout="onnx")
    except Exception as error:  # noqa: BLE001 - it raises many kinds of errors
        raise Refused(f"{type(error).__name__}: {error}") from error
    graph = adjoint.graph
    seed = named(graph.input, f"adjoint_{output}")
    graph.input.remove(seed)
    add_like(graph.input, f"seed_{output}", named(graph.output, output))
    result = named(graph.output, f"adjoint_{source}")
    graph.output.remove(result)
    add_like(graph.output, f"grad_{source}", named(graph.input, source))
    graph.initializer.append(helper.make_tensor("last_axis", TensorProto.INT64, [1], [-1]))
    graph.node.insert(0, helper.make_node("Unsqueeze", [f"seed_{output}", "last_axis"], [f"adjoint_{output}"]))
    graph.node.append(helper.make_node("Squeeze", [f"adjoint_{source}", "last_axis"], [f"grad_{source}"]))
    return adjoint


def by_graph_grad(model, output, source):
    import onnxsim
    from onnxsim import graph_grad, qat_graph
    try:
        # Its rules take constants from initializers only, and no functions.
        model, _ = onnxsim.simplify(onnx.inliner.inline_local_functions(model))
        shapes = known_shapes(model)
        builder = qat_graph.GraphBuilder("back_")
        builder.initializer = list(model.graph.initializer)
        found = graph_grad.build_backward(builder, between(model.graph, source, output), shapes, {output: f"seed_{output}"}, [source])[source]
    except Exception as error:  # noqa: BLE001 - errors of shapes, arithmetic and look-ups beside its own
        raise Refused(f"{type(error).__name__}: {error}") from error
    graph = model.graph
    add_like(graph.input, f"seed_{output}", named(graph.output, output))
    add_like(graph.output, f"grad_{source}", named(graph.input, source))
    graph.node.extend([*builder.nodes, helper.make_node("Identity", [found], [f"grad_{source}"])])
    del graph.initializer[:]
    graph.initializer.extend(builder.initializer)
    if not builder.functions:
        return model
    model.functions.extend(builder.functions)
    known = {entry.domain for entry in model.opset_import}
    model.opset_import.extend(helper.make_opsetid(domain, 1) for domain in {function.domain for function in builder.functions} - known)
    return onnx.inliner.inline_local_functions(model)


def limited(seconds, differentiate, *arguments):
    """Ends what takes longer, as a refusal."""
    def stop(_signal, _frame):
        raise TimedOut(f"no answer within {seconds} s")
    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        return differentiate(*arguments)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


PEERS = {"onnx-ad": by_onnx_ad, "graph_grad": by_graph_grad}
# Where each comes from.
PACKAGES = {"onnx-ad": "onnx-ad", "graph_grad": "onnxsim"}


def with_batch(model, extent):
    """The same model with its one symbolic extent fixed, and shapes between inputs and outputs left to inference."""
    del model.graph.value_info[:]
    for value in [*model.graph.input, *model.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = extent
    return model


def between(graph, source, output):
    """The nodes on a path from `source` to `output`, in order."""
    reached = {source}
    for node in graph.node:
        if reached & set(node.input):
            reached.update(node.output)
    needed, kept = {output}, []
    for node in reversed(graph.node):
        if needed & set(node.output) and reached & set(node.input):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


def known_shapes(model):
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    shapes = {value.name: shape_of(value) for value in [*graph.input, *graph.output, *graph.value_info]}
    return shapes | {tensor.name: list(tensor.dims) for tensor in graph.initializer}


def named(values, name):
    return next(value for value in values if value.name == name)


def add_like(values, name, like):
    values.append(helper.make_tensor_value_info(name, like.type.tensor_type.elem_type, shape_of(like)))


def shape_of(value):
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
