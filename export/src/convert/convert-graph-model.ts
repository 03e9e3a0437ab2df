/** tfjs GraphModel → ONNX model, weights included. */
import { GraphError, ModelFormatError, UnsupportedError } from '../errors.js';
import { GraphBuilder, shapeOf } from '../ir/builder.js';
import { newModel } from '../ir/model.js';
import type { Model, Value } from '../ir/types.js';
import { foldPadding } from './fold-padding.js';
import { foldTransposes } from './fold-transposes.js';
import type { TfjsArtifacts } from './graph/artifacts.js';
import { decodeWeights } from './graph/decode-weights.js';
import { joinDilations } from './graph/dilation.js';
import { inlineCalls } from './graph/function-calls.js';
import { Attributes, readGraphDef, splitOutput, type GraphNode } from './graph/graph-def.js';
import { computed, constantOf, type GraphTensor, type NodeContext, type NodeConverter } from './graph/graph-tensor.js';
import { nodeConverters } from './graph/table.js';
import { imageRule, inputShape, inputType, outputNames } from './interface.js';
import { inLayout, toChannelsFirst } from './layout.js';

/** Options of {@link convertGraphModel}. */
export interface ConvertGraphOptions {
  /** Converters of further operators by name; they take precedence. */
  readonly converters?: Readonly<Record<string, NodeConverter>>;
  /** Name of the symbolic batch extent. @default 'N' */
  readonly batch?: string;
  /** @default 'model' */
  readonly name?: string;
  /**
   * Which inputs and outputs become channels first: those of rank 4 and 5 (`images`), of rank 3 as well (`all`), or
   * `none`. A graph whose convolutions or poolings have `data_format` NCHW keeps its axes. @default 'images'
   */
  readonly channelsFirst?: 'images' | 'all' | 'none';
  /** Extents after the batch axis, as TensorFlow orders them, for inputs that leave some open; by input name. */
  readonly inputShapes?: Readonly<Record<string, readonly number[]>>;
}

interface Endpoint { readonly name: string; readonly node: string; readonly index: number }

/**
 * Converts a GraphModel. Names of inputs and outputs are those of its signature, else of its nodes; images become
 * channels first.
 * @throws {UnsupportedError} naming the node, its operator and the attribute that cannot be converted
 * @throws {ModelFormatError} for artifacts that contradict themselves
 */
export function convertGraphModel(artifacts: TfjsArtifacts, options: ConvertGraphOptions = {}): Model {
  const { nodes: plainNodes, weights } = inlineCalls(artifacts.modelTopology, readGraphDef(artifacts.modelTopology), decodeWeights(artifacts.weightSpecs, artifacts.weightData));
  const nodes = joinDilations(plainNodes, weights);
  const converters: Readonly<Record<string, NodeConverter>> = { ...nodeConverters, ...options.converters };
  const builder = new GraphBuilder(options.name ?? 'model');
  const isImage = imageRule(options.channelsFirst, [...nodes.values()].some((node) => /Conv|Pool/.test(node.op) && new Attributes(node).string('data_format').startsWith('NC')));
  const made = new Map<string, readonly GraphTensor[]>();
  const stored = new Map<string, Value>();

  const { inputs, outputs } = endpoints(artifacts, nodes);
  for (const { name, node: key } of inputs) {
    const attributes = new Attributes(nodeOf(nodes, key, 'the signature'));
    const given = options.inputShapes && Object.hasOwn(options.inputShapes, name) ? [-1, ...options.inputShapes[name]!] : undefined;
    const declared = attributes.shape('shape') ?? given;
    if (!declared) throw new UnsupportedError(`Input ${JSON.stringify(name)} has no shape; give its extents after the batch axis in \`inputShapes\`.`);
    const shape = inputShape(name, declared, options);
    const image = isImage(shape.length);
    const type = attributes.type('dtype');
    const value = builder.input(name, inputType(name, type === 'float' ? 'float32' : type), image ? toChannelsFirst(shape.length).map((axis) => shape[axis]!) : shape);
    made.set(key, [{ kind: 'value', value, layout: image ? 'channels-first' : 'plain' }]);
  }

  const contextOf = (node: GraphNode): NodeContext => {
    const attributes = new Attributes(node);
    return {
      builder, attributes, where: attributes.where, name: node.name,
      store: (tensor, permutation, shape) => {
        const key = `${tensor.name}|${tensor.dims.join()}|${permutation?.join() ?? ''}|${shape?.join() ?? ''}`;
        const value = stored.get(key) ?? builder.constant(constantOf(tensor, permutation, shape), tensor.name);
        stored.set(key, value);
        return value;
      },
    };
  };

  const convertNode = (node: GraphNode): readonly GraphTensor[] => {
    const context = contextOf(node);
    if (node.op === 'Const') {
      const weight = weights.get(node.name);
      if (!weight) throw new ModelFormatError(`${context.where}: the weights hold nothing of this name.`);
      return [{ kind: 'constant', name: node.name, ...weight }];
    }
    if (node.op === 'Placeholder') throw new GraphError(`${context.where}: the signature does not name this input.`);
    const converter = Object.hasOwn(converters, node.op) ? converters[node.op] : undefined;
    if (!converter) throw new UnsupportedError(`${context.where}: operators of this kind are not supported; pass a converter for ${node.op} in \`converters\`.`);
    const tensors = node.inputs.map(([name, index]) => {
      const tensor = made.get(name)?.[index];
      if (!tensor) throw new GraphError(`${context.where}: its input ${name}:${index} does not exist.`);
      return tensor;
    });
    const result = converter(context, tensors);
    return 'kind' in result ? [result] : result;
  };

  for (const node of ordered(nodes, outputs, made)) made.set(node.name, convertNode(node));
  const names = outputNames(outputs.map(({ name }) => name), inputs.map(({ name }) => name));
  outputs.forEach(({ node: key, index }, at) => {
    const context = contextOf(nodeOf(nodes, key, 'the signature'));
    const tensor = made.get(key)?.[index];
    if (!tensor) throw new GraphError(`${context.where}: has no output ${index}.`);
    const result = computed(context, [tensor]);
    builder.output(names[at]!, inLayout(context, result, isImage(shapeOf(result.value).length) ? 'channels-first' : 'plain'));
  });
  foldPadding(builder.graph);
  foldTransposes(builder.graph, []);
  return newModel(builder.graph);
}

function nodeOf(nodes: ReadonlyMap<string, GraphNode>, name: string, user: string): GraphNode {
  const node = nodes.get(name);
  if (!node) throw new GraphError(`The graph has no node ${JSON.stringify(name)}, which ${user} names.`);
  return node;
}

/** Inputs and outputs by the signature; without one, placeholders and nodes that nobody reads. */
function endpoints({ signature, userDefinedMetadata }: TfjsArtifacts, nodes: ReadonlyMap<string, GraphNode>): { inputs: Endpoint[]; outputs: Endpoint[] } {
  const found = (signature ?? (userDefinedMetadata as { signature?: object } | undefined)?.signature) as Partial<Record<'inputs' | 'outputs', Record<string, { name?: string } | null>>> | null | undefined;
  const named = (entries: Record<string, { name?: string } | null> | undefined): Endpoint[] => Object.entries(entries ?? {}).map(([name, entry]) => {
    const [node, index] = splitOutput(entry?.name ?? name);
    return { name, node, index };
  });
  const read = new Set([...nodes.values()].flatMap((node) => node.inputs.map(([name]) => name)));
  const [inputs, outputs] = [named(found?.inputs), named(found?.outputs)];
  const bare = (keep: (node: GraphNode) => boolean): Endpoint[] => [...nodes.values()].filter(keep).map(({ name }) => ({ name, node: name, index: 0 }));
  return {
    inputs: inputs.length > 0 ? inputs : bare(({ op }) => op === 'Placeholder'),
    outputs: outputs.length > 0 ? outputs : bare(({ name, op }) => !read.has(name) && op !== 'NoOp' && op !== 'Const' && op !== 'Placeholder'),
  };
}

/** The nodes that the outputs need, each after those it reads. @throws {GraphError} for cycles and unknown names */
function ordered(nodes: ReadonlyMap<string, GraphNode>, outputs: readonly Endpoint[], given: ReadonlyMap<string, unknown>): GraphNode[] {
  const result: GraphNode[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const stack = outputs.map(({ node }) => ({ name: node, user: 'the signature', leaving: false })).reverse();
  for (let entry = stack.pop(); entry; entry = stack.pop()) {
    const { name, user, leaving } = entry;
    if (leaving) {
      state.set(name, 'done');
      result.push(nodeOf(nodes, name, user));
      continue;
    }
    if (given.has(name) || state.get(name) === 'done') continue;
    const node = nodeOf(nodes, name, user);
    // TensorFlow 1 writes its loops as cycles through these.
    if (['Enter', 'Exit', 'LoopCond', 'NextIteration'].includes(node.op)) throw new UnsupportedError(`${new Attributes(node).where}: loops are not supported.`);
    if (state.get(name) === 'open') throw new GraphError(`The graph has a cycle through node ${JSON.stringify(name)}.`);
    state.set(name, 'open');
    stack.push({ name, user, leaving: true }, ...node.inputs.map(([source]) => ({ name: source, user: `node ${JSON.stringify(name)}`, leaving: false })).reverse());
  }
  return result;
}
