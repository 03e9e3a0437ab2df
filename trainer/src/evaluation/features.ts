/** Features of samples as the figures take them, and their Gaussian. */
import type { Gaussian } from './frechet-distance.js';
import type { Matrix, MatrixProducts } from './matrix-products.js';

/** Features of `count` samples, row after row, in the precision of the network that made them. */
export interface Features {
  readonly count: number;
  readonly dimension: number;
  readonly rows: Float32Array;
}

/** Some rows in double. */
export function rowsOf({ dimension, rows }: Features, indices: ArrayLike<number>): Matrix {
  const data = new Float64Array(indices.length * dimension);
  for (let i = 0; i < indices.length; i++) data.set(rows.subarray(indices[i]! * dimension, (indices[i]! + 1) * dimension), i * dimension);
  return { rows: indices.length, columns: dimension, data };
}

/** The rows from `first` in double. */
export const stretchOf = ({ dimension, rows }: Features, first: number, count: number): Matrix =>
  ({ rows: count, columns: dimension, data: Float64Array.from(rows.subarray(first * dimension, (first + count) * dimension)) });

/** Rows that go through one product. */
const chunk = 4096;

/** Mean and covariance with the divisor n − 1 (0 for a single sample), in two passes. */
export async function gaussianOf(products: MatrixProducts, features: Features): Promise<Gaussian> {
  const { count, dimension, rows } = features;
  const mean = new Float64Array(dimension);
  for (let at = 0; at < rows.length; at += dimension) for (let i = 0; i < dimension; i++) mean[i]! += rows[at + i]!;
  for (let i = 0; i < dimension; i++) mean[i]! /= count;
  const covariance = new Float64Array(dimension * dimension);
  for (let first = 0; first < count; first += chunk) {
    const part = stretchOf(features, first, Math.min(chunk, count - first));
    for (let at = 0; at < part.data.length; at += dimension) for (let i = 0; i < dimension; i++) part.data[at + i]! -= mean[i]!;
    const { data } = await products.transposedTimes(part, part);
    for (let i = 0; i < data.length; i++) covariance[i]! += data[i]!;
  }
  const divisor = Math.max(count - 1, 1);
  for (let i = 0; i < covariance.length; i++) covariance[i]! /= divisor;
  return { mean, covariance: { rows: dimension, columns: dimension, data: covariance } };
}
