/**
 * The shortest way from a bundle to a model.
 */
import { openBundle } from '@ratioflow/sdk';
import type { Model, OpenOptions } from '@ratioflow/sdk';
import { checkLoading } from '@ratioflow/sdk/engine';
import { bundleSource } from './bundle-source.js';
import type { BundleLocation } from './bundle-source.js';
import { createRuntime, rejectUnknown, runtimeOptionNames } from './runtime.js';
import type { RuntimeOptions } from './runtime.js';
import { checkUrlOptions } from './url-source.js';
import type { UrlSourceOptions } from './url-source.js';

const optionNames = [
  ...runtimeOptionNames, ...['optimization', 'selfTest'] satisfies (keyof OpenOptions)[], ...['cache', 'maxBytes', 'headers', 'signal', 'onProgress'] satisfies (keyof UrlSourceOptions)[],
];

/**
 * Opens the bundle in a folder, in a zip file, behind a URL, or in memory.
 * @throws {BundleError} when there is none, or it is damaged; {ArgumentError} for an option that is unknown or out of range; the
 *   signal's reason when it ends the opening
 * @example
 * const model = await open('digits', { worker: true });
 * const { samples } = await model.sample({ count: 64, seed: 42 });
 * await model.dispose();
 */
export async function open(where: BundleLocation, options: RuntimeOptions & OpenOptions & UrlSourceOptions = {}): Promise<Model> {
  rejectUnknown(options, optionNames);
  const { providers, threads, split, worker, timeout, memoryLimit, cuda, cache, maxBytes, headers, signal, onProgress, ...rest } = options;
  const runtime = createRuntime(given({ providers, threads, split, worker, timeout, memoryLimit, cuda }));
  checkLoading(rest);
  checkUrlOptions(given({ cache, maxBytes, headers, signal, onProgress }));
  signal?.throwIfAborted();
  // Graphs are read when they are needed, which may be long after the opening that this signal is for.
  const opening = new AbortController();
  const abort = (): void => opening.abort(signal?.reason);
  signal?.addEventListener('abort', abort);
  try {
    return await openBundle(await bundleSource(where, given({ cache, maxBytes, headers, signal: opening.signal, onProgress })), runtime, rest);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the options that were not given. */
const given = <T extends object>(options: T): Given<T> => Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Given<T>;
