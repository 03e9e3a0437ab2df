/**
 * Inlines calls of model-local functions, on the messages as they were read: a call becomes the function's nodes, with
 * the call's inputs, outputs and attributes in place of the formal ones and every inner name made its own.
 */
import { clone, create } from '@bufbuild/protobuf';
import { ModelFormatError } from '../errors.js';
import {
  NodeProtoSchema, type AttributeProto, type FunctionProto, type GraphProto, type ModelProto, type NodeProto,
} from './generated/onnx_pb.js';

/** Nested calls multiply: more nodes than this are a hostile file, not a network. */
const nodeLimit = 1_000_000;
const depthLimit = 64;

const keyOf = (domain: string, name: string, overload: string): string => JSON.stringify([domain, name, overload]);

/** Replaces calls in the whole model. Functions of another version of ai.onnx than the model's stay calls. */
export function inlineFunctions(model: ModelProto): void {
  if (model.functions.length === 0 || !model.graph) return;
  const version = (imports: ModelProto['opsetImport']): bigint | undefined => imports.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version;
  const own = version(model.opsetImport);
  const usable = model.functions.filter((item) => [undefined, own].includes(version(item.opsetImport)));
  const inliner = new Inliner(new Map(usable.map((item) => [keyOf(item.domain, item.name, item.overload), item])));
  model.graph.node = inliner.expand(model.graph.node, 0);
  if (usable.length < model.functions.length) return;
  model.functions = [];
  model.opsetImport = model.opsetImport.filter(({ domain }) => domain === '' || domain === 'ai.onnx' || inliner.domains.has(domain));
}

class Inliner {
  /** Domains of the nodes that remain. */
  readonly domains = new Set<string>();
  readonly #functions: ReadonlyMap<string, FunctionProto>;
  readonly #prefixes = new Set<string>();
  #count = 0;

  constructor(functions: ReadonlyMap<string, FunctionProto>) {
    this.#functions = functions;
  }

  expand(nodes: readonly NodeProto[], depth: number): NodeProto[] {
    return nodes.flatMap((node) => {
      if (++this.#count > nodeLimit) throw new ModelFormatError(`Inlining the model's functions gives more than ${nodeLimit} nodes: refused.`);
      for (const attribute of node.attribute) {
        for (const graph of attribute.g ? [attribute.g, ...attribute.graphs] : attribute.graphs) graph.node = this.expand(graph.node, depth);
      }
      const called = this.#functions.get(keyOf(node.domain, node.opType, node.overload));
      if (!called) {
        this.domains.add(node.domain);
        return [node];
      }
      if (depth >= depthLimit) throw new ModelFormatError(`Function ${called.domain}.${called.name} calls itself, or calls are nested deeper than ${depthLimit}.`);
      return this.expand(this.#body(node, called), depth + 1);
    });
  }

  #body(call: NodeProto, called: FunctionProto): NodeProto[] {
    let prefix = `${call.name || call.opType}/`;
    for (let suffix = 1; this.#prefixes.has(prefix); suffix++) prefix = `${call.name || call.opType}_${suffix}/`;
    this.#prefixes.add(prefix);
    const names = new Map<string, string>([['', '']]);
    called.input.forEach((formal, index) => names.set(formal, call.input[index] ?? ''));
    const made = new Set(called.node.flatMap((node) => node.output));
    const copies: NodeProto[] = [];
    called.output.forEach((formal, index) => {
      const actual = call.output[index] ?? '';
      if (actual === '') return;
      if (made.has(formal)) names.set(formal, actual);
      else copies.push(create(NodeProtoSchema, { opType: 'Identity', name: `${prefix}${formal}`, input: [names.get(formal) ?? formal], output: [actual] }));
    });
    const rename = (name: string): string => {
      let renamed = names.get(name);
      if (renamed === undefined) names.set(name, renamed = `${prefix}${name}`);
      return renamed;
    };
    const given = new Map([...called.attributeProto, ...call.attribute].map((attribute) => [attribute.name, attribute]));
    return [...called.node.map((node) => renamed(clone(NodeProtoSchema, node), rename, given, prefix)), ...copies];
  }
}

/** The node with every name in it changed, and the references to a function's attributes replaced by what is given. */
export function renamed(node: NodeProto, rename: (name: string) => string, given: ReadonlyMap<string, AttributeProto>, prefix: string): NodeProto {
  // Without a name, it gets one of its own when it is read.
  if (node.name) node.name = `${prefix}${node.name}`;
  node.input = node.input.map(rename);
  node.output = node.output.map(rename);
  node.attribute = node.attribute.flatMap((attribute): AttributeProto[] => {
    if (attribute.refAttrName) {
      const actual = given.get(attribute.refAttrName);
      return actual ? [{ ...actual, name: attribute.name }] : [];
    }
    for (const graph of attribute.g ? [attribute.g, ...attribute.graphs] : attribute.graphs) renameGraph(graph, rename, given, prefix);
    return [attribute];
  });
  return node;
}

function renameGraph(graph: GraphProto, rename: (name: string) => string, given: ReadonlyMap<string, AttributeProto>, prefix: string): void {
  for (const item of [...graph.input, ...graph.output, ...graph.valueInfo, ...graph.initializer]) item.name = rename(item.name);
  graph.node = graph.node.map((node) => renamed(node, rename, given, prefix));
}
