/** Making models, and the sweep that leaves out what nobody uses. */
import type { Graph, Model, Node, Value } from './types.js';

/** Version of the operator set that we emit: not the newest, since some providers match kernels to exact versions. */
export const emittedOpset = 18;
/** The IR version that belongs to it. */
const emittedIrVersion = 8;

/** A model of the emission profile's opset and IR version around a graph, from which whatever no output needs is removed. */
export function newModel(graph: Graph): Model {
  removeUnused(graph);
  return {
    irVersion: emittedIrVersion,
    opsets: new Map([['', emittedOpset]]),
    producer: { name: 'ratioflow', version: '0.1.0' },
    docString: '',
    metadata: new Map(),
    graph,
  };
}

/** Removes nodes and initializers on which no output depends. @param removable what may go. @default everything */
export function removeUnused(graph: Graph, removable: (item: Node | Value) => boolean = () => true): void {
  graph.nodes = neededFor(graph.nodes, graph.outputs, (node) => !removable(node));
  const used = new Set<Value>([...graph.outputs, ...graph.nodes.flatMap((node) => [...usedBy(node)])]);
  for (const value of graph.initializers.keys()) {
    if (!used.has(value) && !graph.inputs.includes(value) && removable(value)) graph.initializers.delete(value);
  }
}

/** All values that a node reads, those captured by its subgraphs included. */
export function* usedBy(node: Graph['nodes'][number]): Generator<Value> {
  for (const value of node.inputs) if (value) yield value;
  for (const attribute of node.attributes.values()) {
    if (attribute.type !== 'graph') continue;
    yield* attribute.value.outputs;
    for (const inner of attribute.value.nodes) yield* usedBy(inner);
  }
}

/** The given values, and all that nodes in their order make of them. */
export function madeFrom(nodes: readonly Node[], roots: readonly Value[]): ReadonlySet<Value> {
  const made = new Set(roots);
  for (const node of nodes) {
    if ([...usedBy(node)].some((value) => made.has(value))) for (const value of node.outputs) if (value) made.add(value);
  }
  return made;
}

/** Of nodes in their order those without which the given values cannot be computed. @param isWanted nodes that are needed in any case */
export function neededFor(nodes: readonly Node[], values: readonly Value[], isWanted: (node: Node) => boolean = () => false): Node[] {
  const needed = new Set(values);
  return nodes.toReversed().filter((node) => {
    if (!isWanted(node) && !node.outputs.some((value) => value && needed.has(value))) return false;
    for (const value of usedBy(node)) needed.add(value);
    return true;
  }).reverse();
}

/** Whether a node holds a graph, which may read any value around it. */
export const hasGraph = ({ attributes }: Node): boolean => [...attributes.values()].some(({ type }) => type === 'graph');
