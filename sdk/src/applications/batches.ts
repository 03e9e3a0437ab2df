/** Samples from callers, in batches that a network takes: one tensor, or a stream of tensors. */
import { argument, integer } from '../check.js';
import { throwIfAborted } from '../globals.js';
import type { AbortSignalLike } from '../globals.js';
import type { FloatTensor, Tensor } from '../runtime.js';
import { checkTensor, floatTensor } from '../tensor.js';

/** Samples [N, …sample shape]: all at once, or part by part. */
export type Samples = Tensor | Iterable<Tensor> | AsyncIterable<Tensor>;

/** Options of everything that goes through samples. */
export interface BatchOptions {
  /** Samples that go through the network together. @default 64 */
  readonly batch?: number;
  readonly signal?: AbortSignalLike;
  /** Called after every batch with the number of samples done. */
  readonly onProgress?: (done: number) => void;
}

/** The samples in batches of at most `batch`, each checked. @throws {ArgumentError} for a tensor of another shape or element type */
export async function* batchesOf(what: string, samples: Samples, sampleShape: readonly number[], { batch = 64, signal, onProgress }: BatchOptions): AsyncGenerator<FloatTensor> {
  argument('batch', batch, integer(1));
  let done = 0;
  for await (const part of 'data' in samples ? [samples] : samples) {
    const { data, shape } = checkTensor(what, part, [null, ...sampleShape]);
    const elements = data.length / shape[0]!;
    for (let first = 0; first < shape[0]!; first += batch) {
      throwIfAborted(signal);
      const size = Math.min(batch, shape[0]! - first);
      yield size === shape[0] ? floatTensor(data, shape) : floatTensor(data.slice(first * elements, (first + size) * elements), [size, ...sampleShape]);
      done += size;
      onProgress?.(done);
    }
  }
  throwIfAborted(signal);
}

/** One array of several. */
export function concatenate(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
