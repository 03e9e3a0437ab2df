/** Elementwise operators, activations and fused tails of GraphModels. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf, type GraphBuilder } from '../../ir/builder.js';
import type { DataType, Dim, Value } from '../../ir/types.js';
import { product, quotient, sum, type MaybeDim } from '../../ops/symbolic.js';
import { axisIn, type Layout } from '../layout.js';
import { clip } from '../lowering/activations.js';
import { broadcastable, computed, converted, extents, input, shapeOfTensor, valueTensor, type GraphTensor, type NodeContext, type NodeConverter } from './graph-tensor.js';

type Apply = (builder: GraphBuilder, x: Value) => Value;

const one = (opType: string, attributes: Record<string, number> = {}): Apply => (builder, x) => builder.op(opType, [x], attributes);

const unary = (apply: Apply): NodeConverter => (context, inputs) => {
  const x = computed(context, inputs);
  return valueTensor(apply(context.builder, x.value), x.layout);
};

/** Operators that broadcast; shapes are computed with as well, where every number is known. */
const binary = (opType: string, onExtents?: (a: Dim, b: Dim) => MaybeDim): NodeConverter => (context, inputs) => {
  const [a, b] = [input(context, inputs, 0), input(context, inputs, 1)];
  if (onExtents && (a.kind === 'extents' || b.kind === 'extents') && a.kind !== 'value' && b.kind !== 'value') {
    const [x, y] = [extents(context, inputs, 0, 'operand'), extents(context, inputs, 1, 'operand')];
    const content = Array.from({ length: Math.max(x.length, y.length) }, (_, index): Dim => {
      const [left, right] = [x[x.length === 1 ? 0 : index]!, y[y.length === 1 ? 0 : index]!];
      const result = onExtents(left, right);
      if (result === undefined) throw new UnsupportedError(`${context.where}: of the extents ${left} and ${right}, which is not supported; fix them with \`inputShapes\`.`);
      return result;
    });
    return { kind: 'extents', content, scalar: shapeOfTensor(a).length === 0 && shapeOfTensor(b).length === 0 };
  }
  const { values, layout } = broadcastable(context, inputs.slice(0, 2));
  return valueTensor(context.builder.op(opType, values, {}, context.name), layout);
};

const ofNumbers = (apply: (a: number, b: number) => number) => (a: Dim, b: Dim): MaybeDim => (typeof a === 'number' && typeof b === 'number' ? apply(a, b) : undefined);

const isInteger = (value: Value): boolean => dtypeOf(value).startsWith('int');

/** ⌊a / b⌋; ONNX divides integers towards zero. */
const floorDivide: NodeConverter = (context, inputs) => {
  const { builder } = context;
  if (inputs.every(({ kind }) => kind !== 'value')) return binary('Div', (a, b) => (typeof a === 'number' && typeof b === 'number' ? Math.floor(a / b) : quotient(a, b)))(context, inputs);
  const { values: [a, b], layout } = broadcastable(context, inputs.slice(0, 2));
  if (isInteger(a!)) return valueTensor(builder.op('Div', [builder.op('Sub', [a!, builder.op('Mod', [a!, b!])]), b!]), layout);
  return valueTensor(builder.op('Floor', [builder.op('Div', [a!, b!])]), layout);
};

/** a − ⌊a / b⌋ b: of b's sign. */
const floorModulo: NodeConverter = (context, inputs) => {
  const { builder } = context;
  if (inputs.every(({ kind }) => kind !== 'value')) return binary('Mod', ofNumbers((a, b) => a - Math.floor(a / b) * b))(context, inputs);
  const { values: [a, b], layout } = broadcastable(context, inputs.slice(0, 2));
  if (isInteger(a!)) return valueTensor(builder.op('Mod', [a!, b!]), layout);
  return valueTensor(builder.op('Sub', [a!, builder.op('Mul', [builder.op('Floor', [builder.op('Div', [a!, b!])]), b!])]), layout);
};

const divideOrZero: NodeConverter = (context, inputs) => {
  const { builder } = context;
  const { values: [a, b], layout } = broadcastable(context, inputs.slice(0, 2));
  const zero = builder.scalar(0, b!);
  return valueTensor(builder.op('Where', [builder.op('Equal', [b!, zero]), zero, builder.op('Div', [a!, b!])]), layout);
};

const notEqual: NodeConverter = (context, inputs) => {
  const { values, layout } = broadcastable(context, inputs.slice(0, 2));
  return valueTensor(context.builder.op('Not', [context.builder.op('Equal', values)]), layout);
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
    case '_fusedhardswish': return one('HardSwish');
    case 'elu': return one('Elu', { alpha: 1 });
    case 'leakyrelu': return one('LeakyRelu', { alpha: context.attributes.float('leakyrelu_alpha', 0.2) });
    case 'relu': return one('Relu');
    case 'relu6': return (builder, x) => clip(builder, x, 0, 6);
    case 'sigmoid': return one('Sigmoid');
    case 'tanh': return one('Tanh');
    default: return context.attributes.refuse('fused_ops', name, 'BiasAdd, Elu, LeakyRelu, Prelu, Relu, Relu6, Sigmoid, Tanh, _FusedHardSwish');
  }
}

/** A bias as ONNX takes it, [C]: what TensorFlow's optimizer fuses was [1, 1, 1, C] at times. */
function flatBias(context: NodeContext, inputs: readonly GraphTensor[]): Value {
  const tensor = input(context, inputs, 2);
  if (tensor.kind === 'constant') return context.store(tensor, undefined, [tensor.data.length]);
  const { value } = computed(context, inputs, 2);
  return shapeOf(value).length === 1 ? value : context.builder.op('Reshape', [value, context.builder.ints([-1])]);
}

/** Bias and activation of a fused operator, from its attribute `fused_ops` and its inputs after the second. */
export function fusedActivation(context: NodeContext, inputs: readonly GraphTensor[]): { bias: Value | null; activate: (x: Value, layout: Layout) => Value } {
  const names = context.attributes.strings('fused_ops').filter((name) => name !== 'noop');
  const hasBias = names[0] === 'BiasAdd';
  const bias = hasBias ? flatBias(context, inputs) : null;
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
  Acos: unary(one('Acos')), Acosh: unary(one('Acosh')), Asin: unary(one('Asin')), Asinh: unary(one('Asinh')), Atan: unary(one('Atan')), Atanh: unary(one('Atanh')),
  Cosh: unary(one('Cosh')), Sinh: unary(one('Sinh')), Tan: unary(one('Tan')),
  Erfc: unary((builder, x) => builder.op('Sub', [builder.scalar(1, x), builder.op('Erf', [x])])),
  Expm1: unary((builder, x) => builder.op('Sub', [builder.op('Exp', [x]), builder.scalar(1, x)])),
  IsFinite: unary((builder, x) => builder.op('Not', [builder.op('Or', [builder.op('IsNaN', [x]), builder.op('IsInf', [x])])])), IsInf: unary(one('IsInf')), IsNan: unary(one('IsNaN')),
  Elu: unary(one('Elu', { alpha: 1 })),
  Inv: unary(one('Reciprocal')), Reciprocal: unary(one('Reciprocal')),
  LeakyRelu: (context, inputs) => unary(one('LeakyRelu', { alpha: context.attributes.float('alpha', 0.2) }))(context, inputs),
  Log1p: unary((builder, x) => builder.op('Log', [builder.op('Add', [x, builder.scalar(1, x)])])),
  Relu6: unary((builder, x) => clip(builder, x, 0, 6)),
  Rsqrt: unary((builder, x) => builder.op('Reciprocal', [builder.op('Sqrt', [x])])),
  Selu: unary(one('Selu', { alpha: 1.6732632423543772, gamma: 1.0507009873554805 })),
  Square: unary(square),
  Add: binary('Add', sum), AddV2: binary('Add', sum), Sub: binary('Sub', (a, b) => sum(a, b, -1)), Mul: binary('Mul', (a, b) => product([a, b])),
  Div: binary('Div'), RealDiv: binary('Div'), Pow: binary('Pow'), Prelu: binary('PRelu'),
  Maximum: binary('Max', ofNumbers(Math.max)), Minimum: binary('Min', ofNumbers(Math.min)),
  DivNoNan: divideOrZero, FloorDiv: floorDivide, FloorMod: floorModulo,
  Equal: binary('Equal'), NotEqual: notEqual, Greater: binary('Greater'), GreaterEqual: binary('GreaterOrEqual'), Less: binary('Less'), LessEqual: binary('LessOrEqual'),
  LogicalAnd: binary('And'), LogicalOr: binary('Or'),
  AddN: many('Add'),
  BiasAdd: biasAdd, BiasAddV1: biasAdd,
  Cast: cast,
  ClipByValue: clipByValue,
  LogSoftmax: overLastAxis('LogSoftmax'), Softmax: overLastAxis('Softmax'),
  Select: select, SelectV2: select,
  SquaredDifference: squaredDifference,
};
