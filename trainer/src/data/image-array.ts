/**
 * An image set held in memory as bytes; floats are made per batch. 60,000 digits take 47 MB instead of 188 MB.
 */
import { ArgumentError } from '@ratioflow/sdk';
import { checkBatch, sampleLength } from './dataset.js';
import type { ImageDataset } from './dataset.js';
import { drawOrder } from './order.js';

/** What an image set in memory is made of. */
export interface ImageArray {
  readonly name: string;
  /** [C, H, W] */
  readonly sampleShape: readonly [number, number, number];
  /** Bytes of all images, [N, C, H, W]; kept, not copied. */
  readonly images: Uint8Array;
  /** One class per image. */
  readonly labels: Uint8Array | null;
  /** Whether batches mirror half of the images left to right. @default false */
  readonly flip?: boolean;
  /** Keep images of these classes only. @default all */
  readonly classes?: readonly number[] | undefined;
  /** Keep images first … end − 1, before `classes`. @default all */
  readonly range?: readonly [first: number, end: number] | undefined;
  readonly classNames?: readonly string[];
}

/** Value of each byte: v / 127.5 − 1, computed in double and rounded to float32 once. */
export const byteValues: Float32Array = Float32Array.from({ length: 256 }, (_, byte) => byte / 127.5 - 1);

/** The values of bytes, each as in `byteValues`. */
export function valuesOfBytes(bytes: Uint8Array): Float32Array {
  const values = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) values[i] = byteValues[bytes[i]!]!;
  return values;
}

/**
 * Makes a data set of an array of images.
 * @throws {ArgumentError} when the lengths of images, labels and shape contradict each other
 */
export function imageArray(source: ImageArray): ImageDataset {
  const { name, sampleShape, images, labels, flip = false, classNames } = keepClasses(keepRange(source));
  const length = sampleLength(sampleShape);
  const size = images.length / length;
  if (!Number.isInteger(size) || size < 1) {
    throw new ArgumentError(`${name}: ${images.length} bytes are not a positive number of images of [${sampleShape.join(', ')}].`);
  }
  if (labels !== null && labels.length !== size) {
    throw new ArgumentError(`${name}: ${labels.length} labels for ${size} images; each image needs one.`);
  }
  return {
    name,
    sampleShape,
    size,
    labels,
    ...(classNames && { classNames }),
    valueRange: [-1, 1],
    batch(out, draw) {
      checkBatch(name, sampleShape, out, draw.count);
      const { indices, flips } = drawOrder(draw, size);
      for (let s = 0; s < draw.count; s++) {
        const image = images.subarray(indices[s]! * length, (indices[s]! + 1) * length);
        decodeImage(out.subarray(s * length, (s + 1) * length), image, flip && flips[s] === 1 ? sampleShape[2] : null);
      }
      return Promise.resolve();
    },
    readBytes(out, first, count) {
      const inside = Number.isInteger(first) && Number.isInteger(count) && first >= 0 && count >= 0 && first + count <= size;
      if (!inside || out.length !== count * length) {
        throw new ArgumentError(
          `${name}: can't read ${count} images from index ${first} into ${out.length} bytes; the set holds ${size} images of ${length} bytes.`,
        );
      }
      out.set(images.subarray(first * length, (first + count) * length));
      return Promise.resolve();
    },
  };
}

/** The same set with a part of its images. */
function keepRange(source: ImageArray): ImageArray {
  const { name, range, images, labels } = source;
  if (range === undefined) return source;
  const length = sampleLength(source.sampleShape);
  const [first, end] = range;
  if (!(first >= 0 && first < end && end <= images.length / length)) throw new ArgumentError(`${name} has images 0 to ${images.length / length - 1}; data.range = [${first}, ${end}] must lie within 0 and ${images.length / length}, the end not included.`);
  return { ...source, name: `${name}, images ${first} to ${end - 1}`, images: images.subarray(first * length, end * length), labels: labels && labels.subarray(first, end) };
}

/** The same set with the images of some classes only; their labels stay what they are. */
function keepClasses(source: ImageArray): ImageArray {
  const { name, classes, images, labels } = source;
  if (classes === undefined) return source;
  if (labels === null) throw new ArgumentError(`${name} has no labels, from which data.classes could choose.`);
  const missing = classes.find((one) => !labels.includes(one));
  if (missing !== undefined) throw new ArgumentError(`${name} has no image of class ${missing}; data.classes can name ${[...new Set(labels)].sort((a, b) => a - b).join(', ')}.`);
  const length = sampleLength(source.sampleShape);
  const kept = [...labels.keys()].filter((index) => classes.includes(labels[index]!));
  const chosen = new Uint8Array(kept.length * length);
  kept.forEach((index, i) => {
    chosen.set(images.subarray(index * length, (index + 1) * length), i * length);
  });
  return { ...source, name: `${name}, classes ${classes.join(', ')}`, images: chosen, labels: Uint8Array.from(kept, (index) => labels[index]!) };
}

/** Turns the bytes of one image into values; with a row width, mirrors every row. */
function decodeImage(out: Float32Array, image: Uint8Array, mirroredWidth: number | null): void {
  if (mirroredWidth === null) {
    for (let i = 0; i < image.length; i++) out[i] = byteValues[image[i]!]!;
    return;
  }
  for (let row = 0; row < image.length; row += mirroredWidth) {
    const last = row + mirroredWidth - 1;
    for (let x = 0; x < mirroredWidth; x++) out[row + x] = byteValues[image[last - x]!]!;
  }
}
