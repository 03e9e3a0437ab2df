/**
 * Zero padding in front of a convolution or pooling becomes its own padding where that is the same. Where it is not, the
 * Pad node is kept out of ONNX Runtime's own fusion (1.30), which takes the zeros that MaxPool would see for −∞.
 */
import { int64 } from '../ir/constant.js';
import type { Graph, Node, Value } from '../ir/types.js';
import { intOf, intsOf, knownInts } from '../ops/operator.js';

const nonNegative = new Set(['Abs', 'Exp', 'HardSigmoid', 'Relu', 'Sigmoid', 'Softmax', 'Softplus']);

export function foldPadding(graph: Graph): void {
  const producers = new Map<Value, Node>();
  for (const node of graph.nodes) for (const value of node.outputs) if (value) producers.set(value, node);
  for (const node of graph.nodes) {
    const pad = node.inputs[0] ? producers.get(node.inputs[0]) : undefined;
    if (pad?.opType !== 'Pad' || pad.attributes.has('mode') || !['Conv', 'AveragePool', 'MaxPool'].includes(node.opType)) continue;
    if (!foldInto(node, pad, producers.get(pad.inputs[0]!)) && node.opType !== 'Conv') keepApart(graph, pad);
  }
  const used = new Set<Value | null>([...graph.outputs, ...graph.nodes.flatMap((node) => node.inputs)]);
  graph.nodes = graph.nodes.filter((node) => node.opType !== 'Pad' || used.has(node.outputs[0]!));
}

/** Gives `node` the padding of `pad`, if it then computes the same. */
function foldInto(node: Node, pad: Node, source: Node | undefined): boolean {
  const amounts = knownInts(pad.inputs[1]);
  const own = intsOf(node, 'pads');
  const rank = (amounts?.length ?? 0) / 2;
  if (pad.inputs.length > 2 || !amounts || !own || [0, 1, rank, rank + 1].some((axis) => amounts[axis] !== 0)) return false;
  const spatial = [...amounts.slice(2, rank), ...amounts.slice(rank + 2)];
  const pads = own.map((amount, axis) => amount + spatial[axis]!);
  const kernel = intsOf(node, 'kernel_shape') ?? [];
  const insideWindows = node.opType === 'Conv' || pads.every((amount, axis) => amount < kernel[axis % kernel.length]!);
  if (!insideWindows) return false;
  // A pool's own padding counts for neither mean nor maximum; zeros count for the mean, and for a maximum of negative values.
  if (node.opType === 'MaxPool' && !(source && nonNegative.has(source.opType))) return false;
  if (node.opType === 'AveragePool') {
    if (own.some((amount) => amount !== 0) || intOf(node, 'ceil_mode', 0) !== 0) return false;
    node.attributes.set('count_include_pad', { type: 'int', value: 1 });
  }
  node.attributes.set('pads', { type: 'ints', value: pads });
  node.inputs[0] = pad.inputs[0]!;
  return true;
}

/** Names the axes of a Pad node, all of them: the fusion leaves such nodes alone. */
function keepApart(graph: Graph, pad: Node): void {
  const rank = (pad.inputs[1]?.shape?.[0] as number) / 2;
  if (pad.inputs[3] || !Number.isInteger(rank)) return;
  const all = Array.from({ length: rank }, (_, axis) => axis);
  const axes: Value = { name: `${pad.name}_axes`, dtype: 'int64', shape: [rank], content: all };
  graph.initializers.set(axes, int64(all));
  pad.inputs = [pad.inputs[0]!, pad.inputs[1]!, pad.inputs[2] ?? null, axes];
}
