/** Activation functions by their tfjs names. */
import { UnsupportedError } from '../../errors.js';
import type { GraphBuilder } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';

/** What an activation is applied to: `axis` is the axis of the value that is the tfjs tensor's last one. */
type Activate = (builder: GraphBuilder, x: Value, axis: number) => Value;

const unary = (opType: string, attributes: Record<string, number> = {}): Activate => (builder, x) => builder.op(opType, [x], attributes);

export const clip = (builder: GraphBuilder, x: Value, low: number, high: number): Value => builder.op('Clip', [x, builder.scalar(low, x), builder.scalar(high, x)]);

/** x / 2 · (1 + erf(x / √2)); opset 18 has no Gelu. */
const gelu: Activate = (builder, x) => {
  const erf = builder.op('Erf', [builder.op('Div', [x, builder.scalar(Math.SQRT2, x)])]);
  return builder.op('Mul', [builder.op('Mul', [x, builder.op('Add', [erf, builder.scalar(1, x)])]), builder.scalar(0.5, x)]);
};

/** x / 2 · (1 + tanh(√(2/π) (x + 0.044715 x³))). */
const geluTanh: Activate = (builder, x) => {
  const cube = builder.op('Mul', [builder.op('Mul', [x, x]), x]);
  const inner = builder.op('Add', [x, builder.op('Mul', [cube, builder.scalar(0.044715, x)])]);
  const tanh = builder.op('Tanh', [builder.op('Mul', [inner, builder.scalar(Math.sqrt(2 / Math.PI), x)])]);
  return builder.op('Mul', [builder.op('Mul', [x, builder.op('Add', [tanh, builder.scalar(1, x)])]), builder.scalar(0.5, x)]);
};

export const activations: Readonly<Record<string, Activate>> = {
  linear: (_, x) => x,
  relu: unary('Relu'),
  relu6: (builder, x) => clip(builder, x, 0, 6),
  sigmoid: unary('Sigmoid'),
  hardSigmoid: unary('HardSigmoid', { alpha: 0.2, beta: 0.5 }),
  tanh: unary('Tanh'),
  softplus: unary('Softplus'),
  softsign: unary('Softsign'),
  elu: unary('Elu', { alpha: 1 }),
  selu: unary('Selu', { alpha: 1.6732632423543772, gamma: 1.0507009873554805 }),
  gelu,
  gelu_new: geluTanh,
  mish: (builder, x) => builder.op('Mul', [x, builder.op('Tanh', [builder.op('Softplus', [x])])]),
  swish: (builder, x) => builder.op('Mul', [x, builder.op('Sigmoid', [x])]),
  softmax: (builder, x, axis) => builder.op('Softmax', [x], { axis }),
  logSoftmax: (builder, x, axis) => builder.op('LogSoftmax', [x], { axis }),
};

/** Softmax over one axis, or jointly over several (ascending): exp(x − log Σ exp x). */
export function softmaxOver(builder: GraphBuilder, x: Value, axes: readonly number[]): Value {
  if (axes.length === 1) return builder.op('Softmax', [x], { axis: axes[0]! });
  return builder.op('Exp', [builder.op('Sub', [x, builder.op('ReduceLogSumExp', [x, builder.ints(axes)], { keepdims: 1 })])]);
}

/** Applies the activation of this tfjs name. @throws {UnsupportedError} naming `where`, the attribute and what there is */
export function activate(builder: GraphBuilder, name: unknown, x: Value, axis: number, where: string, key = 'activation'): Value {
  const found = typeof name === 'string' && Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (!found) throw new UnsupportedError(`${where}: ${key} = ${JSON.stringify(name)} is not supported (supported: ${Object.keys(activations).join(', ')}).`);
  return found(builder, x, axis);
}
