/**
 * Makes the batch extent of an estimator symbolic where its exporter fixed it. Reshapes that carry the fixed extent are
 * rewritten; whether what results still computes every sample by itself is for the comparison with the original to say.
 */
import { UnsupportedError } from '../errors.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Dim, Graph, Node, Shape, Value } from '../ir/types.js';
import { knownInts, showShape } from '../ops/operator.js';
import { refreshTypes } from './refresh-types.js';

/**
 * Replaces the leading extent of `x` by the symbol `batch` and infers everything anew.
 * @throws {UnsupportedError} naming the node where the batch extent is lost
 */
export function freeBatch(builder: GraphBuilder, x: Value, batch: string): void {
  const { graph } = builder;
  const fixed = x.shape![0] as number;
  const before = new Map<Value, Shape | undefined>();
  for (const node of graph.nodes) for (const value of node.outputs) if (value) before.set(value, value.shape);
  x.shape = [batch, ...x.shape!.slice(1)];
  const remedy = 'Export it with a symbolic batch extent (PyTorch: dynamic_axes={"x": {0: "N"}} or dynamic_shapes)';
  try {
    refreshTypes(graph, (node) => freeReshape(builder, node, before, batch));
  } catch (cause) {
    throw new UnsupportedError(`The estimator's batch is fixed to ${fixed} and cannot be freed: ${(cause as Error).message} ${remedy}.`, { cause });
  }
  const lost = graph.nodes.find((node) => loses(node, batch));
  if (lost && !carries(graph.outputs[0]?.shape, batch)) {
    throw new UnsupportedError(`The estimator's batch is fixed to ${fixed} and cannot be freed: ${lost.opType} node ${JSON.stringify(lost.name)} makes ${showShape(lost.outputs[0]!.shape)} of ${lost.inputs.map((value) => showShape(value?.shape)).join(', ')}. ${remedy}.`);
  }
}

const carries = (shape: Shape | undefined, batch: string): boolean => shape?.some((dim) => dim === batch || (typeof dim === 'string' && dim.split('*').includes(batch))) ?? false;

/** Whether the batch extent goes in and does not come out. */
const loses = (node: Node, batch: string): boolean =>
  !['Shape', 'Size', 'Gather', 'Slice'].includes(node.opType) && node.inputs.some((value) => carries(value?.shape, batch)) && !node.outputs.some((value) => carries(value?.shape, batch));

/** A Reshape to fixed numbers: its first extent takes what the batch makes of the input. */
function freeReshape(builder: GraphBuilder, node: Node, before: ReadonlyMap<Value, Shape | undefined>, batch: string): void {
  const [input, target] = node.inputs;
  if (node.opType !== 'Reshape' || !input || !target || !carries(input.shape, batch)) return;
  const shape = before.get(node.outputs[0]!);
  const numbers = knownInts(target);
  if (!numbers || !shape?.every((extent) => typeof extent === 'number') || shape.length === 0) return;
  if (numbers[0] === 0 && input.shape![0] === batch) return;
  if (numbers[0] === -1) return;
  node.attributes.delete('allowzero');
  node.inputs[1] = builder.ints([-1, ...shape.slice(1)]);
}

/** Replaces shape arithmetic that leads to a Reshape by the numbers that it comes to, with −1 for the one extent that is not known. */
export function foldReshapeTargets(builder: GraphBuilder, graph: Graph): void {
  for (const node of graph.nodes) {
    const target = node.opType === 'Reshape' ? node.inputs[1] : undefined;
    const made: readonly Dim[] | undefined = target && builder.makerOf(target) ? target.content : undefined;
    if (!made || made.filter((extent) => typeof extent !== 'number' || extent < 0).length > 1 || made.includes(0)) continue;
    node.inputs[1] = builder.ints(made.map((extent) => (typeof extent === 'number' ? extent : -1)));
  }
}
