/** Samples through extractors into statistics, and the cache of those that do not change. */
import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { defaultCacheFolder } from '@ratioflow/node';
import { ArgumentError, type FloatTensor } from '@ratioflow/sdk';
import { concatenate } from '@ratioflow/sdk/applications';
import type { Extractor } from './extractor.js';
import { gaussianOf, type Features } from './features.js';
import type { MatrixProducts } from './matrix-products.js';
import type { Subject } from './subject.js';
import { readStatistics, writeStatistics, type FeatureStatistics } from './statistics-file.js';

export interface ExtractionOptions {
  readonly products: MatrixProducts;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number) => void) | undefined;
  readonly onMessage?: ((message: string) => void) | undefined;
}

/** Statistics of samples `first … first + count − 1` under each extractor, from one pass. @throws {ArgumentError} for fewer than two samples */
export async function extract(source: Subject, extractors: readonly Extractor[], first: number, count: number, options: ExtractionOptions): Promise<FeatureStatistics[]> {
  return (await statisticsOf(source, alone(source.read(first, count, options.signal)), [{}], extractors, first, count, options))[0]!;
}

/** The same of a bundle's samples after each of these numbers of refinement steps, rising, from one flow: a list for each. */
export async function extractRefined(source: Subject, kappas: readonly number[], extractors: readonly Extractor[], first: number, count: number, options: ExtractionOptions): Promise<FeatureStatistics[][]> {
  return statisticsOf(source, source.refined!(kappas, first, count, options.signal), kappas.map((kappa) => ({ kappa })), extractors, first, count, options);
}

async function* alone(stretches: AsyncIterable<FloatTensor>): AsyncGenerator<readonly FloatTensor[]> {
  for await (const samples of stretches) yield [samples];
}

/** @param stages what the source does not say of each stage; a stretch has samples of every one */
async function statisticsOf(
  source: Subject, stretches: AsyncIterable<readonly FloatTensor[]>, stages: readonly Readonly<Record<string, unknown>>[], extractors: readonly Extractor[], first: number, count: number, options: ExtractionOptions,
): Promise<FeatureStatistics[][]> {
  const parts = stages.map(() => extractors.map((): Float32Array[] => []));
  const dimensions = extractors.map(() => 0);
  const hashes = stages.map(() => createHash('sha256'));
  let done = 0;
  for await (const stretch of stretches) {
    for (const [stage, samples] of stretch.entries()) {
      hashes[stage]!.update(new Uint8Array(samples.data.buffer, samples.data.byteOffset, samples.data.byteLength));
      for (const [i, extractor] of extractors.entries()) {
        options.signal?.throwIfAborted();
        const { shape, data } = await extractor.features(samples);
        parts[stage]![i]!.push(data);
        dimensions[i] = shape[1]!;
      }
    }
    done += stretch[0]!.shape[0]!;
    options.onProgress?.(done);
  }
  if (done < 2) throw new ArgumentError(`${source.name} has ${done} samples from number ${first} on; at least 2 are needed.`);
  if (Number.isFinite(count) && done < count) throw new ArgumentError(`${source.name} has ${done} samples from number ${first} on, ${count} were asked for.`);
  const statistics: FeatureStatistics[][] = stages.map(() => []);
  for (const [stage, about] of stages.entries()) {
    const samples = hashes[stage]!.digest('hex');
    for (const [i, list] of parts[stage]!.entries()) {
      const features: Features = { count: done, dimension: dimensions[i]!, rows: concatenate(list) };
      list.length = 0;
      statistics[stage]!.push({
        gaussian: await gaussianOf(options.products, features), features,
        about: { count: done, extractor: extractors[i]!.sha256, samples, source: { kind: source.kind, name: source.name, ...source.facts, ...about, first } },
      });
    }
  }
  return statistics;
}

/** The same of one extractor, kept in `cache` under the hash of extractor, source and range. @param cache false: not kept */
export async function extractCached(source: Subject, extractor: Extractor, first: number, count: number, cache: string | false, options: ExtractionOptions): Promise<FeatureStatistics> {
  const stamp = cache === false ? null : await source.stamp(first, count, options.signal);
  const make = async (): Promise<FeatureStatistics> => (await extract(source, [extractor], first, count, options))[0]!;
  if (cache === false || stamp === null) return make();
  const key = createHash('sha256').update(JSON.stringify([cacheVersion, extractor.sha256, extractor.runtime, extractor.provider, stamp, first, String(count)])).digest('hex').slice(0, 32);
  const path = join(cache, `${key}.npz`);
  if (await access(path).then(() => true, () => false)) {
    try {
      const kept = await readStatistics(path);
      options.onMessage?.(`Statistics of ${source.name} taken from ${path}.`);
      return kept;
    } catch (error) {
      options.onMessage?.(`${(error as Error).message} They are made anew.`);
    }
  }
  const made = await make();
  // A full disk must not keep anybody from using what is in memory already.
  await writeStatistics(path, made).catch((error: unknown) => options.onMessage?.(`The statistics could not be kept: ${(error as Error).message}`));
  return made;
}

/** To be raised when features or statistics come out differently. */
const cacheVersion = 2;

/** Where statistics are kept unless said otherwise. */
export const statisticsCache = (): string => join(dirname(defaultCacheFolder()), 'evaluation');
