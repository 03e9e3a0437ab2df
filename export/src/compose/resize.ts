/**
 * Bilinear resizing as two matrix products, whose adjoint is two more: right on every engine, where Resize and its adjoint
 * are not. The same numbers as PyTorch's `interpolate(mode="bilinear", align_corners=False)`, with or without `antialias`.
 */
import type { GraphBuilder } from '../ir/builder.js';
import { float32, type Constant } from '../ir/constant.js';
import type { Value } from '../ir/types.js';

/**
 * [to, from]: row i holds the weights of the samples that make sample i. A triangle around the sample's place, pixels as
 * areas (half-pixel centres), normalised where the edge cuts it off.
 * @param antialias widen the triangle to the extent that is made one sample, where that is more than one
 */
export function resizeMatrix(from: number, to: number, antialias: boolean): Float32Array {
  const matrix = new Float32Array(to * from);
  const ratio = from / to;
  const reach = antialias ? Math.max(1, ratio) : 1;
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * ratio;
    const weights = Array.from({ length: from }, (_, j) => Math.max(0, 1 - Math.abs((j + 0.5 - centre) / reach)));
    const total = weights.reduce((a, b) => a + b, 0);
    weights.forEach((weight, j) => { matrix[i * from + j] = weight / total; });
  }
  return matrix;
}

/** How images of a size become images of another; the constants are made once. */
export function resizer([height, width]: readonly [number, number], [toHeight, toWidth]: readonly [number, number], antialias: boolean): (builder: GraphBuilder, x: Value) => Value {
  const rows = height === toHeight ? undefined : float32(resizeMatrix(height, toHeight, antialias), [toHeight, height]);
  const columns = width === toWidth ? undefined : float32(transposed(resizeMatrix(width, toWidth, antialias), toWidth, width), [width, toWidth]);
  const constant = (builder: GraphBuilder, item: Constant): Value => builder.initializer('resize', item);
  return (builder, x) => {
    const wide = columns ? builder.op('MatMul', [x, constant(builder, columns)]) : x;
    return rows ? builder.op('MatMul', [constant(builder, rows), wide]) : wide;
  };
}

function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(matrix, (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
}
