/** Copies a graph into another one, with its inputs replaced by values that are there. */
import { GraphError } from '../errors.js';
import type { GraphBuilder } from './builder.js';
import type { Attribute, Graph, Node, Value } from './types.js';

/**
 * Appends a copy of `graph` to the builder's graph. Names stay where they are free; constants are shared, not copied.
 * @param inputs a value of the builder's graph for every input of `graph`
 * @returns the values that stand for the outputs
 */
export function inline(builder: GraphBuilder, graph: Graph, inputs: ReadonlyMap<Value, Value>): Value[] {
  const map = new Map<Value, Value>(inputs);
  for (const input of graph.inputs) {
    if (!map.has(input) && !graph.initializers.has(input)) throw new GraphError(`Nothing is given for input ${JSON.stringify(input.name)} of graph ${graph.name}.`);
  }
  for (const [value, constant] of graph.initializers) {
    if (!map.has(value)) map.set(value, builder.initializer(value.name, constant));
  }
  for (const node of graph.nodes) builder.graph.nodes.push(copyNode(builder, node, map));
  return graph.outputs.map((value) => resolve(map, value));
}

function copyNode(builder: GraphBuilder, node: Node, map: Map<Value, Value>): Node {
  return {
    ...node,
    name: builder.nodeName(node.name),
    inputs: node.inputs.map((value) => value && resolve(map, value)),
    attributes: new Map([...node.attributes].map(([name, attribute]) => [name, copyAttribute(builder, attribute, map)])),
    outputs: node.outputs.map((value) => {
      if (!value) return null;
      const copy = builder.value(value.name, value);
      map.set(value, copy);
      return copy;
    }),
  };
}

function copyAttribute(builder: GraphBuilder, attribute: Attribute, map: Map<Value, Value>): Attribute {
  if (attribute.type !== 'graph') return attribute;
  const graph = attribute.value;
  const declare = (value: Value): Value => {
    const copy = builder.value(value.name, value);
    map.set(value, copy);
    return copy;
  };
  const inputs = graph.inputs.map(declare);
  const initializers = new Map([...graph.initializers].map(([value, constant]) => [map.get(value) ?? declare(value), constant]));
  const nodes = graph.nodes.map((inner) => copyNode(builder, inner, map));
  return { type: 'graph', value: { name: graph.name, inputs, initializers, nodes, outputs: graph.outputs.map((value) => resolve(map, value)) } };
}

/** Values that are not in the map belong to a graph around both. */
const resolve = (map: ReadonlyMap<Value, Value>, value: Value): Value => map.get(value) ?? value;
