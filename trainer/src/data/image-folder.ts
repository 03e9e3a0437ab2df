/** Anybody's images as a data set: prepared once (prepare-images.ts), then read from disk batch by batch. */
import { open, type FileHandle } from 'node:fs/promises';
import { ArgumentError, fillWords, purposes } from '@ratioflow/sdk';
import { checkBatch, sampleLength, type ImageDataset } from './dataset.js';
import { byteValues } from './image-array.js';
import { drawOrder } from './order.js';
import { prepareImages, type PreparedImages, type PrepareOptions } from './prepare-images.js';

export interface ImageFolderOptions extends PrepareOptions {
  readonly size: number;
  /** Folder or archive. */
  readonly path: string;
  /** Whether batches mirror half of the images left to right. @default true */
  readonly flip?: boolean | undefined;
}

/**
 * Opens a folder or archive of images. Where every image lies in a subfolder, these are its classes, by name, without folders that all share.
 * @throws {ArgumentError | FormatError} as `prepareImages`
 */
export async function openImageFolder(options: ImageFolderOptions): Promise<ImageDataset> {
  const { path, size, flip = true } = options;
  if (options.resize !== undefined && options.resize < size) throw new ArgumentError(`data.resize = ${options.resize} is smaller than data.size = ${size}: samples are cut out of the resized images.`);
  const prepared = await prepareImages(path, options);
  const [channels, stored] = prepared.shape;
  const sampleShape = [channels, size, size] as const;
  const [length, bytesPerImage] = [sampleLength(sampleShape), sampleLength(prepared.shape)];
  const count = prepared.names.length;
  // Opened at once: the file stays readable when a set that is opened later takes its place in the cache.
  let handle: Promise<FileHandle> | undefined = open(prepared.file, 'r');
  await handle;
  /** Fills `out` with the stored bytes from image `index` on. */
  const readStored = async (out: Uint8Array, index: number): Promise<void> => {
    handle ??= open(prepared.file, 'r');
    const { bytesRead } = await (await handle).read(out, 0, out.length, index * bytesPerImage);
    if (bytesRead !== out.length) throw new ArgumentError(`${prepared.file} has been cut short: remove it, and it will be made anew.`);
  };
  /** Bytes of one image, cut out at a place. */
  const read = async (out: Uint8Array, index: number, top: number, left: number): Promise<void> => {
    if (stored === size) return readStored(out, index);
    const bytes = new Uint8Array(bytesPerImage);
    await readStored(bytes, index);
    for (let channel = 0; channel < channels; channel++) {
      for (let row = 0; row < size; row++) {
        const from = (channel * stored + top + row) * stored + left;
        out.set(bytes.subarray(from, from + size), (channel * size + row) * size);
      }
    }
  };
  const middle = Math.floor((stored - size) / 2);
  const classes = classesOf(prepared);
  return {
    name: `images of ${path}`,
    sampleShape,
    size: count,
    labels: classes?.labels ?? null,
    ...(classes && { classNames: classes.names }),
    valueRange: [-1, 1],
    async batch(out, draw) {
      checkBatch(path, sampleShape, out, draw.count);
      const { indices, flips } = drawOrder(draw, count);
      const places = drawPlaces(draw, stored - size + 1);
      await Promise.all(Array.from(indices, async (index, s) => {
        const image = new Uint8Array(length);
        await read(image, index, places[2 * s]!, places[2 * s + 1]!);
        const mirrored = flip && flips[s] === 1;
        for (let i = 0; i < length; i++) {
          const column = i % size;
          out[s * length + i] = byteValues[image[mirrored ? i - column + size - 1 - column : i]!]!;
        }
      }));
    },
    async readBytes(out, first, wanted) {
      const inside = Number.isInteger(first) && Number.isInteger(wanted) && first >= 0 && wanted >= 0 && first + wanted <= count;
      if (!inside || out.length !== wanted * length) {
        throw new ArgumentError(`${path}: can't read ${wanted} images from index ${first} into ${out.length} bytes; the set holds ${count} images of ${length} bytes.`);
      }
      if (stored === size) return readStored(out, first);
      for (let i = 0; i < wanted; i++) await read(out.subarray(i * length, (i + 1) * length), first + i, middle, middle);
    },
    async close() {
      await (await handle)?.close();
      handle = undefined;
    },
  };
}

/** Where each sample is cut out, (top, left) each in [0, places): elements 2 and 3 of its stream, after those of the order. */
function drawPlaces({ seed, iteration, count }: Parameters<typeof drawOrder>[0], places: number): Uint32Array {
  const words = new Uint32Array(4 * count);
  fillWords(words, { seed, purpose: purposes.order, step: iteration }, { firstSample: 0, count, elements: 4 });
  return Uint32Array.from({ length: 2 * count }, (_, i) => Math.floor((words[4 * (i >> 1) + 2 + (i & 1)]! * places) / 2 ** 32));
}

function classesOf({ names }: PreparedImages): { labels: Uint8Array; names: string[] } | null {
  const folders = names.map((name) => name.split('/').slice(0, -1));
  // An archive usually holds a single folder, in which all the others lie: it names no class.
  const shared = folders.reduce((depth, parts) => {
    const differs = parts.slice(0, depth).findIndex((part, i) => part !== folders[0]![i]);
    return differs >= 0 ? differs : Math.min(depth, parts.length);
  }, folders[0]!.length);
  const parents = folders.map((parts) => parts.slice(shared).join('/'));
  const unique = [...new Set(parents)].sort();
  if (unique.includes('') || unique.length < 2 || unique.length > 256) return null;
  return { labels: Uint8Array.from(parents, (parent) => unique.indexOf(parent)), names: unique };
}
