/**
 * Calls of functions of a GraphDef's library, put in place: TensorFlow keeps apart what is compiled by itself, such as
 * Keras's grouped convolutions.
 */
import { ModelFormatError, UnsupportedError } from '../../errors.js';
import type { DecodedWeight } from './decode-weights.js';
import { isRecord, readNodes, type GraphNode } from './graph-def.js';

const calls = new Set(['PartitionedCall', 'StatefulPartitionedCall']);
/** More than any network has; functions that call functions twice grow beyond all bounds. */
const mostNodes = 100_000;
const deepest = 64;

interface LibraryFunction {
  readonly parameters: readonly string[];
  /** What it returns, as its nodes name their inputs. */
  readonly results: readonly (readonly [string, number])[];
  readonly nodes: ReadonlyMap<string, GraphNode>;
}

/** Nodes and weights by name, without calls. A call's node remains as an IdentityN of what the function returns. */
export function inlineCalls(topology: unknown, nodes: ReadonlyMap<string, GraphNode>, weights: ReadonlyMap<string, DecodedWeight>): { nodes: ReadonlyMap<string, GraphNode>; weights: ReadonlyMap<string, DecodedWeight> } {
  if (![...nodes.values()].some(({ op }) => calls.has(op))) return { nodes, weights };
  const library = readLibrary(topology);
  const inlined = new Map<string, GraphNode>();
  const allWeights = new Map(weights);
  const add = (node: GraphNode, open: readonly string[]): void => {
    if (inlined.size >= mostNodes) throw new UnsupportedError(`With its calls of functions in place the graph has more than ${mostNodes} nodes.`);
    if (inlined.has(node.name)) throw new ModelFormatError(`With its calls of functions in place the graph holds two nodes ${JSON.stringify(node.name)}.`);
    if (calls.has(node.op)) inline(node, open);
    else inlined.set(node.name, node);
  };
  const inline = (call: GraphNode, open: readonly string[]): void => {
    const where = `Node ${JSON.stringify(call.name)} (${call.op})`;
    const name = (call.attr['f']?.['func'] as { name?: unknown } | undefined)?.name;
    const body = typeof name === 'string' ? library.get(name) : undefined;
    if (!body) throw new ModelFormatError(`${where}: the library has no function ${JSON.stringify(name)}.`);
    if (open.includes(name as string)) throw new UnsupportedError(`${where}: the function ${JSON.stringify(name)} calls itself.`);
    if (open.length >= deepest) throw new UnsupportedError(`${where}: calls are nested deeper than ${deepest}.`);
    if (call.inputs.length !== body.parameters.length) throw new ModelFormatError(`${where}: the function ${JSON.stringify(name)} takes ${body.parameters.length} inputs, got ${call.inputs.length}.`);
    const given = new Map(body.parameters.map((parameter, index) => [parameter, call.inputs[index]!]));
    const outer = ([source, index]: readonly [string, number]): readonly [string, number] => given.get(source) ?? [`${call.name}/${source}`, index];
    inlined.set(call.name, { name: call.name, op: 'IdentityN', inputs: body.results.map(outer), attr: {} });
    for (const inner of body.nodes.values()) {
      const node = { ...inner, name: `${call.name}/${inner.name}`, inputs: inner.inputs.map(outer) };
      const weight = inner.op === 'Const' ? weights.get(inner.name) : undefined;
      if (weight) allWeights.set(node.name, weight);
      add(node, [...open, name as string]);
    }
  };
  for (const node of nodes.values()) add(node, []);
  return { nodes: inlined, weights: allWeights };
}

function readLibrary(topology: unknown): Map<string, LibraryFunction> {
  const functions: unknown = (topology as { library?: { function?: unknown } | null }).library?.function;
  const library = new Map<string, LibraryFunction>();
  for (const item of Array.isArray(functions) ? (functions as unknown[]) : []) {
    const { signature, nodeDef = [], ret = {} } = (isRecord(item) ? item : {}) as { signature?: unknown; nodeDef?: unknown; ret?: unknown };
    const { name, inputArg = [], outputArg = [] } = (isRecord(signature) ? signature : {});
    const [parameters, returned] = [namesOf(inputArg), namesOf(outputArg)];
    if (typeof name !== 'string' || !parameters || !returned || !isRecord(ret) || !Array.isArray(nodeDef)) throw new ModelFormatError(`The model's library holds a function without name, arguments, results or nodes: ${JSON.stringify({ name })}.`);
    const nodes = readNodes(nodeDef, `The function ${JSON.stringify(name)}`, outputOf);
    const operators = new Map([...nodes.values()].map((node) => [node.name, node.op]));
    const results = returned.map((result) => {
      const source = Object.hasOwn(ret, result) ? ret[result] : undefined;
      if (typeof source !== 'string') throw new ModelFormatError(`The function ${JSON.stringify(name)} does not say what it returns as ${JSON.stringify(result)}.`);
      return outputOf(source, operators);
    });
    library.set(name, { parameters, results, nodes });
  }
  return library;
}

function namesOf(list: unknown): string[] | undefined {
  const names = Array.isArray(list) ? list.map((item: unknown) => (isRecord(item) ? item['name'] : undefined)) : [undefined];
  return names.every((name) => typeof name === 'string') ? names : undefined;
}

/** Names of the outputs of operators that have several; a list has one name and counts. */
const outputNames: Readonly<Record<string, readonly string[]>> = {
  FusedBatchNorm: ['y', 'batch_mean', 'batch_variance'],
  FusedBatchNormV2: ['y', 'batch_mean', 'batch_variance'],
  FusedBatchNormV3: ['y', 'batch_mean', 'batch_variance'],
  TopKV2: ['values', 'indices'],
};

/** Functions name a parameter, or a node, its output, and the place in that output where it is a list. */
function outputOf(text: string, operators: ReadonlyMap<string, string>): readonly [string, number] {
  const [source, output = '', place = '0'] = text.split(':') as [string, string?, string?];
  const names = outputNames[operators.get(source) ?? ''];
  return [source, names ? names.indexOf(output) : Number(place)];
}
