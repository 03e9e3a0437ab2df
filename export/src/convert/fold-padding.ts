/** Zero padding in front of a convolution becomes the convolution's own padding. */
import type { Graph, Value } from '../ir/types.js';
import { intsOf, knownInts } from '../ops/operator.js';

export function foldPadding(graph: Graph): void {
  const users = new Map<Value, number>();
  const producers = new Map<Value, (typeof graph.nodes)[number]>();
  for (const node of graph.nodes) {
    for (const value of node.inputs) if (value) users.set(value, (users.get(value) ?? 0) + 1);
    for (const value of node.outputs) if (value) producers.set(value, node);
  }
  for (const node of graph.nodes) {
    const input = node.inputs[0];
    const pad = node.opType === 'Conv' && input ? producers.get(input) : undefined;
    if (pad?.opType !== 'Pad' || pad.inputs.length > 2 || pad.attributes.has('mode')) continue;
    const amounts = knownInts(pad.inputs[1]);
    const own = intsOf(node, 'pads');
    const rank = (amounts?.length ?? 0) / 2;
    if (!amounts || !own || [0, 1, rank, rank + 1].some((axis) => amounts[axis] !== 0)) continue;
    const spatial = [...amounts.slice(2, rank), ...amounts.slice(rank + 2)];
    node.attributes.set('pads', { type: 'ints', value: own.map((amount, axis) => amount + spatial[axis]!) });
    node.inputs[0] = pad.inputs[0]!;
    users.set(input!, users.get(input!)! - 1);
  }
  graph.nodes = graph.nodes.filter((node) => node.opType !== 'Pad' || node.outputs.some((value) => value && ((users.get(value) ?? 0) > 0 || graph.outputs.includes(value))));
}
