/**
 * The data-dependent prior of images too large for a full factor: the covariance as low rank plus diagonal, by a randomised
 * singular value decomposition (Halko, Martinsson, Tropp 2011, algorithm 4.4) that streams over the set and never holds a
 * D × D matrix. The latent stays [N, D]: with S the diagonal and S (I + V M Vᵀ) S the covariance,
 * x₀ = clamp(mean + S (z + V (√(1 + M) − 1) Vᵀ z)).
 */
import { fillNormals, purposes, type Seed } from '@ratioflow/sdk';
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import type { TensorFlow } from '../backend/tensorflow.js';
import { sampleLength, type ImageDataset } from '../data/dataset.js';
import { ddpRidge } from './ddp.js';

/** What the prior is made of, rounded to float32. */
export interface LowRankState {
  /** [D] */
  readonly mean: Float32Array;
  /** V, orthonormal columns, [D, rank] row after row. */
  readonly basis: Float32Array;
  /** √(1 + M) − 1, [rank]. */
  readonly gains: Float32Array;
  /** S, [D]: deviation of what the low rank leaves over, ridge included. */
  readonly deviation: Float32Array;
}

/** Largest rank where none is asked for. */
export const defaultRank = 256;

export interface LowRankOptions {
  readonly tf: TensorFlow;
  readonly seed: Seed;
  /** Largest rank. @default 256 */
  readonly rank?: number | undefined;
  /** Part of the variance at which no further direction is taken. @default 0.95 */
  readonly explained?: number | undefined;
  /** Ends it between two chunks. */
  readonly signal?: AbortSignal | undefined;
}

/** Directions beyond the rank that the sketch carries along, and passes that sharpen it. */
const oversampling = 10;
const sharpeningPasses = 2;
const chunkSize = 256;

/** @returns the state, its rank, and the part of the variance that the low rank explains */
export async function lowRankStatistics(dataset: ImageDataset, { tf, seed, rank = defaultRank, explained = 0.95, signal }: LowRankOptions): Promise<{ state: LowRankState; rank: number; explained: number }> {
  const [d, n] = [sampleLength(dataset.sampleShape), dataset.size];
  const { mean, variance } = await momentsOf(dataset, signal);
  const columns = Math.min(rank + oversampling, n, d);
  // The same two arrays for every chunk: gigabytes would wait for the collector otherwise.
  const [bytes, centred] = [new Uint8Array(Math.min(chunkSize, n) * d), new Float32Array(Math.min(chunkSize, n) * d)];
  /** Calls `visit` with each chunk of centred images, [images, D], inside a tidy. */
  const stream = async (visit: (chunk: ReturnType<typeof tf.tensor2d>) => void): Promise<void> => {
    for (let first = 0; first < n; first += chunkSize) {
      signal?.throwIfAborted();
      const count = Math.min(chunkSize, n - first);
      const [raw, values] = [bytes.subarray(0, count * d), centred.subarray(0, count * d)];
      await dataset.readBytes(raw, first, count);
      for (let start = 0; start < values.length; start += d) {
        for (let i = 0; i < d; i++) values[start + i] = raw[start + i]! / 127.5 - 1 - mean[i]!;
      }
      tf.tidy(() => {
        visit(tf.tensor2d(values, [count, d]));
      });
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  /** Q C for Q [columns, D], C the covariance. */
  const multiplied = async (q: Float32Array): Promise<Float32Array> => {
    const [rows, sum] = [tf.tensor2d(q, [columns, d]), tf.tidy(() => tf.variable(tf.zeros([columns, d]), false))];
    try {
      await stream((chunk) => {
        sum.assign(tf.add(sum, tf.matMul(tf.matMul(rows, chunk, false, true), chunk)));
      });
      const result = await sum.data<'float32'>();
      for (let i = 0; i < result.length; i++) result[i]! /= n;
      return result;
    } finally {
      tf.dispose([rows, sum]);
    }
  };

  // Directions are rows, so that each lies in one stretch of memory.
  let q: Float32Array = new Float32Array(columns * d);
  fillNormals(q, { seed, purpose: purposes.weights, step: 2 ** 32 - 1 }, { count: 1, elements: columns * d });
  for (let pass = 0; pass <= sharpeningPasses; pass++) {
    q = await multiplied(q);
    orthonormalize(q, d);
  }
  // Rayleigh–Ritz: the covariance inside the subspace.
  const { values, vectors } = eigen(rowProducts(tf, q, await multiplied(q), d));
  const total = variance.reduce((a, b) => a + b, 0);
  let [kept, sum] = [0, 0];
  while (kept < Math.min(rank, columns) && sum < explained * total && values[kept]! > 0) sum += values[kept++]!;
  // Images that are all the same have no direction; one of length 0 stands for it.
  kept = Math.max(kept, 1);

  // Loadings √Λ Uᵀ, [kept, D], and what they leave of each place's variance.
  const loadings = combinations(tf, vectors, values.slice(0, kept).map((value) => Math.sqrt(Math.max(value, 0))), q, d);
  const modelled = new Float64Array(d);
  for (let at = 0; at < loadings.length; at++) modelled[at % d]! += loadings[at]! ** 2;
  const deviation = Float32Array.from(variance, (value, i) => Math.sqrt(Math.max(value - modelled[i]!, 0) + ddpRidge));
  for (let at = 0; at < loadings.length; at++) loadings[at]! /= deviation[at % d]!;
  const { values: m, vectors: e } = eigen(rowProducts(tf, loadings, loadings, d));
  const basis = transposed(combinations(tf, e, m.map((value) => 1 / Math.sqrt(Math.max(value, 1e-12))), loadings, d), d);
  return {
    state: { mean: Float32Array.from(mean), basis, gains: Float32Array.from(m, (value) => Math.sqrt(1 + Math.max(value, 0)) - 1), deviation },
    rank: kept,
    explained: total > 0 ? sum / total : 1,
  };
}

/** x₀ of z, both [N, D], sums in double. @param z must not share memory with `out` */
export function applyLowRank(out: Float32Array, z: Float32Array, { mean, basis, gains, deviation }: LowRankState): void {
  const [d, rank] = [mean.length, gains.length];
  for (let at = 0; at < z.length; at += d) {
    const inner = new Float64Array(rank);
    for (let i = 0; i < d; i++) for (let j = 0; j < rank; j++) inner[j]! += basis[i * rank + j]! * z[at + i]!;
    for (let j = 0; j < rank; j++) inner[j]! *= gains[j]!;
    for (let i = 0; i < d; i++) {
      let moved = z[at + i]!;
      for (let j = 0; j < rank; j++) moved += basis[i * rank + j]! * inner[j]!;
      out[at + i] = Math.min(1, Math.max(-1, mean[i]! + deviation[i]! * moved));
    }
  }
}

async function momentsOf(dataset: ImageDataset, signal: AbortSignal | undefined): Promise<{ mean: Float64Array; variance: Float64Array }> {
  const [d, n] = [sampleLength(dataset.sampleShape), dataset.size];
  const [sums, squares] = [new Float64Array(d), new Float64Array(d)];
  const all = new Uint8Array(Math.min(chunkSize, n) * d);
  for (let first = 0; first < n; first += chunkSize) {
    signal?.throwIfAborted();
    const count = Math.min(chunkSize, n - first);
    const bytes = all.subarray(0, count * d);
    await dataset.readBytes(bytes, first, count);
    for (let start = 0; start < bytes.length; start += d) {
      for (let i = 0; i < d; i++) {
        const value = bytes[start + i]!;
        sums[i]! += value;
        squares[i]! += value * value;
      }
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { mean: sums.map((sum) => sum / n / 127.5 - 1), variance: squares.map((square, i) => (n * square - sums[i]! ** 2) / (n * n * 127.5 * 127.5)) };
}

/** Makes the rows of a [rows, d] matrix orthonormal where they lie: Gram–Schmidt, twice, in double. */
function orthonormalize(matrix: Float32Array, d: number): void {
  const row = new Float64Array(d);
  for (let start = 0; start < matrix.length; start += d) {
    row.set(matrix.subarray(start, start + d));
    for (let round = 0; round < 2; round++) {
      for (let other = 0; other < start; other += d) {
        let product = 0;
        for (let i = 0; i < d; i++) product += matrix[other + i]! * row[i]!;
        for (let i = 0; i < d; i++) row[i]! -= product * matrix[other + i]!;
      }
      let square = 0;
      for (let i = 0; i < d; i++) square += row[i]! * row[i]!;
      // A direction that the others span already, as in a set of fewer images than rows.
      const scale = square > 1e-24 ? 1 / Math.sqrt(square) : 0;
      for (let i = 0; i < d; i++) row[i]! *= scale;
    }
    matrix.set(row, start);
  }
}

/** Eigenvalues of a symmetric matrix, largest first, and their vectors as columns. */
function eigen(matrix: Matrix): { values: number[]; vectors: Matrix } {
  const symmetric = matrix.clone().add(matrix.transpose()).mul(0.5);
  const decomposition = new EigenvalueDecomposition(symmetric, { assumeSymmetric: true });
  const order = decomposition.realEigenvalues.map((value, index) => ({ value, index })).sort((a, b) => b.value - a.value);
  const columns = order.map(({ index }) => index);
  return { values: order.map(({ value }) => value), vectors: columns.length > 0 ? decomposition.eigenvectorMatrix.subMatrixColumn(columns) : decomposition.eigenvectorMatrix };
}

/** A Bᵀ of matrices with rows of d numbers. */
const rowProducts = (tf: TensorFlow, a: Float32Array, b: Float32Array, d: number): Matrix =>
  new Matrix(tf.tidy(() => tf.matMul(tf.tensor2d(a, [a.length / d, d]), tf.tensor2d(b, [b.length / d, d]), false, true).arraySync() as number[][]));

/** Row j: the rows of `matrix` added up by column j of `vectors`, times `scales[j]`. */
function combinations(tf: TensorFlow, vectors: Matrix, scales: readonly number[], matrix: Float32Array, d: number): Float32Array {
  const rows = matrix.length / d;
  const factors = Float32Array.from({ length: scales.length * rows }, (_, at) => scales[Math.floor(at / rows)]! * vectors.get(at % rows, Math.floor(at / rows)));
  // Read outside: a tidy looks for tensors in what it returns, element by element.
  const product = tf.tidy(() => tf.matMul(tf.tensor2d(factors, [scales.length, rows]), tf.tensor2d(matrix, [rows, d])));
  const result = product.dataSync<'float32'>();
  product.dispose();
  return result;
}

function transposed(matrix: Float32Array, d: number): Float32Array {
  const [rows, result] = [matrix.length / d, new Float32Array(matrix.length)];
  for (let row = 0; row < rows; row++) for (let i = 0; i < d; i++) result[i * rows + row] = matrix[row * d + i]!;
  return result;
}
