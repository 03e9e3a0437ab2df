/** Elementwise operators, activations and fused tails of GraphModels. */
import { shapeOf, type GraphBuilder } from '../../ir/builder.js';
import type { DataType, Value } from '../../ir/types.js';
import { axisIn, type Layout } from '../layout.js';
import { clip } from '../lowering/activations.js';
import { broadcastable, computed, converted, input, integers, shapeOfTensor, valueTensor, type GraphTensor, type NodeContext, type NodeConverter } from './graph-tensor.js';

type Apply = (builder: GraphBuilder, x: Value) => Value;

const one = (opType: string, attributes: Record<string, number> = {}): Apply => (builder, x) => builder.op(opType, [x], attributes);

const unary = (apply: Apply): NodeConverter => (context, inputs) => {
  const x = computed(context, inputs);
  return valueTensor(apply(context.builder, x.value), x.layout);
};

/** Operators that broadcast; shapes are computed with as well, where every number is known. */
const binary = (opType: string, onIntegers?: (a: number, b: number) => number): NodeConverter => (context, inputs) => {
  const [a, b] = [input(context, inputs, 0), input(context, inputs, 1)];
  if (onIntegers && (a.kind === 'extents' || b.kind === 'extents') && a.kind !== 'value' && b.kind !== 'value') {
    const [x, y] = [integers(context, inputs, 0, 'operand'), integers(context, inputs, 1, 'operand')];
    const length = Math.max(x.length, y.length);
    const content = Array.from({ length }, (_, index) => onIntegers(x[x.length === 1 ? 0 : index]!, y[y.length === 1 ? 0 : index]!));
    return { kind: 'extents', content, scalar: shapeOfTensor(a).length === 0 && shapeOfTensor(b).length === 0 };
  }
  const { values, layout } = broadcastable(context, inputs.slice(0, 2));
  return valueTensor(context.builder.op(opType, values, {}, context.name), layout);
};

const many = (opType: string): NodeConverter => (context, inputs) => {
  const { values, layout } = broadcastable(context, inputs);
  return valueTensor(values.reduce((a, b) => context.builder.op(opType, [a, b])), layout);
};

const squaredDifference: NodeConverter = (context, inputs) => {
  const { values, layout } = broadcastable(context, inputs);
  const difference = context.builder.op('Sub', values);
  return valueTensor(context.builder.op('Mul', [difference, difference]), layout);
};

/** Adds to the channels: the last axis, or axis 1 of NCHW. */
const biasAdd: NodeConverter = (context, inputs) => {
  const x = computed(context, inputs);
  const rank = shapeOf(x.value).length;
  const bias = input(context, inputs, 1);
  if (!context.attributes.string('data_format').toUpperCase().startsWith('NC') || rank < 3 || bias.kind !== 'constant') return many('Add')(context, inputs);
  return many('Add')(context, [inputs[0]!, { ...bias, dims: [...bias.dims, ...Array.from({ length: rank - 2 }, () => 1)] }]);
};

const overLastAxis = (opType: string): NodeConverter => (context, inputs) => {
  const x = computed(context, inputs);
  return valueTensor(context.builder.op(opType, [x.value], { axis: axisIn(x, -1, context.where) }), x.layout);
};

const select: NodeConverter = (context, inputs) => {
  const { values, layout } = broadcastable(context, inputs);
  return valueTensor(context.builder.op('Where', values), layout);
};

const clipByValue: NodeConverter = (context, inputs) => {
  const { values: [x, low, high], layout } = broadcastable(context, inputs);
  return valueTensor(context.builder.op('Min', [context.builder.op('Max', [x!, low!]), high!]), layout);
};

const typeCodes: Readonly<Record<string, { code: number; dtype: DataType }>> = { float: { code: 1, dtype: 'float32' }, int32: { code: 6, dtype: 'int32' }, int64: { code: 6, dtype: 'int32' }, bool: { code: 9, dtype: 'bool' } };

const cast: NodeConverter = (context, inputs) => {
  const tensor = input(context, inputs, 0);
  const wanted = context.attributes.type('DstT');
  const type = Object.hasOwn(typeCodes, wanted) ? typeCodes[wanted]! : context.attributes.refuse('DstT', wanted, Object.keys(typeCodes).join(', '));
  if (tensor.kind === 'extents' && type.dtype === 'int32') return tensor;
  const x = computed(context, inputs);
  return x.value.dtype === type.dtype ? converted(x) : valueTensor(context.builder.op('Cast', [x.value], { to: type.code }), x.layout);
};

/** Activations by the names that fused operators use. */
function activationOf(context: NodeContext, name: string): Apply {
  switch (name.toLowerCase()) {
    case 'elu': return one('Elu', { alpha: 1 });
    case 'leakyrelu': return one('LeakyRelu', { alpha: context.attributes.float('leakyrelu_alpha', 0.2) });
    case 'relu': return one('Relu');
    case 'relu6': return (builder, x) => clip(builder, x, 0, 6);
    case 'sigmoid': return one('Sigmoid');
    case 'tanh': return one('Tanh');
    default: return context.attributes.refuse('fused_ops', name, 'BiasAdd, Elu, LeakyRelu, Prelu, Relu, Relu6, Sigmoid, Tanh');
  }
}

/** Bias and activation of a fused operator, from its attribute `fused_ops` and its inputs after the second. */
export function fusedActivation(context: NodeContext, inputs: readonly GraphTensor[]): { bias: Value | null; activate: (x: Value, layout: Layout) => Value } {
  const names = context.attributes.strings('fused_ops').filter((name) => name !== 'noop');
  const hasBias = names[0] === 'BiasAdd';
  const bias = hasBias ? computed(context, inputs, 2).value : null;
  const rest = hasBias ? names.slice(1) : names;
  if (rest.length > 1) context.attributes.refuse('fused_ops', names, 'BiasAdd and one activation');
  const [name] = rest;
  if (name === undefined) return { bias, activate: (x) => x };
  if (name.toLowerCase() === 'prelu') {
    return { bias, activate: (x, layout) => context.builder.op('PRelu', broadcastable(context, [valueTensor(x, layout), input(context, inputs, hasBias ? 3 : 2)]).values) };
  }
  const apply = activationOf(context, name);
  return { bias, activate: (x) => apply(context.builder, x) };
}

const square: Apply = (builder, x) => builder.op('Mul', [x, x]);

export const elementwiseNodes: Readonly<Record<string, NodeConverter>> = {
  Abs: unary(one('Abs')), Ceil: unary(one('Ceil')), Cos: unary(one('Cos')), Erf: unary(one('Erf')), Exp: unary(one('Exp')), Floor: unary(one('Floor')),
  Log: unary(one('Log')), LogicalNot: unary(one('Not')), Neg: unary(one('Neg')), Relu: unary(one('Relu')), Round: unary(one('Round')), Sigmoid: unary(one('Sigmoid')),
  Sign: unary(one('Sign')), Sin: unary(one('Sin')), Softplus: unary(one('Softplus')), Softsign: unary(one('Softsign')), Sqrt: unary(one('Sqrt')), Tanh: unary(one('Tanh')),
  Elu: unary(one('Elu', { alpha: 1 })),
  Inv: unary(one('Reciprocal')), Reciprocal: unary(one('Reciprocal')),
  LeakyRelu: (context, inputs) => unary(one('LeakyRelu', { alpha: context.attributes.float('alpha', 0.2) }))(context, inputs),
  Log1p: unary((builder, x) => builder.op('Log', [builder.op('Add', [x, builder.scalar(1, x)])])),
  Relu6: unary((builder, x) => clip(builder, x, 0, 6)),
  Rsqrt: unary((builder, x) => builder.op('Reciprocal', [builder.op('Sqrt', [x])])),
  Selu: unary(one('Selu', { alpha: 1.6732632423543772, gamma: 1.0507009873554805 })),
  Square: unary(square),
  Add: binary('Add', (a, b) => a + b), AddV2: binary('Add', (a, b) => a + b), Sub: binary('Sub', (a, b) => a - b), Mul: binary('Mul', (a, b) => a * b),
  Div: binary('Div'), RealDiv: binary('Div'), Pow: binary('Pow'), Prelu: binary('PRelu'),
  Maximum: binary('Max', Math.max), Minimum: binary('Min', Math.min),
  Equal: binary('Equal'), Greater: binary('Greater'), GreaterEqual: binary('GreaterOrEqual'), Less: binary('Less'), LessEqual: binary('LessOrEqual'),
  LogicalAnd: binary('And'), LogicalOr: binary('Or'),
  AddN: many('Add'),
  BiasAdd: biasAdd, BiasAddV1: biasAdd,
  Cast: cast,
  ClipByValue: clipByValue,
  LogSoftmax: overLastAxis('LogSoftmax'), Softmax: overLastAxis('Softmax'),
  Select: select, SelectV2: select,
  SquaredDifference: squaredDifference,
};
