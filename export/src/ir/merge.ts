/** Common subexpressions: what a graph computes or stores several times over is kept once. */
import type { Constant } from './constant.js';
import type { Attribute, Graph, Node, Value } from './types.js';

/** Operators whose results differ from run to run. */
const random = new Set(['RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike', 'Bernoulli', 'Multinomial', 'Dropout']);

/** Merges initializers of one constant, and nodes that do the same to the same values. Values captured by subgraphs follow. */
export function mergeEqual(graph: Graph): void {
  const identities = new Map<unknown, number>();
  const identity = (item: unknown): number => {
    const known = identities.get(item) ?? identities.size;
    identities.set(item, known);
    return known;
  };
  const replaced = new Map<Value, Value>();
  const current = (value: Value): Value => replaced.get(value) ?? value;
  const constants = new Map<Constant, Value>();
  for (const [value, constant] of graph.initializers) {
    const first = constants.get(constant);
    if (!first || graph.inputs.includes(value)) constants.set(constant, value);
    else {
      replaced.set(value, first);
      graph.initializers.delete(value);
    }
  }
  const keyOf = (attribute: Attribute): unknown => (attribute.type === 'tensor' || attribute.type === 'graph' ? identity(attribute.value) : attribute.value);
  const outputs = new Set(graph.outputs);
  const made = new Map<string, Node>();
  graph.nodes = graph.nodes.filter((node) => {
    rewire(node, current);
    if (random.has(node.opType) || node.outputs.some((value) => value && outputs.has(value))) return true;
    const key = JSON.stringify([
      node.domain, node.opType, node.outputs.length, node.inputs.map((value) => value && identity(value)),
      [...node.attributes].map(([name, attribute]) => [name, attribute.type, keyOf(attribute)]).sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)),
    ]);
    const first = made.get(key);
    if (!first) {
      made.set(key, node);
      return true;
    }
    node.outputs.forEach((value, index) => {
      if (value && first.outputs[index]) replaced.set(value, first.outputs[index]);
    });
    return false;
  });
}

function rewire(node: Node, current: (value: Value) => Value): void {
  node.inputs = node.inputs.map((value) => value && current(value));
  for (const attribute of node.attributes.values()) {
    if (attribute.type !== 'graph') continue;
    attribute.value.outputs = attribute.value.outputs.map(current);
    for (const inner of attribute.value.nodes) rewire(inner, current);
  }
}
