/** The data-dependent prior of data on disk: an array, or a folder or archive of images, streamed. */
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { openNpyRows, type NpyRows } from '@ratioflow/node';
import { ArgumentError } from '@ratioflow/sdk';
import type { TensorFlow } from '../backend/tensorflow.js';
import { sampleLength, type ImageDataset } from '../data/dataset.js';
import { prepareImages } from '../data/prepare-images.js';
import { choleskyInPlace } from './cholesky.js';
import { ddpRidge, ddpStatistics, largestFullDdp, type DdpState } from './ddp.js';
import { floatMoments } from './float-moments.js';
import { lowRankStatistics, type LowRankState } from './low-rank.js';

export interface DdpFileOptions {
  /** tfjs with a fast backend. @default none: plain JavaScript, minutes for 50,000 images of 3 × 32² */
  readonly tf?: TensorFlow;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Samples read at a time. */
const chunk = 256;

/**
 * The prior of the samples in `path`: a full factor up to `largestFullDdp` values a sample, low-rank + diagonal above.
 * @param options.tf is needed for low rank
 * @throws {ArgumentError} as `ddpOfFile`, and for floats too large for a full factor
 */
export async function ddpPriorOfFile(path: string, sampleShape: readonly number[], { tf, onProgress }: DdpFileOptions & { readonly tf: TensorFlow }): Promise<DdpPrior> {
  if (sampleLength(sampleShape) <= largestFullDdp) return { kind: 'ddp', ...await ddpOfFile(path, sampleShape, { tf, ...(onProgress && { onProgress }) }) };
  const made = await withImages(path, sampleShape, (dataset) => lowRankStatistics(dataset, { tf, seed: 0n }));
  return { kind: 'ddp-low-rank', ...made.state };
}

/** A state with its kind, as bundles take it. */
export type DdpPrior = ({ readonly kind: 'ddp' } & DdpState) | ({ readonly kind: 'ddp-low-rank' } & LowRankState);

/** Runs `use` on the images of a folder, an archive, or an array of bytes. */
async function withImages<T>(path: string, sampleShape: readonly number[], use: (dataset: ImageDataset) => Promise<T>): Promise<T> {
  if (!path.endsWith('.npy')) return withFiles(path, sampleShape, use);
  const rows = await openNpyRows(path);
  try {
    checkRows(rows, sampleShape);
    if (!rows.bytes) throw new ArgumentError(`${path} holds floats; a low-rank prior, as samples of [${sampleShape.join(', ')}] need it, is made of bytes: save the images as uint8, 0 to 255.`);
    return await use(datasetOf(rows, sampleShape));
  } finally {
    await rows.close();
  }
}

/**
 * Mean and factor of the samples in `path`: an array `.npy` [count, …sampleShape] of bytes (0 to 255 stand for −1 to 1) or
 * floats (as they are), or a folder or archive of images of exactly the sample's size.
 * @throws {ArgumentError} naming the file when there is no such data, or it does not fit `sampleShape`
 */
export async function ddpOfFile(path: string, sampleShape: readonly number[], options: DdpFileOptions = {}): Promise<DdpState> {
  const d = sampleLength(sampleShape);
  if (d > largestFullDdp) {
    throw new ArgumentError(`The ddp prior of samples [${sampleShape.join(', ')}] would need a ${d} × ${d} factor of ${(d * d * 4e-9).toFixed(1)} GB; full factors are made up to ${largestFullDdp} values a sample. Larger images want a low-rank factor (ddpPriorOfFile).`);
  }
  if (!path.endsWith('.npy')) return withFiles(path, sampleShape, (dataset) => ddpStatistics(dataset, options));
  const rows = await openNpyRows(path);
  try {
    checkRows(rows, sampleShape);
    return rows.bytes && sampleShape.length === 3 ? await ddpStatistics(datasetOf(rows, sampleShape), options) : await ddpOfFloats(rows, d, options);
  } finally {
    await rows.close();
  }
}

function checkRows({ path, shape, bytes }: NpyRows, sampleShape: readonly number[]): void {
  if (shape.slice(1).join() !== sampleShape.join() || shape[0]! < 2) {
    throw new ArgumentError(`${path} has the shape [${shape.join(', ')}]; the prior of this estimator needs [count, ${sampleShape.join(', ')}] with at least 2 samples.`);
  }
  if (bytes && sampleShape.length !== 3) throw new ArgumentError(`${path} holds bytes, which stand for pixels; points are float32.`);
}

async function ddpOfFloats(rows: NpyRows, d: number, { tf, onProgress }: DdpFileOptions): Promise<DdpState> {
  const total = rows.shape[0]!;
  const isImage = rows.shape.length === 4;
  async function* chunks(): AsyncGenerator<Float32Array | Float64Array> {
    for (let first = 0; first < total; first += chunk) {
      const count = Math.min(chunk, total - first);
      const data = await rows.read(first, count);
      if (!(data instanceof Float32Array || data instanceof Float64Array)) throw new ArgumentError(`${rows.path} holds integers; samples are float32, or images uint8.`);
      // The value written in the message is the first that offends.
      const wrong = data.find((value) => !Number.isFinite(value) || (isImage && Math.abs(value) > 1.5));
      if (wrong !== undefined) {
        throw new ArgumentError(`${rows.path} holds the value ${wrong}${isImage && Number.isFinite(wrong) ? '; images have values in [−1, 1]: save bytes as uint8, or map them by v / 127.5 − 1' : ': every value must be finite'}.`);
      }
      yield data;
      onProgress?.(first + count, total);
    }
  }
  const { mean, covariance } = await floatMoments(chunks(), d, tf && tf.getBackend() !== 'cpu' ? tf : undefined);
  for (let i = 0; i < d; i++) covariance[i * d + i]! += ddpRidge;
  choleskyInPlace(covariance, d);
  return { mean: Float32Array.from(mean), factor: Float32Array.from(covariance) };
}

/** Bytes in an array as an image set that can be read in order. */
function datasetOf(rows: NpyRows, sampleShape: readonly number[]): ImageDataset {
  return ordered(basename(rows.path), sampleShape, rows.shape[0]!, async (out, first, count) => out.set(await rows.read(first, count) as Uint8Array));
}

/** Runs `use` on the images of a folder or an archive in their order, decoded once. */
async function withFiles<T>(path: string, sampleShape: readonly number[], use: (dataset: ImageDataset) => Promise<T>): Promise<T> {
  const [channels, height, width] = sampleShape as [number, number, number];
  if (sampleShape.length !== 3 || (channels !== 1 && channels !== 3)) throw new ArgumentError(`The prior's data ${path} are images; this estimator's samples are [${sampleShape.join(', ')}]: give an array .npy.`);
  const { file, names } = await prepareImages(path, { size: [height, width], channels, onUnreadable: 'stop' });
  if (names.length < 2) throw new ArgumentError(`${path} holds ${names.length} image; a prior needs at least 2.`);
  const length = sampleLength(sampleShape);
  const handle = await open(file, 'r');
  try {
    return await use(ordered(path, sampleShape, names.length, async (out, first, count) => {
      await handle.read(out, 0, count * length, first * length);
    }));
  } finally {
    await handle.close();
  }
}

function ordered(name: string, sampleShape: readonly number[], size: number, readBytes: ImageDataset['readBytes']): ImageDataset {
  return { name, sampleShape, size, labels: null, valueRange: [-1, 1], readBytes, batch: () => Promise.reject(new ArgumentError(`${name} is read in order only.`)) };
}
