/**
 * What the training loop asks of data: batches that are a pure function of (seed, iteration, index in the batch), so that
 * a resumed run sees the same data as an uninterrupted one. Reading is asynchronous because large sets stream from disk.
 */
import { ArgumentError } from '@ratioflow/sdk';
import type { Seed } from '@ratioflow/sdk';

/** Which batch: the same draw gives the same batch for ever. */
export interface BatchDraw {
  readonly seed: Seed;
  /** Training iteration, an integer in [0, 2³²): the `step` of the noise specification. */
  readonly iteration: number;
  /** Samples in the batch. */
  readonly count: number;
}

/** A data distribution p that batches are drawn from. */
export interface Dataset {
  readonly name: string;
  /** [D] for points, [C, H, W] for images. */
  readonly sampleShape: readonly number[];
  /** Number of distinct samples; null for a distribution that is sampled afresh. */
  readonly size: number | null;
  /** Class of every sample in storage order; null for sets without labels. */
  readonly labels: Uint8Array | null;
  /** Names of the classes, where the set has them. */
  readonly classNames?: readonly string[];
  /** Range of the values before dequantisation noise; null where it is unbounded. */
  readonly valueRange: readonly [number, number] | null;
  /**
   * Fills `out` with `count` samples in C order ([N, …sampleShape]).
   * @param out exactly `count · product(sampleShape)` elements
   * @throws {ArgumentError} when `out` has another length
   */
  batch(out: Float32Array, draw: BatchDraw): Promise<void>;
  /** Closes files; the set can be used again. */
  close?(): Promise<void>;
}

/** A finite set of images whose bytes can be read in storage order, without flips: for statistics and neighbours. */
export interface ImageDataset extends Dataset {
  readonly size: number;
  readonly valueRange: readonly [number, number];
  /**
   * Copies the bytes of images `first … first + count − 1`, [N, C, H, W]. A byte v stands for the value v / 127.5 − 1.
   * @throws {ArgumentError} for a range outside the set or a wrong length of `out`
   */
  readBytes(out: Uint8Array, first: number, count: number): Promise<void>;
}

/** Number of elements of one sample. */
export function sampleLength(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Whether the set holds images that can be read in order. */
export function isImageDataset(dataset: Dataset): dataset is ImageDataset {
  return dataset.size !== null && dataset.sampleShape.length === 3 && 'readBytes' in dataset;
}

/** Refuses a batch buffer whose length does not fit. */
export function checkBatch(name: string, shape: readonly number[], out: Float32Array, count: number): void {
  const expected = count * sampleLength(shape);
  if (!Number.isInteger(count) || count < 1 || out.length !== expected) {
    throw new ArgumentError(
      `Batch of ${count} samples from ${name}: the buffer holds ${out.length} numbers, needed are count × [${shape.join(', ')}] = ` +
        `${expected}, with a count of at least 1.`,
    );
  }
}
