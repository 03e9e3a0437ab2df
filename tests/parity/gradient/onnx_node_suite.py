"""Gradients of the ONNX operator test-suite against float64 finite differences.

Takes every node case of the `onnx` package that has a floating-point input and output, turns it into float64 where the
operator allows, has `gradient` differentiate each floating-point output with respect to each floating-point input (a vector-Jacobian product
with a random seed), and compares with central differences along random directions, both evaluated by the `onnx`
package's reference evaluator. Prints a summary, and writes docs/gradient-coverage.md with --write. With --peers, other tools
(peers.py) differentiate the same cases: in float64, or where that does not come out right, in the case's own types.

Usage: python onnx_node_suite.py [--only REGEX] [--peers] [--write] [--verbose]
"""
import argparse
import collections
import inspect
import itertools
import json
import math
import os
import re
import tempfile
import textwrap
import warnings
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops import op_affine_grid, op_causal_conv_with_state, op_dynamic_quantize_linear, op_erf, op_grid_sample, op_layer_normalization, op_linear_attention
from ours import differentiate
from page import write_section
from peers import PACKAGES, PEERS, Refused, limited

warnings.filterwarnings("ignore")
np.seterr(all="ignore")
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
STEP = 1e-6
TOLERANCE = 2e-5
# Of gradients in single and half precision.
ROUNDED_TOLERANCE = 2e-2
onnxruntime.set_default_logger_severity(4)
# The reference evaluator computes erf in single precision.
op_erf.Erf._run = lambda self, x: (np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype),)

# And takes no other type for statistics than single precision, though it computes them in that of the input.
op_layer_normalization.LayerNormalization._run = lambda self, x, scale, bias=None, axis=None, epsilon=None, stash_type=None: op_layer_normalization._layer_normalization(x, scale, bias, axis, epsilon)


def denormalize(self, n, dims, align_corners):
    # The reference evaluator keeps the positions of GridSample in single precision.
    dims = np.asarray(dims, np.float64)
    n = np.asarray(n, np.float64)
    return (n + 1) / 2 * (dims - 1) if align_corners else ((n + 1) * dims - 1) / 2


op_grid_sample.GridSample._gs_denormalize_coordinates = denormalize


def compute_in_double(module, function):
    """Where the reference evaluator computes in single precision whatever it is given."""
    source = textwrap.dedent(inspect.getsource(function)).replace("float32", "float64")
    scope = dict(vars(module))
    exec(source, scope)  # noqa: S102 - the package's own text
    return scope[function.__name__]


op_linear_attention.LinearAttention._run = compute_in_double(op_linear_attention, op_linear_attention.LinearAttention._run)
op_causal_conv_with_state.CausalConvWithState._run = compute_in_double(op_causal_conv_with_state, op_causal_conv_with_state.CausalConvWithState._run)
op_dynamic_quantize_linear.DynamicQuantizeLinear._run = compute_in_double(op_dynamic_quantize_linear, op_dynamic_quantize_linear.DynamicQuantizeLinear._run)
op_affine_grid.apply_affine_transform = compute_in_double(op_affine_grid, op_affine_grid.apply_affine_transform)


def collect(pattern):
    from onnx.backend.test.case.node import collect_testcases
    for case in collect_testcases(None):
        if case.model is not None and re.search(pattern, case.name):
            yield case


def widen_tensor(tensor):
    if tensor.data_type in FLOATS:
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(numpy_helper.to_array(tensor)).astype(np.float64), tensor.name))


def widen_type(value):
    if value.type.tensor_type.elem_type in FLOATS:
        value.type.tensor_type.elem_type = TensorProto.DOUBLE


def widen_nodes(nodes):
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                widen_tensor(attribute.t)
            elif attribute.type == onnx.AttributeProto.GRAPH:
                widen_graph(attribute.g)
            elif attribute.name in ("to", "dtype", "output_datatype", "softmax_precision") and attribute.i in FLOATS:
                attribute.i = TensorProto.DOUBLE
        if node.op_type == "ConstantOfShape" and not node.attribute:
            node.attribute.append(onnx.helper.make_attribute("value", numpy_helper.from_array(np.zeros(1))))
        if node.op_type == "Constant" and node.attribute[0].name in ("value_float", "value_floats"):
            given = node.attribute[0]
            values = np.float64(given.f) if given.name == "value_float" else np.array(given.floats, np.float64)
            tensor = numpy_helper.from_array(np.asarray(values))
            del node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("value", tensor))


def widen_graph(graph):
    for value in [*graph.input, *graph.output, *graph.value_info]:
        widen_type(value)
    for tensor in graph.initializer:
        widen_tensor(tensor)
    widen_nodes(graph.node)


def widened(model):
    """The same model in float64; the scales of Resize have a type of their own."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    widen_graph(wide.graph)
    for node in wide.graph.node:
        if scales := scales_of(node):
            for value in wide.graph.input:
                if value.name == scales:
                    value.type.tensor_type.elem_type = TensorProto.FLOAT
        if node.op_type in ("GroupNormalization", "LayerNormalization"):
            kept = [attribute for attribute in node.attribute if attribute.name != "stash_type"]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("stash_type", int(TensorProto.DOUBLE))])
    for function in wide.functions:
        widen_nodes(function.node)
    return wide


def scales_of(node):
    """The name of the scales of a Resize or Upsample node, which are in single precision whatever is resized."""
    at = {"Resize": 2, "Upsample": 1}.get(node.op_type, len(node.input))
    return node.input[at] if at < len(node.input) else ""


def is_float(value):
    return value.type.tensor_type.elem_type in FLOATS


def feeds_of(case, random):
    """The case's own data, floats in double precision and moved off grid points, where kinks and ties lie."""
    inputs, _ = case.data_sets[0]
    feeds = {}
    for info, array in zip(case.model.graph.input, inputs):
        if isinstance(array, TensorProto):
            array = numpy_helper.to_array(array)
        if is_float(info):
            array = np.asarray(array, dtype=np.float64)
            if array.size > 1:
                array = array + random.uniform(0, 1e-2, array.shape) * np.where(np.isfinite(array), 1, 0)
        feeds[info.name] = np.asarray(array)
    for node in case.model.graph.node:
        if scales := scales_of(node):
            feeds[scales] = np.asarray(numpy_or_array(case, scales), dtype=np.float32)
    return feeds


def numpy_or_array(case, name):
    index = [value.name for value in case.model.graph.input].index(name)
    array = case.data_sets[0][0][index]
    return numpy_helper.to_array(array) if isinstance(array, TensorProto) else array


class Job:
    def __init__(self, case, fixed, wide, output, wrt, feeds, variant):
        self.case, self.fixed, self.wide, self.output, self.wrt, self.feeds, self.variant = case, fixed, wide, output, wrt, feeds, variant
        self.status, self.detail, self.peers = "pending", "", {}
        self.first = output == next(value.name for value in case.model.graph.output if is_float(value))

    def in_own_types(self, seed):
        """The case as it came, with its inputs and the seed rounded to its types."""
        types = {value.name: onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in [*self.case.model.graph.input, *self.case.model.graph.output]}
        feeds = {name: np.asarray(array).astype(types[name]) for name, array in {**self.fixed, **self.feeds}.items()}
        model = self.case.model
        if self.fixed:
            model, feeds = with_constants(model, feeds, list(self.fixed))
        return model, {**feeds, f"seed_{self.output}": seed.astype(types[self.output])}


def scale_parameters(node):
    """Inputs that only look differentiable: sizes, thresholds, statistics of the graph itself."""
    return {"Resize": {1, 2}, "Upsample": {1}, "Range": {0, 1, 2}, "Dropout": {1}, "Pad": set(), "TensorScatter": set()}.get(node.op_type, set())


def jobs_of(cases, folder):
    random = np.random.default_rng(0)
    for case in cases:
        graph = case.model.graph
        tensors = all(value.type.HasField("tensor_type") for value in [*graph.input, *graph.output])
        domains = {entry.domain for entry in case.model.opset_import}
        if not tensors or not case.data_sets or domains - {"", "ai.onnx"}:
            continue
        inputs = [value for value in graph.input if is_float(value)]
        outputs = [value for value in graph.output if is_float(value)]
        if not inputs or not outputs:
            continue
        skip = scale_parameters(graph.node[0]) if len(graph.node) == 1 else set()
        names = [name for index, name in enumerate(graph.node[0].input) if index in skip]
        wide = widened(case.model)
        feeds = feeds_of(case, random)
        for output, info in itertools.product(outputs, inputs):
            if info.name in names or feeds[info.name].size == 0:
                continue
            yield Job(case, {}, wide, output.name, info.name, feeds, "inputs")
            fixed = [value.name for value in graph.input if not is_float(value) or value.name in names]
            if fixed:
                steady, rest = with_constants(wide, feeds, fixed)
                yield Job(case, {name: feeds[name] for name in fixed}, steady, output.name, info.name, rest, "constants")


def with_constants(model, feeds, names):
    """The same model with some inputs made initializers, as exporters write axes, indices, sizes and scales."""
    steady = onnx.ModelProto()
    steady.CopyFrom(model)
    kept = [value for value in steady.graph.input if value.name not in names]
    del steady.graph.input[:]
    steady.graph.input.extend(kept)
    steady.graph.initializer.extend(numpy_helper.from_array(np.asarray(feeds[name]), name) for name in names)
    return steady, {name: array for name, array in feeds.items() if name not in names}


def evaluate(model, feeds, name, expected):
    """By ONNX Runtime; by the reference evaluator where that lacks a float64 kernel or computes another output `name` than expected."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results = session.run(None, feeds)
        found = dict(zip([value.name for value in session.get_outputs()], results))
        if np.allclose(found[name], expected, rtol=ROUNDED_TOLERANCE, atol=ROUNDED_TOLERANCE):
            return found
    except Exception:  # noqa: BLE001
        pass
    evaluator = ReferenceEvaluator(model)
    return dict(zip(evaluator.output_names, evaluator.run(None, feeds)))


def fault_of(model):
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # noqa: BLE001
        return str(error)
    return None


class Reference:
    """Float64 derivatives of a case along random directions: (direction, derivative, jump of the derivative)."""

    def __init__(self, job, random):
        self.problem, self.trials = None, []
        try:
            forward = ReferenceEvaluator(job.wide)
            at = forward.output_names.index(job.output)
            output = forward.run(None, job.feeds)[at]
        except Exception as error:  # noqa: BLE001 - the reference evaluator lacks some operators and types
            self.problem = f"{type(error).__name__}: {error}"[:200]
            return
        if output.dtype != np.float64:
            self.problem = f"output stays {output.dtype}"
            return
        finite = np.isfinite(output)
        given = all(np.all(np.isfinite(array)) for array in job.feeds.values() if array.dtype.kind == "f")
        if not np.all(finite) and not (given and np.any(finite)):
            self.problem = "output is not finite"
            return
        declared = next(value for value in job.wide.graph.output if value.name == job.output).type.tensor_type.shape.dim
        if any(dim.HasField("dim_value") and dim.dim_value != extent for dim, extent in zip(declared, output.shape)):
            self.problem = f"output is {output.shape} instead of what is declared, as the input was moved off its ties"
            return
        self.output = output
        # What a mask sets to minus infinity, say, has no differences.
        self.seed = np.where(finite, random.uniform(0.5, 1.5, output.shape) * random.choice([-1, 1], output.shape), 0)
        x = job.feeds[job.wrt]

        def value(point):
            found = forward.run(None, {**job.feeds, job.wrt: point})[at]
            # An input may steer the shape, too: there is no derivative then.
            return float(np.sum(np.where(finite, self.seed * found, 0))) if found.shape == self.seed.shape else math.nan

        here = value(x)
        for trial in range(8):
            direction = random.standard_normal(x.shape)
            if trial % 2:
                # A few elements alone, so that one wrong element cannot hide.
                direction = np.where(random.uniform(size=x.shape) < max(0.2, 1 / x.size), direction, 0)
            ahead, behind = value(x + STEP * direction), value(x - STEP * direction)
            if math.isfinite(ahead - behind):
                self.trials.append((direction, (ahead - behind) / (2 * STEP), abs(ahead - 2 * here + behind) / (2 * STEP)))


def compare(job, reference, model, feeds, tolerance):
    """What a gradient model of a case is worth: a status and its reason."""
    if reference.problem:
        return "no reference", reference.problem
    fault = fault_of(model)
    # Some operators do not take float64 at all: what is wrong with the case itself is not the gradient's fault.
    if fault and not fault_of(job.wide):
        return "wrong", f"checker: {fault}"[:300]
    try:
        gradient = evaluate(model, feeds, job.output, reference.output)[f"grad_{job.wrt}"].astype(np.float64)
    except Exception as error:  # noqa: BLE001
        return "gradient does not run", f"{type(error).__name__}: {error}"[:300]
    if gradient.shape != job.feeds[job.wrt].shape:
        return "wrong", f"shape {gradient.shape} for {job.feeds[job.wrt].shape}"
    smooth = 0
    for direction, numeric, jump in reference.trials:
        scale = max(1.0, abs(numeric), float(np.sum(np.abs(gradient * direction))))
        if jump > 1e-5 * scale:
            continue
        smooth += 1
        exact = float(np.sum(gradient * direction))
        if not abs(exact - numeric) <= tolerance * scale:
            return "wrong", f"{exact} instead of {numeric}"
    return ("pass", "") if smooth else ("no reference", "not smooth at any point tried")


def compare_peer(name, job, reference):
    """The better of float64 and the case's own types, as these tools are made for float32 in the first place."""
    if reference.problem:
        return "no reference", reference.problem
    plain, rounded = job.in_own_types(reference.seed)
    attempts = [(job.wide, {**job.feeds, f"seed_{job.output}": reference.seed}, TOLERANCE), (plain, rounded, ROUNDED_TOLERANCE)]
    found = []
    for model, feeds, tolerance in attempts:
        try:
            copied = onnx.ModelProto()
            copied.CopyFrom(model)
            result = compare(job, reference, limited(60, PEERS[name], copied, job.output, job.wrt), feeds, tolerance)
        except Refused as error:
            result = "refused", str(error)[:200]
        if result[0] == "pass":
            return result
        found.append(result)
    return min(found, key=lambda result: ["no reference", "refused", "gradient does not run", "wrong"].index(result[0]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=".")
    parser.add_argument("--peers", action="store_true", help="have other tools differentiate the same cases")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        jobs = list(jobs_of(collect(arguments.only), folder))
        descriptions = []
        for number, job in enumerate(jobs):
            path = os.path.join(folder, f"{number}.onnx")
            onnx.save(job.wide, path)
            descriptions.append({"model": path, "out": os.path.join(folder, f"{number}.grad.onnx"), "of": job.output, "wrt": job.wrt, "seed": True, "zeros": True})
        results = differentiate(folder, descriptions)
        for job, description, result in zip(jobs, descriptions, results):
            reference = Reference(job, random) if result["ok"] or arguments.peers else None
            if arguments.peers and job.first:
                job.peers = {name: compare_peer(name, job, reference) for name in PEERS}
            if result["ok"]:
                job.status, job.detail = compare(job, reference, onnx.load(description["out"]), {**job.feeds, f"seed_{job.output}": getattr(reference, "seed", None)}, TOLERANCE)
            else:
                named = result["kind"] in ("UnsupportedError",)
                job.status = "refused" if named else "failed"
                job.detail = result["error"] if named else f"{result['kind']}: {result['error']}"
                if not named and arguments.verbose:
                    job.detail += result.get("stack", "")
    report(jobs, arguments)


def report(jobs, arguments):
    totals = collections.Counter(job.status for job in jobs)
    for job in jobs:
        if job.status not in ("pass", "refused") or (arguments.verbose and job.status == "refused"):
            print(f"{job.status}: {job.case.name} wrt {job.wrt} ({job.variant}): {job.detail}")
    print(json.dumps({"onnx": onnx.__version__, **totals}))
    if arguments.peers:
        for name in PEERS:
            asked = [job for job in jobs if job.first]
            print(json.dumps({"peer": name, **collections.Counter(job.peers[name][0] for job in asked)}))
            for job in asked:
                ahead = job.peers[name][0] == "pass" and job.status != "pass"
                if arguments.verbose and (ahead or job.peers[name][0] in ("wrong", "gradient does not run")):
                    print(f"{name}: {job.peers[name][0]}{f' where ours is {job.status}' if ahead else ''}: {job.case.name} wrt {job.wrt} ({job.variant}): {job.peers[name][1]}")
    if arguments.write:
        write_table(jobs, totals)
        if arguments.peers:
            write_peers(jobs)
    if totals["wrong"] or totals["failed"] or totals["gradient does not run"]:
        raise SystemExit(1)


def write_table(jobs, totals):
    rows = collections.defaultdict(collections.Counter)
    reasons = collections.defaultdict(set)
    for job in jobs:
        nodes = job.case.model.graph.node
        name = nodes[0].op_type if len(nodes) == 1 else re.sub(r"^test_|_expanded.*", "", job.case.name).split("_")[0] + " (expanded)"
        rows[name][job.status] += 1
        if job.status != "pass":
            reasons[name].add(re.sub(r'^.*?node "[^"]*": ', "", job.detail)[:110].replace("|", "/").replace("\n", " "))
    lines = [
        "Written by `python tests/parity/gradient/onnx_node_suite.py --write`: every node case of the `onnx` package "
        f"(version {onnx.__version__}) that has a floating-point input and output, each of its floating-point outputs differentiated with respect to each of its "
        "floating-point inputs and compared with float64 central differences; where integers steer the operator, once with them as "
        "inputs and once as constants. `zeros` is set: what no differentiable path leads from has the gradient zero, which is compared, too. *Refused*: a named error instead of a gradient. "
        "*No reference*: the reference evaluator cannot run the case in float64, or the output is not smooth where it was tried.", "",
        f"**{totals['pass']} pass, {totals['refused']} refused, {totals['wrong'] + totals['failed'] + totals['gradient does not run']} wrong, {totals['no reference']} without reference.**", "",
        "| operator | pass | refused | wrong | no reference | why not |", "|---|---|---|---|---|---|",
    ]
    for name in sorted(rows):
        row = rows[name]
        bad = row["wrong"] + row["failed"] + row["gradient does not run"]
        lines.append(f"| {name} | {row['pass']} | {row['refused']} | {bad} | {row['no reference']} | {'; '.join(sorted(reasons[name])[:2])} |")
    write_section("Operators of the ONNX test-suite", lines)


def write_peers(jobs):
    jobs = [job for job in jobs if job.first]
    ours = [(job.status if job.status in ("pass", "refused", "no reference") else "wrong" if job.status == "wrong" else "gradient does not run", job) for job in jobs]
    rows = {"ratioflow": ours} | {f"{name} {version(package)}": [("malformed" if job.peers[name][1].startswith("checker") else job.peers[name][0], job) for job in jobs] for name, package in PACKAGES.items()}
    statuses = ["pass", "refused", "wrong", "malformed", "gradient does not run", "no reference"]
    both = {name: sum(status == "pass" and own != "pass" for (status, _), (own, _) in zip(results, ours)) for name, results in rows.items()}
    lines = [
        "Written by `python tests/parity/gradient/onnx_node_suite.py --peers --write`: the same cases, of the first output alone, differentiated by onnx-ad and by graph_grad of onnxsim (after onnxsim's own simplification), which need static shapes. "
        "A peer's case passes if it comes out right in float64 or, to 2e-2, in the case's own types. *Malformed*: `onnx.checker` finds fault with the gradient graph, but not with the case. *Does not run*: neither ONNX Runtime nor the reference evaluator takes the gradient graph.", "",
        "| tool | pass | refused | wrong | malformed | does not run | no reference | passes where ours does not |", "|---|---|---|---|---|---|---|---|",
        *[f"| {name} | " + " | ".join(str(sum(status == wanted for status, _ in results)) for wanted in statuses) + f" | {both[name] or '–'} |" for name, results in rows.items()],
    ]
    write_section("Beside other tools", lines)


if __name__ == "__main__":
    main()
