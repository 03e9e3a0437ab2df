/** Whatever can be evaluated: a bundle that generates, a collection of images, an array, a data set; read in order, in stretches. */
import { createHash } from 'node:crypto';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleSource, open, readPixels, type ProviderName } from '@ratioflow/node';
import { ArgumentError, type FloatTensor, type SampleOptions, type Seed } from '@ratioflow/sdk';
import sharp from 'sharp';
import { sampleLength, type Dataset } from '../data/dataset.js';
import { valuesOfBytes } from '../data/image-array.js';
import { openImageFiles, type ImageFile } from '../data/image-files.js';
import { openDataset, type DatasetConfig } from '../data/open.js';
import { arraySource, namedSet, sourceOfSet, type SampleSource } from '../data/sample-source.js';
import { rescale, symmetricRange } from '../data/value-range.js';

/** Samples in an order that never changes. Whoever opened it closes it. */
export interface Subject {
  readonly kind: 'bundle' | 'images' | 'array' | 'data set';
  readonly name: string;
  /** What a manifest says of it beside that. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** null: as many as are asked for, or not known before they are read. */
  readonly size: number | null;
  /** A text that changes when these samples do, made of what they hold, or when the source is another; null for a bundle, whose samples are not kept. */
  stamp(first: number, count: number, signal?: AbortSignal): Promise<string | null>;
  /** Stretches of samples [N, …], images with values in [−1, 1]; fewer than `count` where the source ends. */
  read(first: number, count: number, signal?: AbortSignal): AsyncGenerator<FloatTensor>;
  /** Of a bundle alone: the same samples after each of these numbers of refinement steps, rising, from one flow; a list for every stretch. */
  refined?(kappas: readonly number[], first: number, count: number, signal?: AbortSignal): AsyncGenerator<readonly FloatTensor[]>;
  close(): Promise<void>;
}

/** How a bundle's flow runs, where it is not as the bundle says. */
export interface FlowSchedule extends Pick<SampleOptions, 'K' | 'kappa' | 'eta' | 'nu' | 'scale'> {
  /** Of a guided bundle: classes that the samples have in turn, by their index; −1 guides nothing. @default no class */
  readonly classes?: readonly number[];
}

export interface SubjectOptions {
  /** Of bundles. @default 0 */
  readonly seed?: Seed | undefined;
  readonly flow?: FlowSchedule | undefined;
  readonly providers?: readonly ProviderName[] | undefined;
  readonly threads?: number | undefined;
  /** Channels that image files are read with; null: those of the first. */
  readonly channels: 1 | 3 | null;
  readonly onMessage?: ((message: string) => void) | undefined;
}

/** Samples read at a time. */
const stretch = 256;

/**
 * @param text a bundle (folder, zip, URL), `.npy`, a folder or archive of images, or a data set: `mnist`, `mnist:test`, or the
 *   `data` block of a configuration in braces (`{name: cifar10, folder: …}`)
 * @throws {ArgumentError | BundleError} naming it
 */
export async function openSubject(text: string, options: SubjectOptions): Promise<Subject> {
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(text) || await access(join(text, 'manifest.json')).then(() => true, () => false)) return bundle(text, options);
  if (/\.npy$/i.test(text)) return inOrder('array', text, await arraySource(text, null));
  const config = namedSet(text);
  if (config) return dataSet(text, config);
  await stat(text).catch((cause: unknown) => {
    throw new ArgumentError(`${JSON.stringify(text)} is no bundle, array (.npy), folder or archive of images, nor a data set (mnist, mnist:test, {name: …}): there is no such file.`, { cause });
  });
  const images = await imageFiles(text, options);
  if (images) return images;
  if (/\.zip$/i.test(text)) return bundle(text, options);
  throw new ArgumentError(`${text} holds neither images (.jpg, .jpeg, .png, .webp) nor a bundle (manifest.json).`);
}

async function bundle(path: string, { seed = 0, flow = {}, providers, threads, onMessage }: SubjectOptions): Promise<Subject> {
  const model = await open(path, { ...(providers && { providers }), ...(threads !== undefined && { threads }) });
  const { manifest, runtime } = model;
  if (manifest.prior.kind === 'source') {
    await model.dispose();
    throw new ArgumentError(`${path} starts from images of another domain, and draws nothing by itself: translate images into a folder or an array, and evaluate those.`);
  }
  const { classes, ...schedule } = flow;
  if (manifest.guidance && !classes) onMessage?.(`${path} is guided by a classifier, and its samples are drawn without a class, as if it were not; --class gives them classes.`);
  /** What `sample` is told of samples `from` to `from + count − 1`. */
  const settingsOf = (from: number, count: number, signal: AbortSignal | undefined): SampleOptions => ({
    ...schedule, ...(classes && { class: Array.from({ length: count }, (_, i) => classes[(from + i) % classes.length]!) }), seed, first: from, count, ...(signal && { signal }),
  });
  const manifestBytes = await (await bundleSource(path)).read('manifest.json');
  const facts: Record<string, unknown> = {
    model: manifest.name, manifestSha256: createHash('sha256').update(manifestBytes).digest('hex'), seed: String(seed),
    K: manifest.K, kappa: manifest.kappa, eta: manifest.eta, nu: manifest.nu, ...flow, runtime: runtime.name,
  };
  const [low, high] = manifest.valueRange ?? symmetricRange;
  const scaled = (samples: FloatTensor): FloatTensor => rescale(samples, [low, high], symmetricRange);
  return {
    kind: 'bundle', name: path, facts, size: null,
    stamp: () => Promise.resolve(null),
    async *read(first, count, signal) {
      for (let done = 0; done < count; done += stretch) {
        const { samples, statistics } = await model.sample(settingsOf(first + done, Math.min(stretch, count - done), signal));
        Object.assign(facts, { provider: statistics.provider, warnings: statistics.warnings });
        yield scaled(samples);
      }
    },
    async *refined(kappas, first, count, signal) {
      const K = flow.K ?? manifest.K;
      const stops = kappas.map((kappa) => K + kappa);
      // As many together as `sample` takes: another batch rounds otherwise.
      const batch = Math.max(8, 2 ** Math.floor(Math.log2(65_536 / sampleLength(manifest.sampleShape))));
      for (let done = 0; done < count; done += batch) {
        const stages: FloatTensor[] = [];
        const frames = model.flow({ ...settingsOf(first + done, Math.min(batch, count - done), signal), kappa: kappas.at(-1)!, every: greatestDivisor(stops) });
        let next = await frames.next();
        for (; next.done !== true; next = await frames.next()) {
          const { step, x } = next.value;
          if (stops.includes(step)) stages.push(scaled(manifest.valueRange ? { shape: x.shape, data: x.data.map((value) => Math.min(high, Math.max(low, value))) } : x));
        }
        Object.assign(facts, { provider: next.value.provider, warnings: next.value.warnings });
        yield stages;
      }
    },
    close: () => model.dispose(),
  };
}

/** Of all the numbers, the first of which may be 0, another not. */
const greatestDivisor = (numbers: readonly number[]): number => numbers.reduce((a, b) => {
  while (b > 0) [a, b] = [b, a % b];
  return a;
});

/** A source of random access, stretch after stretch. */
function inOrder(kind: Subject['kind'], name: string, source: SampleSource): Subject {
  const { size, facts } = source;
  const read = async function* (first: number, count: number, signal?: AbortSignal): AsyncGenerator<FloatTensor> {
    const end = Math.min(size, first + count);
    for (let at = first; at < end; at += stretch) {
      signal?.throwIfAborted();
      yield source.read(at, Math.min(stretch, end - at));
    }
  };
  return {
    kind, name, facts, size, read,
    async stamp(first, count, signal) {
      const hash = createHash('sha256').update(JSON.stringify([name, source.sampleShape]));
      for await (const { data } of read(first, count, signal)) hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      return hash.digest('hex');
    },
    close: () => source.close(),
  };
}

async function dataSet(text: string, config: DatasetConfig): Promise<Subject> {
  const dataset = await openDataset(config);
  return dataset.size === null ? computed(text, dataset) : inOrder('data set', text, await sourceOfSet(dataset, config, null));
}

/** Samples of a set that is computed rather than stored come from the seed 0, as iteration 0 of a training would draw them. */
const computedSeed = 0;

function computed(text: string, dataset: Dataset): Subject {
  return {
    kind: 'data set', name: text, facts: { dataset: dataset.name, seed: String(computedSeed) }, size: null,
    stamp: () => Promise.resolve(text),
    async *read(first, count) {
      const data = new Float32Array((first + count) * sampleLength(dataset.sampleShape));
      await dataset.batch(data, { seed: computedSeed, iteration: 0, count: first + count });
      yield { shape: [count, ...dataset.sampleShape], data: data.subarray(first * sampleLength(dataset.sampleShape)) };
    },
    close: () => Promise.resolve(),
  };
}

async function imageFiles(path: string, { channels }: SubjectOptions): Promise<Subject | null> {
  const collection = await openImageFiles(path);
  const look = collection.files();
  const { value: firstFile } = await look.next() as { value?: ImageFile };
  await look.return(undefined);
  if (!firstFile) return null;
  const bytesOf = ({ name, bytes }: ImageFile): Buffer => {
    if (bytes instanceof Error) throw new ArgumentError(`${path}: ${name} cannot be read: ${bytes.message}.`, { cause: bytes });
    return bytes;
  };
  const { channels: own } = await sharp(bytesOf(firstFile)).metadata().catch((cause: unknown) => {
    throw new ArgumentError(`${path}: ${firstFile.name} is no image that can be read: ${(cause as Error).message}`, { cause });
  });
  const wanted = channels ?? (own >= 3 ? 3 : 1);
  return {
    kind: 'images', name: path, facts: {}, size: null,
    // Of the files as they are: to decode them all takes much longer.
    async stamp(first, count, signal) {
      const hash = createHash('sha256').update(JSON.stringify([path, wanted, sharp.versions.sharp]));
      let index = 0;
      for await (const file of collection.files()) {
        signal?.throwIfAborted();
        if (index >= first + count) break;
        if (index++ < first) continue;
        const bytes = bytesOf(file);
        hash.update(String(bytes.length)).update(bytes);
      }
      return hash.digest('hex');
    },
    async *read(first, count, signal) {
      let shape: readonly number[] | undefined;
      let [index, held]: [number, Float32Array[]] = [0, []];
      const flush = (): FloatTensor => {
        const data = new Float32Array(held.length * held[0]!.length);
        held.forEach((image, i) => { data.set(image, i * image.length); });
        const tensor = { shape: [held.length, ...shape!], data };
        held = [];
        return tensor;
      };
      for await (const file of collection.files()) {
        signal?.throwIfAborted();
        if (index++ < first) continue;
        if (index > first + count) break;
        const image = await readPixels(bytesOf(file), { channels: wanted, name: `${path}: ${file.name}`, needed: 'grey images of 1 channel, which the extractor takes', opaque: true });
        shape ??= image.shape;
        if (image.shape.join() !== shape.join()) throw new ArgumentError(`${path}: ${file.name} has ${image.shape[2]} × ${image.shape[1]} pixels, the images before it ${shape[2]} × ${shape[1]}: bring all to one size.`);
        held.push(valuesOfBytes(image.data));
        if (held.length === stretch) yield flush();
      }
      if (held.length > 0) yield flush();
    },
    close: () => Promise.resolve(),
  };
}
