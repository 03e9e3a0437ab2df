/**
 * The first pass over a collection of images: each is decoded, cropped and resized once, by sharp's threads, into one file of
 * bytes [N, C, H, W], which training then reads at random. A set that was prepared before is taken as it is.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { ArgumentError, FormatError } from '@ratioflow/sdk';
import sharp from 'sharp';
import { sampleLength } from './dataset.js';
import { defaultImageCache, useOfCache } from './image-cache.js';
import { openImageFiles, type ImageFile } from './image-files.js';

/** How images become samples. */
export interface ImageForm {
  /** Side of the square samples; [height, width]: images must have this very size, and are neither cut nor resized. */
  readonly size: number | readonly [number, number];
  /** Side of a square that is cut out of the middle first. @default none */
  readonly centreCrop?: number | undefined;
  /** Side to which images are resized; samples are then cut out at random places. @default `size` */
  readonly resize?: number | undefined;
  /** 1: grey, 3: RGB. @default 3, unless every image is grey */
  readonly channels?: 1 | 3 | undefined;
}

export interface PrepareOptions extends ImageForm {
  /** What to do about files that are no readable images. @default 'skip' */
  readonly onUnreadable?: 'skip' | 'stop' | undefined;
  /** Folder of prepared sets. @default images in the cache folder, which RATIOFLOW_CACHE names */
  readonly cache?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onMessage?: ((message: string) => void) | undefined;
}

/** A prepared set. */
export interface PreparedImages {
  /** Its bytes, [N, C, S, S] with S = resize or size. */
  readonly file: string;
  readonly shape: readonly [number, number, number];
  /** Names of the images in order. */
  readonly names: readonly string[];
  /** `name: reason` of every file that was left out. */
  readonly unreadable: readonly string[];
  /** How many images are grey, and how many smaller than the samples. */
  readonly grey: number;
  readonly enlarged: number;
}
type Contents = Pick<PreparedImages, 'names' | 'unreadable' | 'grey' | 'enlarged'>;

/** To be raised when the bytes that come out change, or what is recorded of them. */
const version = 5;
const reportEvery = 10_000;

/** @throws {ArgumentError} for a collection without images, {FormatError} for a damaged archive, or by option an unreadable image */
export async function prepareImages(path: string, options: PrepareOptions): Promise<PreparedImages> {
  const { centreCrop, channels = 3, onUnreadable = 'skip', onMessage } = options;
  const extent = extentOf(options);
  const collection = await openImageFiles(path, options.signal);
  const key = createHash('sha256').update(JSON.stringify([version, collection.stamp, centreCrop ?? null, typeof options.size === 'number' ? extent[0] : extent, channels, sharp.versions.sharp])).digest('hex').slice(0, 32);
  const folder = options.cache ?? defaultImageCache();
  const [file, record] = [join(folder, `${key}.bytes`), join(folder, `${key}.json`)];
  const shape = [channels, ...extent] as const;
  const recorded = await readFile(record, 'utf8').then((text) => JSON.parse(text) as Contents, () => null);
  const stored = await stat(file).then(({ size }) => size, () => -1);
  const known = recorded?.names.length === stored / sampleLength(shape) ? recorded : null;
  const prepared = known ? { file, shape, ...known } : { file, shape, ...(await firstPass(path, collection.files(), file, options)) };
  if (prepared.unreadable.length > 0) {
    const [first] = prepared.unreadable;
    if (onUnreadable === 'stop') throw new FormatError(`${path}: ${prepared.unreadable.length} unreadable images, the first is ${first!}. Remove or replace them, or set data.onUnreadable to skip.`);
    onMessage?.(`${path}: ${prepared.unreadable.length} unreadable images left out: ${prepared.unreadable.slice(0, 5).join('; ')}${prepared.unreadable.length > 5 ? `; … (all in ${record})` : ''}.`);
  }
  if (prepared.names.length === 0) throw new ArgumentError(`${path} holds no readable image (.jpg, .jpeg, .png, .webp)${prepared.unreadable.length > 0 ? `; left out was ${prepared.unreadable[0]!}` : ''}.`);
  const { names, unreadable, grey, enlarged } = prepared;
  if (!known) await writeFileAtomic(record, JSON.stringify({ names, unreadable, grey, enlarged } satisfies Contents));
  if (grey === names.length && options.channels === undefined) {
    throw new ArgumentError(`${path}: every image is grey, where samples have three colours. Set data.channels to 1 for grey samples, or to 3 for three equal channels.`);
  }
  if (enlarged > 0) onMessage?.(`${path}: ${enlarged} of ${names.length} images are smaller than ${extent.join('×')} and were enlarged.`);
  await useOfCache(folder, key);
  return prepared;
}

async function firstPass(path: string, files: AsyncGenerator<ImageFile>, file: string, options: PrepareOptions): Promise<Contents> {
  const { onUnreadable = 'skip', signal, onMessage } = options;
  const [names, unreadable]: [string[], string[]] = [[], []];
  let [grey, enlarged] = [0, 0];
  const temporary = `${file}.${process.pid}.tmp`;
  const refuse = (cause: unknown): never => {
    throw new ArgumentError(`Decoded images cannot be kept in ${dirname(file)} (${(cause as Error).message}). Name a folder that can be written into in data.cache.`, { cause });
  };
  await mkdir(dirname(file), { recursive: true }).catch(refuse);
  const output = await open(temporary, 'w').catch(refuse);
  // Decoded in parallel, written in order.
  const queue: Promise<{ name: string; result: DecodedImage | Error }>[] = [];
  const settle = async (): Promise<void> => {
    const { name, result } = await queue.shift()!;
    if (!(result instanceof Error)) {
      await output.appendFile(result.bytes);
      names.push(name);
      grey += Number(result.grey);
      enlarged += Number(result.enlarged);
    } else {
      unreadable.push(`${name}: ${reasonOf(result)}`);
      if (onUnreadable === 'stop') throw new FormatError(`${path}: unreadable image ${unreadable[0]!}. Remove or replace it${typeof options.size === 'number' ? ', or set data.onUnreadable to skip' : ''}.`);
    }
    const done = names.length + unreadable.length;
    if (done % reportEvery === 0) onMessage?.(`${path}: ${done} images decoded.`);
  };
  try {
    for await (const { name, bytes } of files) {
      signal?.throwIfAborted();
      queue.push((bytes instanceof Error ? Promise.reject<DecodedImage>(bytes) : decodeImage(bytes, options)).then((result) => ({ name, result }), (error: unknown) => ({ name, result: error as Error })));
      if (queue.length >= 2 * availableParallelism()) await settle();
    }
    while (queue.length > 0) await settle();
    await output.sync();
    await output.close();
    await rename(temporary, file);
  } catch (error) {
    await Promise.all(queue);
    await output.close().catch(() => undefined);
    await rm(temporary, { force: true });
    if ((error as { code?: string }).code === 'ENOSPC') throw new ArgumentError(`${file}: the disk is full. Make room, or name another folder in data.cache.`, { cause: error });
    throw error;
  }
  return { names, unreadable, grey, enlarged };
}

/** libvips keeps one message for all threads: of several images that fail at once, some have none. */
const reasonOf = ({ message }: Error): string => (message === 'Unknown error' ? 'cannot be decoded, truncated or damaged' : message.split('\n')[0]!.replace(/\.$/, ''));

interface DecodedImage {
  readonly bytes: Buffer;
  readonly grey: boolean;
  readonly enlarged: boolean;
}

/** One image as bytes [C, S, S]: turned upright, cut, resized (bilinear, over the area that a pixel covers), without its transparency. */
async function decodeImage(bytes: Buffer, form: ImageForm): Promise<DecodedImage> {
  const { size, centreCrop, channels = 3 } = form;
  const [height, width] = extentOf(form);
  let image = sharp(bytes, { failOn: 'error' }).autoOrient();
  const { autoOrient: found, channels: coloursFound } = await image.metadata();
  const [foundHeight, foundWidth] = centreCrop === undefined ? [found.height, found.width] : [centreCrop, centreCrop];
  if (typeof size !== 'number' || centreCrop !== undefined) {
    if (typeof size !== 'number' && (found.width !== width || found.height !== height)) throw new Error(`${found.width} × ${found.height} pixels; needed: ${width} × ${height}`);
    if (centreCrop !== undefined) {
      if (found.width < centreCrop || found.height < centreCrop) throw new Error(`${found.width}×${found.height} is smaller than data.centreCrop = ${centreCrop}`);
      image = image.extract({ left: Math.floor((found.width - centreCrop) / 2), top: Math.floor((found.height - centreCrop) / 2), width: centreCrop, height: centreCrop });
    }
  }
  const fitted = image.resize(width, height, { fit: 'cover', kernel: 'linear' }).removeAlpha();
  const { data, info } = await fitted.toColourspace('srgb').raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  const [second, third] = [1, 2].map((channel) => Math.min(channel, info.channels - 1)) as [number, number];
  const pixels = height * width;
  const planar = Buffer.alloc(channels * pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const at = pixel * info.channels;
    const [red, green, blue] = [data[at]!, data[at + second]!, data[at + third]!];
    if (channels === 1) planar[pixel] = luma(red, green, blue);
    else [planar[pixel], planar[pixels + pixel], planar[2 * pixels + pixel]] = [red, green, blue];
  }
  return { bytes: planar, grey: coloursFound < 3, enlarged: foundHeight < height || foundWidth < width };
}

/** Grey of a colour by the weights of ITU-R BT.601, in the integers of Pillow's convert('L'). */
const luma = (red: number, green: number, blue: number): number => (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;

/** Height and width of the stored images. */
function extentOf({ size, resize }: ImageForm): readonly [number, number] {
  if (typeof size !== 'number') return size;
  const side = resize ?? size;
  return [side, side];
}
