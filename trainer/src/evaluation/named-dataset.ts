/** Data sets of training as samples to evaluate or to compare with: in their own order, not mirrored, without noise. */
import { createHash } from 'node:crypto';
import { ArgumentError } from '@ratioflow/sdk';
import { namedSet } from '../applications/sample-source.js';
import { isImageDataset, sampleLength, type Dataset } from '../data/dataset.js';
import { valuesOfBytes } from '../data/image-array.js';
import { openDataset } from '../data/open.js';
import type { SampleSource } from './sample-source.js';

const stretch = 256;
/** Samples of a set that is computed rather than stored come from the seed 0, as iteration 0 of a training would draw them. */
const computedSeed = 0;

/** The set that `namedSet` understands (`mnist`, `mnist:test`, `{name: cifar10, folder: …}`); undefined for another text. */
export async function openNamedDataset(text: string): Promise<SampleSource | undefined> {
  const config = namedSet(text);
  if (!config) return undefined;
  const dataset = await openDataset(config);
  const facts: Record<string, unknown> = { dataset: dataset.name, split: 'split' in config ? config.split ?? 'train' : null, mirrored: false };
  if (dataset.size === null) return computed(text, dataset, facts);
  if (!isImageDataset(dataset)) throw new ArgumentError(`${text}: samples of ${dataset.name} cannot be read in order; give the array itself (.npy).`);
  const { size, sampleShape } = dataset;
  const length = sampleLength(sampleShape);
  const bytesOf = async (first: number, count: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(count * length);
    await dataset.readBytes(bytes, first, count);
    return bytes;
  };
  return {
    kind: 'data set', name: text, facts, size,
    async stamp() {
      const hash = createHash('sha256').update(JSON.stringify([dataset.name, sampleShape]));
      for (let at = 0; at < size; at += stretch) hash.update(await bytesOf(at, Math.min(stretch, size - at)));
      return hash.digest('hex');
    },
    async *read(first, count, signal) {
      const end = Math.min(size, first + count);
      for (let at = first; at < end; at += stretch) {
        signal?.throwIfAborted();
        const bytes = await bytesOf(at, Math.min(stretch, end - at));
        yield { shape: [bytes.length / length, ...sampleShape], data: valuesOfBytes(bytes) };
      }
    },
    close: async () => {
      await dataset.close?.();
    },
  };
}

function computed(text: string, dataset: Dataset, facts: Readonly<Record<string, unknown>>): SampleSource {
  return {
    kind: 'data set', name: text, facts: { ...facts, seed: String(computedSeed) }, size: null,
    stamp: () => Promise.resolve(text),
    async *read(first, count) {
      const data = new Float32Array((first + count) * sampleLength(dataset.sampleShape));
      await dataset.batch(data, { seed: computedSeed, iteration: 0, count: first + count });
      yield { shape: [count, ...dataset.sampleShape], data: data.subarray(first * sampleLength(dataset.sampleShape)) };
    },
    close: () => Promise.resolve(),
  };
}
