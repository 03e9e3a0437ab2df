/** Mean and covariance of float data that streams by, in double. */
import type { TensorFlow } from '../backend/tensorflow.js';

/** A stretch of samples, [count, D]. */
export type Chunks = AsyncIterable<Float32Array | Float64Array>;

/** Covariance with the divisor n, as the paper's code has it for images; lower triangle, the upper is unspecified. */
export interface Moments {
  readonly count: number;
  readonly mean: Float64Array;
  readonly covariance: Float64Array;
}

/**
 * One pass. Values are taken relative to the first chunk's mean, so that a mean far from zero costs no digits.
 * @param tf matrix products on its backend (single precision within a chunk); absent: plain JavaScript in double
 */
export async function floatMoments(chunks: Chunks, d: number, tf?: TensorFlow): Promise<Moments> {
  const [sums, products] = [new Float64Array(d), new Float64Array(d * d)];
  let origin: Float64Array | undefined;
  let count = 0;
  for await (const chunk of chunks) {
    const rows = chunk.length / d;
    origin ??= columnMeans(chunk, d);
    const centred = new Float32Array(chunk.length);
    for (let i = 0; i < chunk.length; i++) centred[i] = chunk[i]! - origin[i % d]!;
    for (let i = 0; i < chunk.length; i++) sums[i % d]! += centred[i]!;
    if (tf) await addByMatrixProduct(products, centred, d, tf);
    else addByLoop(products, centred, d);
    count += rows;
  }
  const mean = Float64Array.from(sums, (sum, i) => (origin?.[i] ?? 0) + sum / count);
  for (let row = 0; row < d; row++) {
    for (let column = 0; column <= row; column++) products[row * d + column] = products[row * d + column]! / count - (sums[row]! / count) * (sums[column]! / count);
  }
  return { count, mean, covariance: products };
}

function columnMeans(chunk: Float32Array | Float64Array, d: number): Float64Array {
  const means = new Float64Array(d);
  for (let i = 0; i < chunk.length; i++) means[i % d]! += chunk[i]! / (chunk.length / d);
  return means;
}

function addByLoop(products: Float64Array, centred: Float32Array, d: number): void {
  for (let start = 0; start < centred.length; start += d) {
    for (let a = 0; a < d; a++) {
      const value = centred[start + a]!;
      const row = a * d;
      for (let b = 0; b <= a; b++) products[row + b]! += value * centred[start + b]!;
    }
  }
}

async function addByMatrixProduct(products: Float64Array, centred: Float32Array, d: number, tf: TensorFlow): Promise<void> {
  const product = tf.tidy(() => {
    const matrix = tf.tensor2d(centred, [centred.length / d, d]);
    return tf.matMul(matrix, matrix, true, false);
  });
  try {
    const values = await product.data<'float32'>();
    for (let i = 0; i < values.length; i++) products[i]! += values[i]!;
  } finally {
    product.dispose();
  }
}
