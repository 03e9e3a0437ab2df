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

export interface LowRankOptions {
  readonly tf: TensorFlow;
  readonly seed: Seed;
  /** Largest rank. @default 256 */
  readonly rank?: number | undefined;
  /** Part of the variance at which no further direction is taken. @default 0.95 */
  readonly explained?: number | undefined;
}

/** Directions beyond the rank that the sketch carries along, and passes that sharpen it. */
const oversampling = 10;
const sharpeningPasses = 2;
const chunkSize = 256;

/** @returns the state, its rank, and the part of the variance that the low rank explains */
export async function lowRankStatistics(dataset: ImageDataset, { tf, seed, rank = 256, explained = 0.95 }: LowRankOptions): Promise<{ state: LowRankState; rank: number; explained: number }> {
  const [d, n] = [sampleLength(dataset.sampleShape), dataset.size];
  const { mean, variance } = await momentsOf(dataset);
  const columns = Math.min(rank + oversampling, n, d);
  // The same two arrays for every chunk: gigabytes would wait for the collector otherwise.
  const [bytes, centred] = [new Uint8Array(Math.min(chunkSize, n) * d), new Float32Array(Math.min(chunkSize, n) * d)];
  /** Calls `visit` with each chunk of centred images, [images, D], inside a tidy. */
  const stream = async (visit: (chunk: ReturnType<typeof tf.tensor2d>) => void): Promise<void> => {
    for (let first = 0; first < n; first += chunkSize) {
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
  /** C Q for orthonormal Q [D, columns], C the covariance. */
  const multiplied = async (q: Float32Array): Promise<Float32Array> => {
    const [matrix, sum] = [tf.tensor2d(q, [d, columns]), tf.variable(tf.zeros([d, columns]), false)];
    await stream((chunk) => {
      sum.assign(tf.add(sum, tf.matMul(chunk, tf.matMul(chunk, matrix), true)));
    });
    const result = await sum.data<'float32'>();
    for (let i = 0; i < result.length; i++) result[i]! /= n;
    tf.dispose([matrix, sum]);
    return result;
  };

  const start = new Float32Array(d * columns);
  fillNormals(start, { seed, purpose: purposes.weights, step: 2 ** 32 - 1 }, { count: 1, elements: d * columns });
  let q = orthonormal(await multiplied(start), d, columns);
  for (let pass = 0; pass < sharpeningPasses; pass++) q = orthonormal(await multiplied(q), d, columns);
  // Rayleigh–Ritz: the covariance inside the subspace.
  const image = await multiplied(q);
  const small = tf.tidy(() => tf.matMul(tf.tensor2d(q, [d, columns]), tf.tensor2d(image, [d, columns]), true).arraySync() as number[][]);
  const { values, vectors } = eigen(new Matrix(small));
  const total = variance.reduce((a, b) => a + b, 0);
  let [kept, sum] = [0, 0];
  while (kept < Math.min(rank, columns) && sum < explained * total && values[kept]! > 0) sum += values[kept++]!;

  // Loadings U √Λ, [D, kept], and what they leave of each place's variance.
  const loadings = matrixProduct(tf, q, d, columns, Float32Array.from({ length: columns * kept }, (_, i) => vectors.get(Math.floor(i / kept), i % kept) * Math.sqrt(values[i % kept]!)), kept);
  const deviation = Float32Array.from(variance, (value, i) => {
    let modelled = 0;
    for (let j = 0; j < kept; j++) modelled += loadings[i * kept + j]! ** 2;
    return Math.sqrt(Math.max(value - modelled, 0) + ddpRidge);
  });
  const whitened = loadings.map((value, i) => value / deviation[Math.floor(i / kept)]!);
  const gram = tf.tidy(() => {
    const matrix = tf.tensor2d(whitened, [d, kept]);
    return tf.matMul(matrix, matrix, true).arraySync() as number[][];
  });
  const { values: m, vectors: e } = eigen(new Matrix(gram));
  const basis = matrixProduct(tf, whitened, d, kept, Float32Array.from({ length: kept * kept }, (_, i) => e.get(Math.floor(i / kept), i % kept) / Math.sqrt(Math.max(m[i % kept]!, 1e-12))), kept);
  return {
    state: { mean: Float32Array.from(mean), basis, gains: Float32Array.from({ length: kept }, (_, j) => Math.sqrt(1 + Math.max(m[j]!, 0)) - 1), deviation },
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

async function momentsOf(dataset: ImageDataset): Promise<{ mean: Float64Array; variance: Float64Array }> {
  const [d, n] = [sampleLength(dataset.sampleShape), dataset.size];
  const [sums, squares] = [new Float64Array(d), new Float64Array(d)];
  const all = new Uint8Array(Math.min(chunkSize, n) * d);
  for (let first = 0; first < n; first += chunkSize) {
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
  }
  return { mean: sums.map((sum) => sum / n / 127.5 - 1), variance: squares.map((square, i) => (n * square - sums[i]! ** 2) / (n * n * 127.5 * 127.5)) };
}

/** Makes the columns of a [rows, columns] matrix orthonormal, and returns it: Gram–Schmidt, twice, in double. */
function orthonormal(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const vectors = Array.from({ length: columns }, (_, j) => {
    const vector = new Float64Array(rows);
    for (let i = 0; i < rows; i++) vector[i] = matrix[i * columns + j]!;
    return vector;
  });
  for (const [j, vector] of vectors.entries()) {
    for (let round = 0; round < 2; round++) {
      for (let k = 0; k < j; k++) {
        const other = vectors[k]!;
        let product = 0;
        for (let i = 0; i < rows; i++) product += other[i]! * vector[i]!;
        for (let i = 0; i < rows; i++) vector[i]! -= product * other[i]!;
      }
      let square = 0;
      for (let i = 0; i < rows; i++) square += vector[i]! * vector[i]!;
      // A direction that the others span already, as in a set of fewer images than columns.
      const scale = square > 1e-24 ? 1 / Math.sqrt(square) : 0;
      for (let i = 0; i < rows; i++) vector[i]! *= scale;
    }
    for (let i = 0; i < rows; i++) matrix[i * columns + j] = vector[i]!;
  }
  return matrix;
}

/** Eigenvalues of a symmetric matrix, largest first, and their vectors as columns. */
function eigen(matrix: Matrix): { values: number[]; vectors: Matrix } {
  const symmetric = matrix.clone().add(matrix.transpose()).mul(0.5);
  const decomposition = new EigenvalueDecomposition(symmetric, { assumeSymmetric: true });
  const order = decomposition.realEigenvalues.map((value, index) => ({ value, index })).sort((a, b) => b.value - a.value);
  const columns = order.map(({ index }) => index);
  return { values: order.map(({ value }) => value), vectors: columns.length > 0 ? decomposition.eigenvectorMatrix.subMatrixColumn(columns) : decomposition.eigenvectorMatrix };
}

const matrixProduct = (tf: TensorFlow, a: Float32Array, rows: number, inner: number, b: Float32Array, columns: number): Float32Array =>
  tf.tidy(() => tf.matMul(tf.tensor2d(a, [rows, inner]), tf.tensor2d(b, [inner, columns])).dataSync<'float32'>());
