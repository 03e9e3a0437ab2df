/** Samples from callers, in batches that a network takes: one tensor, or a stream of tensors. */
import { argument, failArgument, integer } from '../check.js';
import { throwIfAborted } from '../globals.js';
import type { AbortSignalLike } from '../globals.js';
import { rejectUnknown } from '../options.js';
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

/** An application's options, an object of nothing but these. @throws {ArgumentError} for anything else: a misspelt option must not be ignored */
export const known = <Options extends object>(options: Options, names: readonly (keyof Options & string)[]): Options => {
  rejectUnknown(options, names);
  return options;
};

/** Names of the options of everything that goes through samples. */
export const batchOptionNames = ['batch', 'signal', 'onProgress'] as const satisfies readonly (keyof BatchOptions)[];

/** The samples in batches of at most `batch`, each checked. @throws {ArgumentError} for what is no tensor, or one of another shape or element type */
export async function* batchesOf(what: string, samples: Samples, sampleShape: readonly number[], options: BatchOptions): AsyncGenerator<FloatTensor> {
  const { batch = 64, signal, onProgress } = known(options, batchOptionNames);
  argument('batch', batch, integer(1));
  const given = samples as object | null | undefined;
  if (typeof given !== 'object' || given === null || !('data' in given || Symbol.iterator in given || Symbol.asyncIterator in given)) {
    failArgument(what, samples, 'a tensor { shape, data }, or tensors part by part (an iterable or async iterable)');
  }
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
