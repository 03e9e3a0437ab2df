/** Pooling nodes. */
import { shapeOf, type GraphBuilder } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { range, type Converted } from '../layout.js';
import { padsOf, type WindowOptions } from './window.js';

export type PoolKind = 'average' | 'max';

/** Pooling over windows of x, channels first; padding counts neither for the mean nor for the maximum. */
export function pool(builder: GraphBuilder, kind: PoolKind, x: Value, window: WindowOptions, where: string): Value {
  const attributes = { kernel_shape: window.kernel, strides: window.strides, pads: padsOf(window, shapeOf(x).slice(2), where) };
  return kind === 'max' ? builder.op('MaxPool', [x], attributes) : builder.op('AveragePool', [x], { ...attributes, count_include_pad: 0 });
}

/** Pooling over all axes between batch and channels → [N, C]. */
export function globalPool(builder: GraphBuilder, kind: PoolKind, { value, layout }: Converted): Converted {
  const shape = shapeOf(value);
  if (layout === 'channels-first' && shape.length > 3) {
    const pooled = builder.op(kind === 'max' ? 'GlobalMaxPool' : 'GlobalAveragePool', [value]);
    return { value: builder.op('Reshape', [pooled, builder.ints([-1, shape[1] as number])]), layout: 'plain' };
  }
  const axes = layout === 'plain' ? range(1, shape.length - 1) : range(2, shape.length);
  return { value: builder.op(kind === 'max' ? 'ReduceMax' : 'ReduceMean', [value, builder.ints(axes)], { keepdims: 0 }), layout: 'plain' };
}
