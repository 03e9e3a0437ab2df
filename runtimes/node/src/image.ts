/**
 * Pictures of samples: a batch of images as a grid in one PNG.
 */
import { ArgumentError } from '@ratioflow/sdk';
import type { Tensor } from '@ratioflow/sdk';
import sharp from 'sharp';
import { writeFileAtomic } from './write-file.js';

/** How a batch becomes a picture. */
export interface PictureOptions {
  /** Images side by side. @default about as many as there are rows */
  readonly columns?: number;
  /** Values that become black and white; what lies beyond is clamped. @default [-1, 1] */
  readonly valueRange?: readonly [number, number];
  /** Pixels of the picture per pixel of an image, each way. @default 1 */
  readonly scale?: number;
  /** Pixels between two images. @default 2 */
  readonly padding?: number;
  /** Grey level of what lies between, 0 to 255. @default 40 */
  readonly background?: number;
  /** Columns behind which the padding is white instead: a rule down the picture, for instance between two stages. @default none */
  readonly rules?: readonly number[];
}

/** Width, height and bytes of a picture, one or three channels, rows from the top. */
export interface Raster { readonly width: number; readonly height: number; readonly channels: 1 | 3; readonly pixels: Uint8Array }

/**
 * The images of a batch, row by row, as one PNG.
 * @param images [N, C, H, W], C = 1 (grey) or 3 (red, green, blue)
 * @throws {ArgumentError} for another shape, or an option out of range
 */
export async function encodePng(images: Tensor, options: PictureOptions = {}): Promise<Uint8Array> {
  const { width, height, channels, pixels } = rasterOf(images, options);
  return sharp(pixels, { raw: { width, height, channels } }).toColourspace(channels === 1 ? 'b-w' : 'srgb').png({ compressionLevel: 9 }).toBuffer();
}

/** Writes `encodePng` to a file, complete or not at all. */
export async function savePng(path: string, images: Tensor, options: PictureOptions = {}): Promise<void> {
  await writeFileAtomic(path, await encodePng(images, options));
}

/** How `readPixels` reads. */
export interface PixelOptions {
  /** 1: grey; 3: red, green, blue. */
  readonly channels: 1 | 3;
  /** The image in messages. */
  readonly name: string;
  /** What is needed, for the message about colours. */
  readonly needed: string;
  /** Whether transparent pixels keep their colours, as in pytorch-fid, instead of being laid over black. @default false */
  readonly opaque?: boolean;
}

/** Bytes [C, H, W] of an image of any size. */
export interface Pixels {
  /** [C, H, W]. */
  readonly shape: readonly [number, number, number];
  /** 0 to 255. */
  readonly data: Uint8Array;
}

/**
 * The pixels of an image file or its bytes, turned upright as its metadata say; grey becomes equal red, green and blue where C = 3.
 * @throws {ArgumentError} naming the image when it cannot be decoded, or has colours where C = 1
 */
export async function readPixels(image: string | Uint8Array, { channels, name, needed, opaque = false }: PixelOptions): Promise<Pixels> {
  const upright = sharp(image, { failOn: 'error' }).autoOrient();
  const decoded = await (opaque ? upright.removeAlpha() : upright.flatten()).toColourspace('srgb').raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true }).catch((cause: unknown) => {
    throw new ArgumentError(`${name} is no image that can be read: ${(cause as Error).message}`, { cause });
  });
  const { info, data } = decoded;
  const pixels = info.width * info.height;
  const planes = new Uint8Array(channels * pixels);
  for (let i = 0; i < pixels; i++) {
    const [red, green, blue] = [0, 1, 2].map((c) => data[i * info.channels + Math.min(c, info.channels - 1)]!) as [number, number, number];
    if (channels === 3) [planes[i], planes[pixels + i], planes[2 * pixels + i]] = [red, green, blue];
    else if (Math.max(red, green, blue) - Math.min(red, green, blue) > greyTolerance) throw new ArgumentError(`${name} has colours; needed: ${needed}. Convert the images first.`);
    else planes[i] = Math.round((red + green + blue) / 3);
  }
  return { shape: [channels, info.height, info.width], data: planes };
}

/** Levels by which the channels of a grey pixel may differ: what JPEG does to one. */
const greyTolerance = 32;

/** The pixels of `encodePng`. @throws {ArgumentError} as there */
export function rasterOf({ shape, data }: Tensor, options: PictureOptions): Raster {
  const [count, channels, rows, columns] = shape as [number, number, number, number];
  if (shape.length !== 4 || (channels !== 1 && channels !== 3) || data.length !== shape.reduce((a, b) => a * b, 1) || data.length === 0 || data instanceof BigInt64Array) {
    throw new ArgumentError(`A picture is made of images [N, 1 or 3, H, W]; got shape [${shape.join(', ')}] with ${data.length} values.`);
  }
  const across = Math.min(count, positive('columns', options.columns ?? Math.ceil(Math.sqrt(count)), 1));
  const scale = positive('scale', options.scale ?? 1, 1);
  const padding = positive('padding', options.padding ?? 2, 0);
  const [low, high] = options.valueRange ?? [-1, 1];
  if (!(low < high)) throw new ArgumentError(`valueRange is [${low}, ${high}]; allowed: [low, high] with low < high.`);
  const down = Math.ceil(count / across);
  const width = across * (columns * scale + padding) - padding;
  const height = down * (rows * scale + padding) - padding;
  const pixels = new Uint8Array(width * height * channels).fill(options.background ?? 40);
  for (const rule of options.rules ?? []) {
    if (!Number.isSafeInteger(rule) || rule < 1 || rule > across) throw new ArgumentError(`rules holds ${rule}; allowed: columns from 1 to ${across}.`);
    if (rule === across) continue;
    const left = rule * (columns * scale + padding) - padding;
    for (let y = 0; y < height; y++) pixels.fill(255, (y * width + left) * channels, (y * width + left + padding) * channels);
  }
  for (let n = 0; n < count; n++) {
    const left = (n % across) * (columns * scale + padding);
    const top = Math.floor(n / across) * (rows * scale + padding);
    for (let y = 0; y < rows * scale; y++) {
      for (let x = 0; x < columns * scale; x++) {
        for (let c = 0; c < channels; c++) {
          const value = data[((n * channels + c) * rows + Math.floor(y / scale)) * columns + Math.floor(x / scale)]!;
          // Math.max turns NaN into NaN, which a byte stores as 0.
          pixels[((top + y) * width + left + x) * channels + c] = Math.round(255 * Math.min(1, Math.max(0, (value - low) / (high - low))));
        }
      }
    }
  }
  return { width, height, channels, pixels };
}

function positive(name: string, value: number, min: number): number {
  if (!Number.isSafeInteger(value) || value < min) throw new ArgumentError(`${name} is ${value}; allowed: an integer from ${min}.`);
  return value;
}
