/**
 * The data-dependent prior (arXiv 2303.03714, section 4.2): N(mean, cov + 1e-4 · I) of the flattened training images in
 * [−1, 1], samples clamped to [−1, 1]. Here: its factor from the moments of a data set, and x₀ from z.
 */
import type { Tensor2D } from '@tensorflow/tfjs';
import { ArgumentError } from '@ratioflow/sdk';
import type { TensorFlow } from '../backend/tensorflow.js';
import { isImageDataset } from '../data/dataset.js';
import type { Dataset } from '../data/dataset.js';
import { choleskyInPlace } from './cholesky.js';
import { byteMoments } from './moments.js';
import type { MomentOptions } from './moments.js';

/** What the prior is made of, rounded to float32; the factor belongs in `weights.bin`. */
export interface DdpState {
  /** [D] */
  readonly mean: Float32Array;
  /** Lower Cholesky factor L of cov + ridge · I, [D, D] row after row, zeros above the diagonal. */
  readonly factor: Float32Array;
}

/** Largest D with a full factor: 3 × 32² makes 38 MB; above it, a low-rank factor is the right tool. */
export const largestFullDdp = 3072;

/** Whether the prior of samples of so many values is of low rank plus diagonal (low-rank.ts). */
export const hasLowRank = ({ rank, explained }: { readonly rank?: number | undefined; readonly explained?: number | undefined }, elements: number): boolean =>
  rank !== undefined || explained !== undefined || elements > largestFullDdp;

/** Added to the diagonal of the covariance, as in the paper's code. */
export const ddpRidge = 1e-4;

/**
 * Mean and factor of a set's images, streamed once in storage order, without flips. The sums are exact integers, so the
 * result does not depend on how they were computed.
 * @throws {ArgumentError} for a data set that holds no images, or images too large for a full factor
 */
export async function ddpStatistics(dataset: Dataset, options: MomentOptions = {}): Promise<DdpState> {
  if (!isImageDataset(dataset)) {
    const found = dataset.size === null ? 'computes its samples' : dataset.sampleShape.length === 3 ? 'holds float32 images' : 'holds points';
    throw new ArgumentError(`The ddp prior needs a finite set of images in bytes (uint8 [N, C, H, W]); ${dataset.name} ${found}. Save images as uint8, round((x + 1) · 127.5), or use the prior gaussian or uniform.`);
  }
  const [d, n] = [dataset.sampleShape.reduce((a, b) => a * b, 1), dataset.size];
  if (d > largestFullDdp) {
    throw new ArgumentError(
      `The ddp prior of ${dataset.name} would need a ${d} × ${d} factor of ${(d * d * 4e-9).toFixed(1)} GB; full factors are made up to ` +
        `${largestFullDdp} values a sample. Use the prior uniform or smaller images.`,
    );
  }
  const { sums, products } = await byteMoments(dataset, options);
  // cov of bytes = (n·Σab − Σa·Σb) / n², exact up to the division: both terms are integers below 2⁵³.
  const covariance = products;
  for (let row = 0; row < d; row++) {
    for (let column = 0; column <= row; column++) {
      const at = row * d + column;
      covariance[at] = (n * products[at]! - sums[row]! * sums[column]!) / (n * n * 127.5 * 127.5);
    }
    covariance[row * d + row]! += ddpRidge;
  }
  choleskyInPlace(covariance, d);
  return { mean: Float32Array.from(sums, (sum) => sum / n / 127.5 - 1), factor: new Float32Array(covariance) };
}

/**
 * x₀ = clamp(mean + z·Lᵀ, −1, 1) in plain JavaScript, sums in double. Four samples share each pass over the factor.
 * @param z [N, D]; must not share memory with `out`
 */
export function applyFactor(out: Float32Array, z: Float32Array, { mean, factor }: DdpState): void {
  const d = mean.length;
  const count = z.length / d;
  for (let first = 0; first < count; first += 4) {
    // The last group may be smaller: it then repeats its last sample, which writes the same value again.
    const rows = [0, 1, 2, 3].map((i) => Math.min(first + i, count - 1) * d) as [number, number, number, number];
    const [z0, z1, z2, z3] = rows;
    for (let i = 0; i < d; i++) {
      const row = i * d;
      let a0 = mean[i]!;
      let a1 = a0;
      let a2 = a0;
      let a3 = a0;
      for (let j = 0; j <= i; j++) {
        const l = factor[row + j]!;
        a0 += l * z[z0 + j]!;
        a1 += l * z[z1 + j]!;
        a2 += l * z[z2 + j]!;
        a3 += l * z[z3 + j]!;
      }
      out[z0 + i] = clampUnit(a0);
      out[z1 + i] = clampUnit(a1);
      out[z2 + i] = clampUnit(a2);
      out[z3 + i] = clampUnit(a3);
    }
  }
}

/** The same map on tensors. `transform` leaves z alone and returns a tensor that the caller disposes. */
export interface TensorPrior {
  /** @param z [N, D] */
  transform(z: Tensor2D): Tensor2D;
  /** Frees the factor. */
  dispose(): void;
}

/** Puts a factor on tfjs's device, for large batches: there the product is one matrix multiplication. */
export function ddpOnTensors(tf: TensorFlow, { mean, factor }: DdpState): TensorPrior {
  const d = mean.length;
  const [meanTensor, factorTensor] = [tf.tensor1d(mean), tf.tensor2d(factor, [d, d])];
  return {
    transform: (z) => tf.tidy(() => tf.clipByValue(tf.add(meanTensor, tf.matMul(z, factorTensor, false, true)), -1, 1)),
    dispose: () => {
      tf.dispose([meanTensor, factorTensor]);
    },
  };
}

function clampUnit(x: number): number {
  return x < -1 ? -1 : x > 1 ? 1 : x;
}
