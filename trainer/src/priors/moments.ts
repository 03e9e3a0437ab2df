/**
 * Sums of bytes and of products of bytes over an image set: the exact integers behind the mean and covariance of the
 * data-dependent prior. By matrix products where tfjs has a fast backend, else by a loop that skips black pixels.
 */
import type { TensorFlow } from '../backend/tensorflow.js';
import { sampleLength } from '../data/dataset.js';
import type { ImageDataset } from '../data/dataset.js';

/** How moments are computed. */
export interface MomentOptions {
  /** tfjs with the backend to use. @default none: plain JavaScript, which is also used for tfjs's backend `cpu` */
  readonly tf?: TensorFlow;
  /** Called after each chunk with the number of images read. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends it between two chunks. */
  readonly signal?: AbortSignal | undefined;
}

/** Exact sums over all images; D = product of the sample's shape. */
export interface ByteMoments {
  /** Σ v, [D]. */
  readonly sums: Float64Array;
  /** Σ v·w of every pair of positions, [D, D], lower triangle; the upper triangle is unspecified. */
  readonly products: Float64Array;
}

/**
 * Images in a chunk. Bytes minus 128 have products of at most 2¹⁴, so 2¹⁰ of them sum to at most 2²⁴: every partial sum
 * is an integer that float32 holds, in any order. (The factors fit the 8 bits of bfloat16 and TF32, too.)
 */
const chunkSize = 1024;

/** Reads the set once, chunk by chunk, and sums. */
export async function byteMoments(dataset: ImageDataset, { tf, onProgress, signal }: MomentOptions = {}): Promise<ByteMoments> {
  const d = sampleLength(dataset.sampleShape);
  const total = dataset.size;
  const moments = { sums: new Float64Array(d), products: new Float64Array(d * d) };
  const fast = tf !== undefined && tf.getBackend() !== 'cpu' ? tf : null;
  for (let first = 0; first < total; first += chunkSize) {
    signal?.throwIfAborted();
    const count = Math.min(chunkSize, total - first);
    const bytes = new Uint8Array(count * d);
    await dataset.readBytes(bytes, first, count);
    if (fast === null) addByLoop(moments, bytes, d);
    else await addByMatrixProduct(moments, bytes, d, fast);
    onProgress?.(first + count, total);
    // The loop holds the thread for a while: let signals and timers through between chunks.
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (fast !== null) uncentre(moments, d, total);
  return moments;
}

/** Adds a chunk; black pixels cost nothing, which makes digits five times as cheap as their size. */
function addByLoop({ sums, products }: ByteMoments, bytes: Uint8Array, d: number): void {
  const positions = new Int32Array(d);
  const values = new Float64Array(d);
  for (let start = 0; start < bytes.length; start += d) {
    let lit = 0;
    for (let i = 0; i < d; i++) {
      const value = bytes[start + i]!;
      if (value !== 0) {
        positions[lit] = i;
        values[lit++] = value;
      }
    }
    for (let a = 0; a < lit; a++) {
      const value = values[a]!;
      const row = positions[a]! * d;
      sums[positions[a]!]! += value;
      for (let b = 0; b <= a; b++) products[row + positions[b]!]! += value * values[b]!;
    }
  }
}

/** Adds Σ v and Σ (v − 128)(w − 128) of a chunk; `uncentre` turns the total into Σ v·w. */
async function addByMatrixProduct({ sums, products }: ByteMoments, bytes: Uint8Array, d: number, tf: TensorFlow): Promise<void> {
  const centred = new Float32Array(bytes.length);
  for (let start = 0; start < bytes.length; start += d) {
    for (let i = 0; i < d; i++) {
      const value = bytes[start + i]!;
      sums[i]! += value;
      centred[start + i] = value - 128;
    }
  }
  const product = tf.tidy(() => {
    const matrix = tf.tensor2d(centred, [bytes.length / d, d]);
    return tf.matMul(matrix, matrix, true, false);
  });
  const values = await product.data();
  product.dispose();
  for (let i = 0; i < products.length; i++) products[i]! += values[i]!;
}

/** Σ v·w = Σ (v − 128)(w − 128) + 128 Σ v + 128 Σ w − 128² n, in integers below 2⁵³. */
function uncentre({ sums, products }: ByteMoments, d: number, n: number): void {
  for (let row = 0; row < d; row++) {
    for (let column = 0; column < d; column++) {
      products[row * d + column]! += 128 * (sums[row]! + sums[column]!) - 128 * 128 * n;
    }
  }
}
