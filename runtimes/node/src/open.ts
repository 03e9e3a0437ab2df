/**
 * The shortest way from a folder to a model.
 */
import { openBundle } from '@ratioflow/sdk';
import type { LoadOptions, Model } from '@ratioflow/sdk';
import { folderSource } from './folder-source.js';
import { createRuntime } from './runtime.js';
import type { RuntimeOptions } from './runtime.js';

/**
 * Opens the bundle in a folder.
 * @throws {BundleError} when there is none, or it is damaged; {ArgumentError} for an option out of range
 * @example
 * const model = await open('digits');
 * const { samples } = await model.sample({ count: 64, seed: 42 });
 * await model.dispose();
 */
export async function open(folder: string, { providers, threads, ...options }: RuntimeOptions & LoadOptions = {}): Promise<Model> {
  return openBundle(folderSource(folder), createRuntime({ ...(providers && { providers }), ...(threads !== undefined && { threads }) }), options);
}
