/**
 * The ratio as a tool: log q/p of any samples.
 */
import type { Model } from '../model.js';
import { batchesOf, concatenate } from './batches.js';
import type { BatchOptions, Samples } from './batches.js';

/**
 * log q/p of every sample, in order: q is the density of the model's own samples, p that of its training data. Above 0 a
 * sample looks like the model's, below 0 like data.
 * @param samples [N, …sample shape] in the range of the data, whole or part by part
 */
export async function score(model: Model, samples: Samples, options: BatchOptions = {}): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  for await (const x of batchesOf('samples', samples, model.manifest.sampleShape, options)) parts.push(await model.score(x));
  return concatenate(parts);
}

/** Indices from the lowest value, most like data, to the highest; NaN last, equal ones in their order. */
export function rank(values: ArrayLike<number>): number[] {
  return Array.from(values, (_, i) => i).sort((a, b) => {
    const [x, y] = [values[a]!, values[b]!];
    return Number.isNaN(x) || Number.isNaN(y) ? Number(Number.isNaN(x)) - Number(Number.isNaN(y)) : x - y;
  });
}
