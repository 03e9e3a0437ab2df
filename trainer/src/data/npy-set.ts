/** Arrays in .npy files as data sets: uint8 images [N, C, H, W], or float32 samples [N, C, H, W] or [N, D] as they are. */
import { openNpyRows } from '@ratioflow/node';
import { ArgumentError, FormatError, type Tensor } from '@ratioflow/sdk';
import { checkBatch, sampleLength, type Dataset } from './dataset.js';
import { imageArray } from './image-array.js';
import { drawOrder } from './order.js';

export interface NpyOptions {
  readonly path: string;
  /** File of one label per sample. @default none */
  readonly labels?: string | undefined;
  /** Whether batches mirror half of the images. @default false */
  readonly flip?: boolean | undefined;
  readonly classes?: readonly number[] | undefined;
  /** Keep images first … end − 1. @default all */
  readonly range?: readonly [first: number, end: number] | undefined;
}

/** @throws {ArgumentError | FormatError} for a file that cannot be read, or an array that cannot be data */
export async function openNpySet({ path, labels: labelFile, flip = false, classes, range }: NpyOptions): Promise<Dataset> {
  const { shape, data } = await read(path);
  checkArrayShape(path, shape);
  const sampleShape = shape.slice(1);
  const labels = labelFile === undefined ? null : await readLabels(labelFile, shape[0]!);
  if (data instanceof Uint8Array) {
    if (sampleShape.length !== 3) throw new FormatError(`${path}: uint8 of shape [${shape.join(', ')}]; bytes are taken as images [N, C, H, W]. Store points as float32.`);
    return imageArray({ name: path, sampleShape: sampleShape as [number, number, number], images: data, labels, flip, classes, range });
  }
  if (!(data instanceof Float32Array)) throw new FormatError(`${path}: the elements are neither uint8 nor float32. Convert them, for example with array.astype("float32").`);
  if (flip || classes || range) throw new ArgumentError(`${path}: data.flip, data.classes and data.range need uint8 images; this array is float32.`);
  const bad = data.findIndex((value) => !Number.isFinite(value));
  const length = sampleLength(sampleShape);
  if (bad >= 0) throw new FormatError(`${path}: sample ${Math.floor(bad / length)} holds ${data[bad]!}. Remove samples that are not finite.`);
  const outside = sampleShape.length === 3 ? data.findIndex((value) => Math.abs(value) > 1.5) : -1;
  if (outside >= 0) throw new FormatError(`${path}: sample ${Math.floor(outside / length)} holds ${data[outside]!}; images have values in [−1, 1]: save bytes as uint8, or map them by v / 127.5 − 1.`);
  const size = shape[0]!;
  return {
    name: path,
    sampleShape,
    size,
    labels,
    valueRange: sampleShape.length === 3 ? [-1, 1] : null,
    batch(out, draw) {
      checkBatch(path, sampleShape, out, draw.count);
      drawOrder(draw, size).indices.forEach((index, s) => {
        out.set(data.subarray(index * length, (index + 1) * length), s * length);
      });
      return Promise.resolve();
    },
  };
}

/** @throws {FormatError} for an array that holds no samples, or images whose channels come last */
export function checkArrayShape(path: string, shape: readonly number[]): void {
  const sampleShape = shape.slice(1);
  if (![1, 3].includes(sampleShape.length) || !shape.every((extent) => extent > 0)) {
    throw new FormatError(`${path}: an array of shape [${shape.join(', ')}]; samples are [N, C, H, W] or [N, D], at least one.`);
  }
  if (sampleShape.length === 3 && [1, 3].includes(sampleShape[2]!) && sampleShape[0]! > 4) {
    throw new FormatError(`${path}: images of shape [${sampleShape.join(', ')}] look as if their channels came last; samples are [N, C, H, W]. In NumPy: np.ascontiguousarray(array.transpose(0, 3, 1, 2)).`);
  }
}

/** The whole array, of any size that memory holds. */
async function read(path: string): Promise<Tensor> {
  const rows = await openNpyRows(path);
  try {
    return { shape: rows.shape, data: await rows.read(0, rows.shape[0]!) };
  } finally {
    await rows.close();
  }
}

async function readLabels(path: string, count: number): Promise<Uint8Array> {
  const { shape, data } = await read(path);
  if (shape.length !== 1 || shape[0] !== count) throw new FormatError(`${path}: an array of shape [${shape.join(', ')}], expected one label for each of ${count} samples.`);
  return Uint8Array.from(data as ArrayLike<number | bigint>, (value, i) => {
    const label = Number(value);
    if (!Number.isInteger(label) || label < 0 || label > 255) throw new FormatError(`${path}: label ${label} of sample ${i} is out of range: classes are integers from 0 to 255.`);
    return label;
  });
}
