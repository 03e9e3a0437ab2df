/** Data sets of training as samples to evaluate or to compare with: in their own order, not mirrored, without noise. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ArgumentError } from '@ratioflow/sdk';
import { parse, stringify } from 'yaml';
import { parseConfig } from '../config/load.js';
import { isImageDataset, sampleLength, type Dataset } from '../data/dataset.js';
import { byteValues } from '../data/image-array.js';
import { datasetNames, openDataset, splits, type DatasetConfig } from '../data/open.js';
import type { SampleSource } from './sample-source.js';

const stretch = 256;
/** Samples of a set that is computed rather than stored come from the seed 0, as iteration 0 of a training would draw them. */
const computedSeed = 0;

/** The set of `name`, `name:split`, or a `.yaml` file with a `data` block or its fields; undefined for another text. */
export async function openNamedDataset(text: string): Promise<SampleSource | undefined> {
  const config = await configOf(text);
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
        yield { shape: [bytes.length / length, ...sampleShape], data: Float32Array.from(bytes, (byte) => byteValues[byte]!) };
      }
    },
    close: async () => {
      await (dataset as { close?: () => Promise<void> }).close?.();
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

async function configOf(text: string): Promise<DatasetConfig | undefined> {
  if (/\.ya?ml$/i.test(text)) {
    const content = await readFile(text, 'utf8').catch((cause: unknown) => {
      throw new ArgumentError(`The data set ${text} cannot be read: ${(cause as Error).message}.`, { cause });
    });
    const tree = parse(content) as { data?: unknown } | null;
    // Checked by the same rules as a training's; what else a configuration needs does not matter here.
    const data = (tree?.data ?? tree) as { name?: string } | null;
    return parseConfig(stringify({ name: 'data', data, estimator: { name: 'custom', path: 'none' }, pairing: 'lr-kl', prior: 'uniform', flow: { K: 1, eta: 1, nu: 0 }, training: { iterations: 1, batch: 1, learningRate: 1 } }), text).data as DatasetConfig;
  }
  const [name, split, ...rest] = text.split(':') as [string, string?, ...string[]];
  if (!(datasetNames as readonly string[]).includes(name) || rest.length > 0) return undefined;
  if (split !== undefined && !(splits as readonly string[]).includes(split)) throw new ArgumentError(`Unknown split ${JSON.stringify(split)} of ${name}: use one of ${splits.join(', ')}.`);
  return { name, ...(split !== undefined && { split }) } as DatasetConfig;
}
