/** CIFAR-10 in its binary version: files of 10,000 records, a label and 3,072 bytes (red, green, blue planes of 32×32) each. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ArgumentError, FormatError } from '@ratioflow/sdk';
import type { ImageDataset } from './dataset.js';
import { imageArray } from './image-array.js';

export interface Cifar10Options {
  /** Folder of the .bin files, or the folder that holds cifar-10-batches-bin. */
  readonly folder: string;
  /** @default 'train' */
  readonly split?: 'train' | 'test' | undefined;
  /** Whether batches mirror half of the images. @default true */
  readonly flip?: boolean | undefined;
  /** Keep images of these classes only. @default all */
  readonly classes?: readonly number[] | undefined;
  /** Keep images first … end − 1. @default all */
  readonly range?: readonly [first: number, end: number] | undefined;
}

export const cifar10Classes = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'] as const;
const imageBytes = 3072;
const files = { train: [1, 2, 3, 4, 5].map((part) => `data_batch_${part}.bin`), test: ['test_batch.bin'] } as const;

/** @throws {ArgumentError} when the folder lacks the files, {FormatError} for a damaged one */
export async function openCifar10({ folder, split = 'train', flip = true, classes, range }: Cifar10Options): Promise<ImageDataset> {
  const inner = await readdir(folder).then((names) => (names.includes('cifar-10-batches-bin') ? join(folder, 'cifar-10-batches-bin') : folder), () => folder);
  // One after another: of several files that are missing, the error names the first.
  const parts: Buffer[] = [];
  for (const name of files[split]) parts.push(await readRecords(join(inner, name)));
  const records = Buffer.concat(parts);
  const count = records.length / (imageBytes + 1);
  const images = new Uint8Array(count * imageBytes);
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const at = i * (imageBytes + 1);
    labels[i] = records[at]!;
    images.set(records.subarray(at + 1, at + 1 + imageBytes), i * imageBytes);
  }
  return imageArray({ name: `cifar-10 (${split})`, sampleShape: [3, 32, 32], images, labels, flip, classes, range, classNames: cifar10Classes });
}

async function readRecords(file: string): Promise<Buffer> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    throw new ArgumentError(`The CIFAR-10 folder lacks ${file} (${(cause as Error).message}). Unpack cifar-10-binary.tar.gz, "CIFAR-10 binary version", and name its folder in data.folder.`, { cause });
  });
  if (bytes.length === 0 || bytes.length % (imageBytes + 1) !== 0) {
    throw new FormatError(`${file}: ${bytes.length} bytes are no whole number of records of ${imageBytes + 1} bytes. The file is truncated, or of the Python version: fetch the binary version again.`);
  }
  for (let at = 0; at < bytes.length; at += imageBytes + 1) {
    if (bytes[at]! > 9) throw new FormatError(`${file}: the label at byte ${at} is ${bytes[at]!}, labels are 0 to 9. Is this a file of CIFAR-10's binary version?`);
  }
  return bytes;
}
