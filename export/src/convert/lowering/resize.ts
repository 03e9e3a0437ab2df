/** Resizing of images as TensorFlow does it. */
import { shapeOf, type GraphBuilder } from '../../ir/builder.js';
import { float32 } from '../../ir/constant.js';
import type { Value } from '../../ir/types.js';
import { fixed } from '../layout.js';
import { nearestIndices, type Grid } from './sampling.js';

export type Interpolation = 'nearest' | 'bilinear';

export interface ResizeOptions {
  readonly interpolation: Interpolation;
  readonly grid: Grid;
}

/** Resizes the two spatial axes of x [N, C, H, W] to `sizes`. */
export function resize(builder: GraphBuilder, x: Value, sizes: readonly number[], { interpolation, grid }: ResizeOptions, where: string): Value {
  const extents = shapeOf(x).slice(2).map((extent) => fixed(extent, where));
  if (extents.every((extent, axis) => extent === sizes[axis])) return x;
  if (interpolation === 'bilinear') {
    return resized(builder, x, sizes, { mode: 'linear', coordinate_transformation_mode: { asymmetric: 'asymmetric', 'align-corners': 'align_corners', 'half-pixel': 'half_pixel' }[grid] });
  }
  const repeats = grid !== 'align-corners' && sizes.every((size, axis) => size % extents[axis]! === 0);
  if (repeats) return resized(builder, x, sizes, { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' });
  // Engines round at the edges between pixels in their own ways; indices leave nothing to rounding.
  return extents.reduce((image, extent, axis) => gatherAxis(builder, image, axis + 2, nearestIndices(extent, sizes[axis]!, grid, where)), x);
}

/**
 * With factors or extents for all axes: where ONNX Runtime (1.30) moves a Transpose through a Resize that has `axes`, it loses count of them.
 * Factors, which are constants, where no engine can round them to other extents.
 */
function resized(builder: GraphBuilder, x: Value, sizes: readonly number[], attributes: Readonly<Record<string, string>>): Value {
  const extents = shapeOf(x).slice(2) as readonly number[];
  const factors = sizes.map((size, axis) => Math.fround(size / extents[axis]!));
  const exact = sizes.every((size, axis) => Math.floor(factors[axis]! * extents[axis]!) === size && Math.floor(Math.fround(factors[axis]! * extents[axis]!)) === size);
  if (exact) return builder.op('Resize', [x, null, builder.constant(float32([1, 1, ...factors]), 'factors')], attributes);
  const leading = builder.op('Slice', [builder.op('Shape', [x]), builder.ints([0]), builder.ints([2])]);
  return builder.op('Resize', [x, null, null, builder.op('Concat', [leading, builder.ints(sizes)], { axis: 0 })], attributes);
}

/** Picks elements along an axis. */
export function gatherAxis(builder: GraphBuilder, x: Value, axis: number, indices: readonly number[]): Value {
  const extent = shapeOf(x)[axis];
  if (indices.length === extent && indices.every((index, at) => index === at)) return x;
  const contiguous = indices.every((index, at) => at === 0 || index === indices[at - 1]! + 1);
  if (!contiguous) return builder.op('Gather', [x, builder.ints(indices)], { axis });
  return builder.op('Slice', [x, builder.ints([indices[0]!]), builder.ints([indices.at(-1)! + 1]), builder.ints([axis]), builder.ints([1])]);
}
