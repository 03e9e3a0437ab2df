/** Infers the types of a graph anew, after something at its start has changed. */
import { contentOf } from '../ir/builder.js';
import type { Graph, Node, Shape, Value } from '../ir/types.js';
import { settle } from '../ops/operator.js';
import { operatorOf } from '../ops/table.js';

/**
 * Forgets what the model said of inner values and infers it again from inputs and constants. What no inference tells
 * keeps its element type; its shape is then unknown.
 * @param before called with each node before its outputs are inferred: may exchange its inputs and attributes
 * @throws {GraphError} for a node whose inputs contradict its operator
 */
export function refreshTypes(graph: Graph, before: (node: Node) => void = () => undefined): void {
  for (const [value, constant] of graph.initializers) {
    if (graph.inputs.includes(value)) continue;
    retype(value, constant.dtype, constant.dims, contentOf(constant));
  }
  for (const node of [...graph.nodes]) {
    before(node);
    const inferred = node.domain === '' ? operatorOf(node.opType)?.infer(node, `${node.opType} node ${JSON.stringify(node.name)}`, node.outputs.length) : undefined;
    node.outputs.forEach((value, index) => {
      if (!value) return;
      const { dtype, shape, content } = settle(value.name, inferred?.[index], { dtype: value.dtype, shape: undefined });
      retype(value, dtype, shape, content);
    });
  }
}

function retype(value: Value, dtype: Value['dtype'], shape: Shape | undefined, content: Value['content']): void {
  value.dtype = dtype;
  value.shape = shape;
  if (content) value.content = content;
  else delete value.content;
}
