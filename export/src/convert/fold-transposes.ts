/**
 * Takes Transposes out of a converted graph: those that cancel, and those before a flattening or after an unflattening
 * whose neighbours' weights can take the order instead (reorder-features.ts).
 */
import type { Graph, Node, Value } from '../ir/types.js';
import { intsOf } from '../ops/operator.js';
import type { Parameter } from './layer-converter.js';
import { absorbFlatten, absorbUnflatten } from './reorder-features.js';

/** Who makes and who reads each value. */
export interface Links {
  readonly producer: ReadonlyMap<Value, Node>;
  readonly users: ReadonlyMap<Value, readonly Node[]>;
}

function linksOf(graph: Graph): Links {
  const producer = new Map<Value, Node>();
  const users = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const value of node.outputs) if (value) producer.set(value, node);
    for (const value of new Set(node.inputs)) if (value) users.set(value, [...(users.get(value) ?? []), node]);
  }
  return { producer, users };
}

/** Replaces a value wherever nodes read it. */
function replaceUses(graph: Graph, links: Links, from: Value, to: Value): boolean {
  if (graph.outputs.includes(from)) return false;
  for (const node of links.users.get(from) ?? []) node.inputs = node.inputs.map((input) => (input === from ? to : input));
  return true;
}

/** Folds in place. @returns the parameters, with what was done to them */
export function foldTransposes(graph: Graph, parameters: readonly Parameter[]): Parameter[] {
  const arranged = new Map<Value, (data: Float32Array) => Float32Array>();
  for (let changed = true; changed;) {
    changed = false;
    let links = linksOf(graph);
    for (const node of graph.nodes.filter((candidate) => candidate.opType === 'Transpose')) {
      if (!cancel(graph, links, node) && !absorbFlatten(graph, links, node, arranged) && !absorbUnflatten(graph, links, node, arranged)) continue;
      changed = true;
      links = linksOf(graph);
    }
    removeUnread(graph);
  }
  return parameters.map((parameter) => {
    const last = arranged.get(parameter.value);
    const first = parameter.arrange;
    return last ? { ...parameter, arrange: first ? (data) => last(first(data)) : last } : parameter;
  });
}

/** A Transpose of a Transpose is one Transpose or none. */
function cancel(graph: Graph, links: Links, node: Node): boolean {
  const [input, output] = [node.inputs[0]!, node.outputs[0]!];
  const perm = intsOf(node, 'perm')!;
  if (perm.every((axis, index) => axis === index)) return (links.users.get(output)?.length ?? 0) > 0 && replaceUses(graph, links, output, input);
  const before = links.producer.get(input);
  if (before?.opType !== 'Transpose') return false;
  const first = intsOf(before, 'perm')!;
  node.attributes.set('perm', { type: 'ints', value: perm.map((axis) => first[axis]!) });
  node.inputs[0] = before.inputs[0]!;
  return true;
}

function removeUnread(graph: Graph): void {
  const read = new Set<Value | null>([...graph.outputs, ...graph.nodes.flatMap((node) => node.inputs)]);
  graph.nodes = graph.nodes.filter((node) => (node.opType !== 'Transpose' && node.opType !== 'Reshape') || node.outputs.some((value) => read.has(value)));
}
