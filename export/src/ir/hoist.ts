/** Moves what a loop body computes from values around it alone to the graph around it, so that it is computed once. */
import type { GraphBuilder } from './builder.js';
import type { Graph, Value } from './types.js';
import { usedBy } from './model.js';

/** Hoists loop-invariant nodes of `body` into the graph of `outer`, to which the node with this body is added later. */
export function hoistInvariants(outer: GraphBuilder, body: Graph): void {
  const varying = new Set<Value>(body.inputs);
  const fixed = new Set<Value>(body.outputs);
  body.nodes = body.nodes.filter((node) => {
    const inputs = [...usedBy(node)];
    const invariant = !inputs.some((value) => varying.has(value)) && !node.outputs.some((value) => value && fixed.has(value)) && inputs.some((value) => !body.initializers.has(value));
    if (!invariant) {
      for (const value of node.outputs) if (value) varying.add(value);
      return true;
    }
    for (const value of inputs) {
      const constant = body.initializers.get(value);
      if (!constant) continue;
      // A body may use initializers of the graph around it, so moving one is safe whoever else uses it.
      body.initializers.delete(value);
      outer.graph.initializers.set(value, constant);
    }
    outer.graph.nodes.push(node);
    return false;
  });
}
