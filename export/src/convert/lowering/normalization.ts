/** Normalisations as nodes. */
import { dtypeOf, shapeOf, type GraphBuilder } from '../../ir/builder.js';
import { floats } from '../../ir/constant.js';
import type { Value } from '../../ir/types.js';

export interface BatchStatistics {
  /** [C] each. */
  readonly mean: Value;
  readonly variance: Value;
  readonly scale: Value | null;
  readonly offset: Value | null;
  readonly epsilon: number;
}

/**
 * (x − mean) / √(variance + ε) · scale + offset along one axis. On axis 1 it is a BatchNormalization node, which engines
 * fold into the convolution before it; elsewhere plain arithmetic, whose constant part engines compute once.
 */
export function batchNormalization(builder: GraphBuilder, x: Value, axis: number, statistics: BatchStatistics, hint?: string): Value {
  const { mean, variance, scale, offset, epsilon } = statistics;
  const length = shapeOf(mean)[0] as number;
  const filled = (value: number): Value => builder.constant(floats(dtypeOf(x), Array.from({ length }, () => value)), value === 1 ? 'ones' : 'zeros');
  if (axis === 1) return builder.op('BatchNormalization', [x, scale ?? filled(1), offset ?? filled(0), mean, variance], { epsilon }, hint);
  const trailing = shapeOf(x).length - 1 - axis;
  const shaped = (value: Value): Value => (trailing === 0 ? value : builder.op('Reshape', [value, builder.ints([length, ...Array.from({ length: trailing }, () => 1)])]));
  const deviation = builder.op('Sqrt', [builder.op('Add', [variance, builder.scalar(epsilon, x)])]);
  const factor = scale ? builder.op('Div', [scale, deviation]) : builder.op('Reciprocal', [deviation]);
  const scaled = builder.op('Mul', [builder.op('Sub', [x, shaped(mean)]), shaped(factor)]);
  return offset ? builder.op('Add', [scaled, shaped(offset)]) : scaled;
}

export interface LayerParameters {
  /** Over the normalised axes and those after them. */
  readonly scale: Value | null;
  readonly offset: Value | null;
  readonly epsilon: number;
}

/** Normalisation by mean and variance over `axes` (ascending); a LayerNormalization node where they are the last ones. */
export function layerNormalization(builder: GraphBuilder, x: Value, axes: readonly number[], { scale, offset, epsilon }: LayerParameters, hint?: string): Value {
  const shape = shapeOf(x);
  const extents = axes.map((axis) => shape[axis]!);
  const trailing = axes.every((axis, index) => axis === shape.length - axes.length + index);
  if (trailing && extents.every((dim) => typeof dim === 'number')) {
    const count = extents.reduce((a, b) => a * b, 1);
    const weight = scale ?? builder.constant(floats(dtypeOf(x), Array.from({ length: count }, () => 1), extents), 'ones');
    return builder.op('LayerNormalization', [x, weight, offset], { axis: axes[0]!, epsilon }, hint);
  }
  const mean = builder.op('ReduceMean', [x, builder.ints(axes)], { keepdims: 1 });
  const centred = builder.op('Sub', [x, mean]);
  const variance = builder.op('ReduceMean', [builder.op('Mul', [centred, centred]), builder.ints(axes)], { keepdims: 1 });
  const normalized = builder.op('Div', [centred, builder.op('Sqrt', [builder.op('Add', [variance, builder.scalar(epsilon, x)])])]);
  const scaled = scale ? builder.op('Mul', [normalized, scale]) : normalized;
  return offset ? builder.op('Add', [scaled, offset]) : scaled;
}
