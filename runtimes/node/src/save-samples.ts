/**
 * Samples to files, in the format that the path asks for.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ArgumentError } from '@ratioflow/sdk';
import type { Tensor } from '@ratioflow/sdk';
import { savePng } from './image.js';
import type { PictureOptions } from './image.js';
import { writeNpy } from './npy-file.js';

/** `png`: one grid; `npy`: the array; `folder`: one PNG for every sample. */
export type OutputFormat = 'png' | 'npy' | 'folder';

/**
 * What a path asks for: `.png`, `.npy`, or a folder, which ends in a slash, exists, or has no extension.
 * @throws {ArgumentError} for another extension, a folder where there is a file, or pictures of samples that are neither images nor points of the plane
 */
export async function outputFormat(path: string, sampleShape: readonly number[]): Promise<OutputFormat> {
  const extension = /\.([A-Za-z0-9]+)$/.exec(path)?.[1]?.toLowerCase();
  const found = await stat(path.replace(/[/\\]+$/, '') || path).catch(() => undefined);
  const isFolder = /[/\\]$/.test(path) || found?.isDirectory() === true || extension === undefined;
  if (isFolder && found && !found.isDirectory()) throw new ArgumentError(`The output ${path} would be a folder, and a file has that name: name another, or a file that ends in .png or .npy.`);
  const format = isFolder ? 'folder' : extension;
  if (format !== 'png' && format !== 'npy' && format !== 'folder') throw new ArgumentError(`The output ${path} ends in .${extension}; allowed: .png, .npy, or a folder, with / at its end.`);
  const isImage = sampleShape.length === 3 && (sampleShape[0] === 1 || sampleShape[0] === 3);
  // Points of the plane have a picture too, but drawing it is somebody else's work.
  const isPlane = sampleShape.length === 1 && sampleShape[0] === 2 && format === 'png';
  if (format !== 'npy' && !isImage && !isPlane) throw new ArgumentError(`Samples of shape [${sampleShape.join(', ')}] are no images; the output ${path} must end in .npy${sampleShape.join() === '2' ? ' or .png' : ''}.`);
  return format;
}

/** Where the sample of an index lies in a folder. */
export const sampleFile = (folder: string, index: number): string => join(folder, `${String(index).padStart(6, '0')}.png`);

/** Options of `saveSamples`. */
export interface SaveOptions extends PictureOptions {
  /** Index of the first sample: files in a folder are named by index, so that shards can share one. @default 0 */
  readonly first?: number;
  /** Index of every sample, where they do not follow each other. */
  readonly indices?: readonly number[];
  readonly signal?: AbortSignal;
}

/**
 * Writes samples [N, …] where `path` says, each file complete or not at all.
 * @returns the files written
 */
export async function saveSamples(path: string, samples: Tensor, { first = 0, indices, signal, ...picture }: SaveOptions = {}): Promise<readonly string[]> {
  const [count, ...sampleShape] = samples.shape as [number, ...number[]];
  const format = await outputFormat(path, sampleShape);
  if (format === 'npy') await writeNpy(path, samples);
  if (format === 'png') await savePng(path, samples, picture);
  if (format !== 'folder') return [path];
  const elements = samples.data.length / count;
  const files: string[] = [];
  for (let n = 0; n < count; n++) {
    signal?.throwIfAborted();
    const file = sampleFile(path, indices?.[n] ?? first + n);
    await savePng(file, { shape: [1, ...sampleShape], data: samples.data.subarray(n * elements, (n + 1) * elements) }, picture);
    files.push(file);
  }
  return files;
}
