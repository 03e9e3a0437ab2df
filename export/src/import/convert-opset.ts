/**
 * A graph of another version of ai.onnx, brought to the one that bundles use. Most operators only gained element types
 * between versions 13 and 28; those that changed their form or meaning are rewritten here, one line of the table each.
 */
import { UnsupportedError } from '../errors.js';
import { GraphBuilder, shapeOf } from '../ir/builder.js';
import { floats } from '../ir/constant.js';
import { emittedOpset, hasGraph } from '../ir/model.js';
import type { Graph, Model, Node, Value } from '../ir/types.js';
import { oldestRaised } from '../onnx/raise-opset.js';
import { floatOf, intOf, intsOf, stringOf } from '../ops/operator.js';

/** Versions of ai.onnx that can be converted; reading a file raises older ones to the first. */
export const oldestOpset = 13;
export const newestOpset = 28;

interface Change {
  /** Applies to models below (`before`) or from (`since`) this version on. */
  readonly before?: number;
  readonly since?: number;
  /** Changes the node, or adds others and returns the value that takes the place of its first output. */
  readonly apply: (node: Node, builder: GraphBuilder, refuse: (what: string) => never) => Value | undefined;
}

const drop = (...names: string[]) => (node: Node): undefined => {
  for (const name of names) node.attributes.delete(name);
};

/** Axes were an attribute. */
const axesInput: Change = {
  before: 18,
  apply: (node, builder) => {
    const axes = intsOf(node, 'axes');
    node.attributes.delete('axes');
    if (axes) node.inputs = [node.inputs[0]!, builder.ints(axes)];
    return undefined;
  },
};

const changes: Readonly<Record<string, readonly Change[]>> = {
  ReduceL1: [axesInput], ReduceL2: [axesInput], ReduceLogSum: [axesInput], ReduceLogSumExp: [axesInput], ReduceMax: [axesInput],
  ReduceMean: [axesInput], ReduceMin: [axesInput], ReduceProd: [axesInput], ReduceSumSquare: [axesInput],
  Split: [{
    before: 18,
    apply: (node) => {
      if (!node.inputs[1]) node.attributes.set('num_outputs', { type: 'int', value: node.outputs.length });
      return undefined;
    },
  }],
  BatchNormalization: [{
    before: 14,
    apply: (node) => {
      // More outputs than one said what an attribute says now, and what no estimator may be.
      if (node.outputs.slice(1).some((value) => value !== null)) node.attributes.set('training_mode', { type: 'int', value: 1 });
      node.outputs.length = 1;
      return undefined;
    },
  }],
  AveragePool: [{ since: 19, apply: (node, _, refuse) => ((intsOf(node, 'dilations') ?? []).some((d) => d !== 1) ? refuse('has dilations') : drop('dilations')(node)) }],
  Cast: [{ since: 19, apply: drop('saturate', 'round_mode') }],
  CastLike: [{ since: 19, apply: drop('saturate', 'round_mode') }],
  Pad: [{ since: 19, apply: (node, _, refuse) => (stringOf(node, 'mode', 'constant') === 'wrap' ? refuse('wraps around') : undefined) }],
  Resize: [{
    since: 19,
    apply: (node, _, refuse) => (stringOf(node, 'coordinate_transformation_mode', '') === 'half_pixel_symmetric' ? refuse('uses half_pixel_symmetric') : undefined),
  }],
  GridSample: [{
    since: 20,
    apply: (node, _, refuse) => {
      const mode = stringOf(node, 'mode', 'linear');
      if ((node.inputs[0]?.shape?.length ?? 4) !== 4) refuse('samples volumes');
      node.attributes.set('mode', { type: 'string', value: { linear: 'bilinear', cubic: 'bicubic' }[mode] ?? mode });
      return undefined;
    },
  }],
  GroupNormalization: [{ since: 21, apply: groupNormalization }],
  Gelu: [{ since: 20, apply: gelu }],
  Swish: [{
    since: 24,
    apply: (node, builder) => {
      const x = node.inputs[0]!;
      const alpha = floatOf(node, 'alpha', 1);
      return builder.op('Mul', [x, builder.op('Sigmoid', [alpha === 1 ? x : builder.op('Mul', [x, builder.scalar(alpha, x)])])]);
    },
  }],
  RMSNormalization: [{
    since: 23,
    apply: (node, builder) => {
      const [x, scale] = node.inputs as [Value, Value];
      const rank = shapeOf(x).length;
      const first = (intOf(node, 'axis', -1) + rank) % rank;
      const axes = builder.ints(Array.from({ length: rank - first }, (_, i) => first + i));
      const mean = builder.op('ReduceMean', [builder.op('Mul', [x, x]), axes], { keepdims: 1 });
      const deviation = builder.op('Sqrt', [builder.op('Add', [mean, builder.scalar(floatOf(node, 'epsilon', 1e-5), x)])]);
      return builder.op('Mul', [builder.op('Div', [x, deviation]), scale]);
    },
  }],
  RoiAlign: [{ before: 16, apply: (node) => void node.attributes.set('coordinate_transformation_mode', { type: 'string', value: 'output_half_pixel' }) }],
  Range: [{ since: 27, apply: drop('stash_type') }],
  SpaceToDepth: [{ since: 28, apply: (node, _, refuse) => (node.attributes.has('mode') && stringOf(node, 'mode', 'DCR') !== 'DCR' ? refuse('has another mode') : drop('mode')(node)) }],
};

/** Operators that came after opset 18, or whose later versions say what it cannot, with the version of that change. */
const withoutEquivalent: ReadonlyMap<string, number> = new Map([
  ['AffineGrid', 20], ['Attention', 23], ['BitCast', 26], ['CausalConvWithState', 27], ['CumProd', 26], ['DFT', 20], ['DeformConv', 19], ['DequantizeLinear', 19],
  ['ImageDecoder', 20], ['LinearAttention', 27], ['QuantizeLinear', 19], ['RegexFullMatch', 20], ['RotaryEmbedding', 23], ['StringConcat', 20], ['StringSplit', 20],
  ['SwiGLU', 28], ['TensorScatter', 24],
]);

/** All operators that opsets 13 to 28 define in more than one way, for the test that holds them against the onnx package's definitions. */
export const changedOperators: ReadonlySet<string> = new Set([...Object.keys(changes), ...withoutEquivalent.keys()]);

/**
 * Rewrites a model for opset 18; a model of that opset stays as it is. Types must be inferred anew afterwards.
 * @throws {UnsupportedError} naming the version, or the node that has no equivalent
 */
export function convertOpset(model: Model): void {
  const from = model.opsets.get('') ?? 0;
  if (from < oldestOpset || from > newestOpset) {
    throw new UnsupportedError(`The model is of opset ${from}; estimators are read from opset ${oldestRaised} to ${newestOpset}. Export it again with opset ${emittedOpset}, or convert it with onnx.version_converter.convert_version(model, ${emittedOpset}).`);
  }
  model.opsets.set('', emittedOpset);
  if (from === emittedOpset) return;
  const { graph } = model;
  const builder = new GraphBuilder(graph.name, graph, undefined, emittedOpset);
  const nodes = graph.nodes;
  graph.nodes = [];
  for (const node of nodes) convertNode(node, builder, graph, from);
}

function convertNode(node: Node, builder: GraphBuilder, graph: Graph, from: number): void {
  const refuse = (what: string): never => {
    throw new UnsupportedError(`${node.opType} node ${JSON.stringify(node.name)} of opset ${from} ${what}: opset ${emittedOpset} has no equivalent. Export the estimator again with opset ${emittedOpset}.`);
  };
  if (node.domain === '' && from >= (withoutEquivalent.get(node.opType) ?? Infinity)) refuse('is newer');
  if (hasGraph(node)) refuse('holds a graph of its own');
  const change = node.domain === '' ? changes[node.opType]?.find(({ before, since }) => (before === undefined || from < before) && (since === undefined || from >= since)) : undefined;
  const replacement = change?.apply(node, builder, refuse);
  if (!replacement) {
    graph.nodes.push(node);
    return;
  }
  // The last node takes over the output, so that nobody who reads it notices.
  const last = graph.nodes.at(-1)!;
  last.outputs = [node.outputs[0]!];
}

function gelu(node: Node, builder: GraphBuilder): Value {
  const x = node.inputs[0]!;
  const times = (value: Value, factor: number): Value => builder.op('Mul', [value, builder.scalar(factor, x)]);
  const plusOne = (value: Value): Value => builder.op('Add', [value, builder.scalar(1, x)]);
  if (stringOf(node, 'approximate', 'none') !== 'tanh') return builder.op('Mul', [times(x, 0.5), plusOne(builder.op('Erf', [times(x, Math.SQRT1_2)]))]);
  const cube = builder.op('Mul', [builder.op('Mul', [x, x]), x]);
  const inner = times(builder.op('Add', [x, times(cube, 0.044715)]), Math.sqrt(2 / Math.PI));
  return builder.op('Mul', [times(x, 0.5), plusOne(builder.op('Tanh', [inner]))]);
}

/** From opset 21 on, scale and bias belong to channels; before, to groups. */
function groupNormalization(node: Node, builder: GraphBuilder): Value {
  const [x, scale, bias] = node.inputs as [Value, Value, Value];
  const groups = intOf(node, 'num_groups', 1);
  const shape = shapeOf(x);
  const perGroup = (fill: number): Value => builder.constant(floats(x.dtype!, Array.from({ length: groups }, () => fill)));
  const grouped = builder.op('Reshape', [x, builder.ints([0, groups, -1])]);
  const normal = builder.op('InstanceNormalization', [grouped, perGroup(1), perGroup(0)], { epsilon: floatOf(node, 'epsilon', 1e-5) });
  const perChannel = (value: Value): Value => builder.op('Reshape', [value, builder.ints([-1, ...shape.slice(2).map(() => 1)])]);
  return builder.op('Add', [builder.op('Mul', [builder.op('Reshape', [normal, builder.reshapeTarget(x)]), perChannel(scale)]), perChannel(bias)]);
}
