/** Padding of sliding windows as TensorFlow defines it, written out as numbers. */
import { UnsupportedError } from '../../errors.js';
import type { Dim } from '../../ir/types.js';
import { fixed } from '../layout.js';

export type Padding = 'same' | 'valid';

/** A sliding window along the spatial axes. */
export interface WindowOptions {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** A mode, or amounts before all axes and then after all axes. */
  readonly padding: Padding | readonly number[];
}

/** ONNX `pads` over inputs of these spatial extents: TensorFlow's SAME puts the odd one at the end. */
export function padsOf(window: WindowOptions, extents: readonly Dim[], where: string): number[] {
  const { kernel, strides, dilations, padding } = window;
  if (typeof padding !== 'string') return [...padding];
  const totals = extents.map((extent, axis) => {
    if (padding === 'valid') return 0;
    const reach = (kernel[axis]! - 1) * dilations[axis]! + 1;
    const stride = strides[axis]!;
    if (stride === 1) return reach - 1;
    const size = fixed(extent, where, 'padding "same" with strides');
    return Math.max(0, (Math.ceil(size / stride) - 1) * stride + reach - size);
  });
  return [...totals.map((total) => Math.floor(total / 2)), ...totals.map((total) => Math.ceil(total / 2))];
}

/**
 * `pads` and `output_padding` of a transposed convolution with the given output extents: the adjoint of the
 * convolution that makes `extents` from `outputs`.
 */
export function transposedPads(window: WindowOptions, extents: readonly Dim[], outputs: readonly number[], where: string): { pads: number[]; outputPadding: number[] } {
  const pads = padsOf(window, outputs, where);
  const rank = outputs.length;
  const outputPadding = outputs.map((output, axis) => {
    const reach = (window.kernel[axis]! - 1) * window.dilations[axis]! + 1;
    return output - (window.strides[axis]! * (fixed(extents[axis], where) - 1) + reach - pads[axis]! - pads[axis + rank]!);
  });
  if (outputPadding.some((extra) => extra < 0)) throw new UnsupportedError(`${where}: no padding gives the output extents [${outputs.join(', ')}].`);
  return { pads, outputPadding };
}
