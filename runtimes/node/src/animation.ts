/**
 * Moving pictures: grids of images, one after the other, as an animated GIF or WebP.
 */
import { ArgumentError } from '@ratioflow/sdk';
import type { Tensor } from '@ratioflow/sdk';
import sharp from 'sharp';
import { rasterOf } from './image.js';
import type { PictureOptions } from './image.js';
import { writeFileAtomic } from './write-file.js';

/** How frames become an animation. */
export interface AnimationOptions extends PictureOptions {
  /** Time of each frame. @default 80 */
  readonly milliseconds?: number;
  /** Time of the first and of the last frame. @default that of every frame */
  readonly rest?: number;
  /** Run back from the last frame to the first, so that it repeats without a jump. @default false */
  readonly back?: boolean;
}

/** Formats by the ends of their names. */
export const animationFormats = ['gif', 'webp'] as const;
/** Format of a moving picture. */
export type AnimationFormat = (typeof animationFormats)[number];

/** The format that a path asks for, undefined when it asks for none. */
export const animationFormat = (path: string): AnimationFormat | undefined => animationFormats.find((format) => path.toLowerCase().endsWith(`.${format}`));

/**
 * An animation that repeats for ever.
 * @param frames batches of images [N, C, H, W], all of one shape; each becomes a grid as in `encodePng`
 * @throws {ArgumentError} without frames, for frames of different shapes, or an option out of range
 */
export async function encodeAnimation(frames: readonly Tensor[], format: AnimationFormat, { milliseconds = 80, rest = milliseconds, back = false, ...picture }: AnimationOptions = {}): Promise<Uint8Array> {
  const [first] = frames;
  if (first === undefined) throw new ArgumentError('An animation needs at least one frame.');
  const other = frames.find(({ shape }) => shape.join() !== first.shape.join());
  if (other !== undefined) throw new ArgumentError(`The frames of an animation have one shape; got [${first.shape.join(', ')}] and [${other.shape.join(', ')}].`);
  for (const [name, value] of [['milliseconds', milliseconds], ['rest', rest]] as const) {
    if (!Number.isSafeInteger(value) || value < 10 || value > 65_535) throw new ArgumentError(`${name} is ${value}; allowed: an integer from 10 to 65535.`);
  }
  const rasters = frames.map((frame) => rasterOf(frame, picture));
  const times = rasters.map((_, i) => (i === 0 || i === rasters.length - 1 ? rest : milliseconds));
  const order = [...rasters.keys(), ...(back ? [...rasters.keys()].slice(1, -1).reverse() : [])];
  const { width, height, channels } = rasters[0]!;
  const pages = Buffer.concat(order.map((i) => rasters[i]!.pixels));
  const image = sharp(pages, { raw: { width, height: height * order.length, channels, pageHeight: height } });
  const options = { loop: 0, delay: order.map((i) => times[i]!) };
  return format === 'gif' ? image.gif({ ...options, dither: 0 }).toBuffer() : image.webp({ ...options, lossless: true }).toBuffer();
}

/** Writes `encodeAnimation` to a file, complete or not at all; the format is that of the file's name. */
export async function saveAnimation(path: string, frames: readonly Tensor[], options: AnimationOptions = {}): Promise<void> {
  const format = animationFormat(path);
  if (format === undefined) throw new ArgumentError(`The animation ${path} must end in ${animationFormats.map((name) => `.${name}`).join(' or ')}.`);
  await writeFileAtomic(path, await encodeAnimation(frames, format, options));
}
