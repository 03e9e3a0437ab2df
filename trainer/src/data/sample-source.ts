/**
 * Samples that a user names, in order: images in a folder, image files, an array `.npy`, or a data set by name. Read part
 * by part, so that memory stays small whatever their number.
 */
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openNpyRows, readPixels } from '@ratioflow/node';
import { ArgumentError, type FloatTensor } from '@ratioflow/sdk';
import { parse } from 'yaml';
import { validateData } from '../config/load.js';
import { ConfigError } from '../errors.js';
import { isImageDataset, sampleLength, type Dataset } from './dataset.js';
import { valuesOfBytes } from './image-array.js';
import { checkArrayShape } from './npy-set.js';
import { isImage } from './image-files.js';
import { openDataset, type DatasetConfig } from './open.js';
import { rescale, symmetricRange, type ValueRange } from './value-range.js';

/** Samples of one shape. Whoever opened it closes it. */
export interface SampleSource {
  /** For messages and reports. */
  readonly name: string;
  readonly size: number;
  readonly sampleShape: readonly number[];
  /** Class of every sample, where it is known. */
  readonly labels: Uint8Array | null;
  /** Files of the user that it reads, as far as they are named; none of a set. */
  readonly files: readonly string[];
  /** What a manifest says of it beside its name. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** File of a sample, or its index. */
  nameOf(index: number): string;
  /** Samples `first … first + count − 1`, [count, …sample shape], images in the range that the source was opened with. */
  read(first: number, count: number): Promise<FloatTensor>;
  close(): Promise<void>;
}

const isImageFile = (name: string): boolean => /\.(png|jpe?g|webp)$/i.test(name);

/**
 * Opens what `paths` name: one folder (with its subfolders, in the order of names), image files, one array, or one set: its name
 * with an optional part (`mnist:test`), or the `data` block of a configuration in braces (`{name: mnist, classes: [7]}`).
 * @param sampleShape what the samples must be
 * @param valueRange of the images that are read, as a bundle's manifest has it: pixels and sets are mapped to it, arrays of floats are in it. null: [−1, 1]
 * @throws {ArgumentError | ConfigError | FormatError} naming both sides where they do not fit
 */
export async function openSampleSource(paths: readonly string[], sampleShape: readonly number[], valueRange: ValueRange | null = null): Promise<SampleSource> {
  const range = valueRange ?? symmetricRange;
  const [path] = paths;
  if (path === undefined) throw new ArgumentError('No images were given: name a folder, image files, an array .npy, or a set such as mnist:test.');
  if (paths.length > 1 || isImageFile(path)) return fileSource(paths.length === 1 ? path : `${paths.length} files`, paths, dirname(path), sampleShape, range);
  if (/\.npy$/i.test(path)) return arraySource(path, sampleShape, range);
  const config = namedSet(path);
  if (config !== undefined) return sourceOfSet(await openDataset(config), config, sampleShape, range);
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) throw new ArgumentError(`${path} is ${found ? 'no folder, image file or array' : 'not there'}: name a folder of images, image files (.png, .jpg, .webp), an array .npy, or a set such as mnist:test.`);
  const names = (await readdir(path, { recursive: true })).filter(isImage).sort();
  if (names.length === 0) throw new ArgumentError(`${path} holds no images (.png, .jpg, .jpeg, .webp).`);
  return fileSource(path, names.map((name) => join(path, name)), path, sampleShape, range);
}

/** The source part by part. */
export async function* partsOf(source: SampleSource, size = 256): AsyncGenerator<FloatTensor> {
  for (let first = 0; first < source.size; first += size) yield source.read(first, Math.min(size, source.size - first));
}

/** The set that a text names, as `openSampleSource` explains; undefined for another text. @throws {ConfigError} for fields that are wrong */
export function namedSet(text: string): DatasetConfig | undefined {
  if (text.startsWith('{')) {
    try {
      return validateData(parse(text), text) as DatasetConfig;
    } catch (error) {
      throw error instanceof ConfigError ? error : new ConfigError(`${text} is not valid YAML: ${(error as Error).message.split('\n')[0]!}`, { cause: error });
    }
  }
  const [, name, split] = /^(mnist)(?::(\w+))?$/.exec(text) ?? [];
  return name === undefined ? undefined : validateData({ name, ...(split !== undefined && { split }) }, text) as DatasetConfig;
}

/** The samples of an opened set, which is closed with the source; never mirrored. @param sampleShape what they must be; null: any */
export async function sourceOfSet(set: Dataset, config: DatasetConfig, sampleShape: readonly number[] | null, range: ValueRange = symmetricRange): Promise<SampleSource> {
  if (config.name === 'npy' && !isImageDataset(set)) {
    // Floats, in [−1, 1] like all data: of the block's other fields they can only have labels.
    const source = await arraySource(config.path, sampleShape);
    return { ...source, labels: set.labels, read: async (first, count) => rescale(await source.read(first, count), symmetricRange, range) };
  }
  if (!isImageDataset(set)) throw new ArgumentError(`${set.name} is no set of images that can be read in order; give its samples as an array .npy.`);
  checkShape(set.name, set.sampleShape, sampleShape);
  const length = sampleLength(set.sampleShape);
  const bytesOf = async (first: number, count: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(count * length);
    await set.readBytes(bytes, first, count);
    return bytes;
  };
  return {
    name: set.name, size: set.size, sampleShape: set.sampleShape, labels: set.labels, files: [], nameOf: String,
    facts: { dataset: set.name, split: 'split' in config ? config.split ?? 'train' : null, mirrored: false },
    read: async (first, count) => imagesOf(await bytesOf(first, count), set.sampleShape, range),
    close: async () => set.close?.(),
  };
}

/** An array `.npy`. @param needed shape that its samples must have; null: any of images or points @param range of images: bytes are mapped to it, floats are in it */
export async function arraySource(path: string, needed: readonly number[] | null, range: ValueRange = symmetricRange): Promise<SampleSource> {
  const rows = await openNpyRows(path);
  try {
    const [size, ...sampleShape] = rows.shape as [number, ...number[]];
    const [low, high] = range;
    if (sampleShape.join() !== needed?.join() || size === 0) checkArrayShape(path, rows.shape);
    checkShape(path, sampleShape, needed);
    if (rows.bytes && sampleShape.length !== 3) throw new ArgumentError(`${path} holds bytes, which stand for pixels; points are float32.`);
    return {
      name: path, size, sampleShape, labels: null, files: [path], nameOf: String, facts: { shape: rows.shape },
      read: async (first, count) => {
        const data = await rows.read(first, count);
        if (data instanceof Uint8Array) return imagesOf(data, sampleShape, range);
        if (!(data instanceof Float32Array || data instanceof Float64Array)) throw new ArgumentError(`${path} holds integers; samples are float32, or images uint8.`);
        const wrong = data.findIndex((value) => !Number.isFinite(value) || (sampleShape.length === 3 && Math.abs(value - (low + high) / 2) > farthest * (high - low) / 2));
        if (wrong >= 0) throw new ArgumentError(`${path}: sample ${first + Math.floor(wrong / sampleLength(sampleShape))} holds the value ${data[wrong]!}; allowed: ${sampleShape.length === 3 ? `values in [${String(low).replace('-', '−')}, ${high}], or bytes (uint8) from 0 to 255` : 'finite values'}.`);
        return { shape: [count, ...sampleShape], data: Float32Array.from(data) };
      },
      close: () => rows.close(),
    };
  } catch (error) {
    await rows.close();
    throw error;
  }
}

/** Values of images beyond this, counted from grey in steps to black or white, are of another scale: noise stays within. */
const farthest = 3;

/** @param folder that a message may advise to name instead */
function fileSource(name: string, files: readonly string[], folder: string, sampleShape: readonly number[], range: ValueRange): SampleSource {
  const other = files.find((file) => !isImageFile(file));
  if (other !== undefined) throw new ArgumentError(`${other} is no image file (.png, .jpg, .jpeg, .webp); only those can be given together.`);
  if (sampleShape.length !== 3) throw new ArgumentError(`${name} holds images; the samples here are points [${sampleShape.join(', ')}]: give an array .npy.`);
  const length = sampleLength(sampleShape);
  return {
    name, size: files.length, sampleShape, labels: null, files, nameOf: (index) => files[index]!, facts: {},
    read: async (first, count) => {
      const bytes = new Uint8Array(count * length);
      const read = await Promise.allSettled(files.slice(first, first + count).map((file) => readImage(file, folder, sampleShape)));
      // Of several files that do not fit, always the first is named.
      for (const [i, one] of read.entries()) {
        if (one.status === 'rejected') throw one.reason;
        bytes.set(one.value, i * length);
      }
      return imagesOf(bytes, sampleShape, range);
    },
    close: () => Promise.resolve(),
  };
}

/** Images of their bytes. */
const imagesOf = (bytes: Uint8Array, sampleShape: readonly number[], range: ValueRange): FloatTensor =>
  rescale({ shape: [bytes.length / sampleLength(sampleShape), ...sampleShape], data: valuesOfBytes(bytes) }, symmetricRange, range);

/** Bytes of an image file of the shape [C, H, W]. */
async function readImage(path: string, folder: string, sampleShape: readonly number[]): Promise<Uint8Array> {
  const [channels, rows, columns] = sampleShape as [number, number, number];
  if (channels !== 1 && channels !== 3) throw new ArgumentError(`Images have 1 or 3 channels; samples of [${sampleShape.join(', ')}] cannot be read from ${path}.`);
  const { shape, data } = await readPixels(path, { channels, name: path, needed: `grey images [1, ${rows}, ${columns}]` });
  if (shape[1] !== rows || shape[2] !== columns) {
    const fitted = rows === columns ? `, or name their folder as '{name: images, path: ${/^[\w./-]+$/.test(folder) ? folder : JSON.stringify(folder)}, size: ${rows}${channels === 1 ? ', channels: 1' : ''}}', which does both` : '';
    throw new ArgumentError(`${path} has ${shape[2]} × ${shape[1]} pixels; needed: ${columns} × ${rows}. Resize or crop the images first${fitted}.`);
  }
  return data;
}

function checkShape(name: string, shape: readonly number[], needed: readonly number[] | null): void {
  if (needed && shape.join() !== needed.join()) throw new ArgumentError(`${name} has samples of [${shape.join(', ')}]; needed: [${needed.join(', ')}].`);
}
