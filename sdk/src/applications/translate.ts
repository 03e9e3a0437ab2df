/**
 * Unpaired image-to-image translation (arXiv 2303.03714, section 5): the flow of a bundle that was trained from a source domain,
 * started from images of it.
 */
import { ArgumentError } from '../errors.js';
import type { Model } from '../model.js';
import { parseSeed } from '../noise/stream.js';
import type { FlowSettings } from '../options.js';
import type { FloatTensor } from '../runtime.js';
import type { Statistics } from '../sample.js';
import { batchesOf, batchOptionNames, known } from './batches.js';
import type { BatchOptions, Samples } from './batches.js';

/** Options of `translate`. */
export interface TranslationOptions extends BatchOptions, Pick<FlowSettings, 'K' | 'kappa' | 'eta' | 'nu' | 'seed' | 'class' | 'scale' | 'weights'> {}

const optionNames = [...batchOptionNames, 'seed', 'K', 'kappa', 'eta', 'nu', 'class', 'scale', 'weights'] as const satisfies readonly (keyof TranslationOptions)[];

/** A batch of images with what became of it. */
export interface TranslatedBatch {
  /** [N, …sample shape], as they were given. */
  readonly source: FloatTensor;
  /** The same images in the target domain, clamped. */
  readonly translated: FloatTensor;
  /** Index of the first. */
  readonly first: number;
  readonly statistics: Statistics;
}

/**
 * Translates images, batch by batch: image i gets the noise of sample i of the seed, whatever the batch.
 * @param images [N, …sample shape] in the range of the data, whole or part by part
 * @throws {ArgumentError} for a bundle that starts from a prior, images of another shape, or an option that is misspelt or out of range
 */
export async function* translate(model: Model, images: Samples, options: TranslationOptions = {}): AsyncGenerator<TranslatedBatch, void, void> {
  const { batch, signal, onProgress, seed = 0, ...settings } = known(options, optionNames);
  const { name, prior } = model.manifest;
  if (prior.kind !== 'source') throw new ArgumentError(`${name} starts from its prior (${prior.kind}), not from images: it generates and does not translate. Train with prior: source, or start any flow from images with sample({ x0 }).`);
  parseSeed(seed);
  let first = 0;
  const given = { ...(batch !== undefined && { batch }), ...(signal && { signal }), ...(onProgress && { onProgress }) };
  for await (const source of batchesOf('images', images, model.manifest.sampleShape, given)) {
    const count = source.shape[0]!;
    const { samples, statistics } = await model.sample({ ...settings, seed, first, x0: source, count, batch: count, ...(signal && { signal }) });
    yield { source, translated: samples, first, statistics };
    first += count;
  }
}
