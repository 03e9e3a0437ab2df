/**
 * Wherever a bundle may be: one way in for `open` and the command line.
 */
import { readFile, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ArgumentError, BundleError } from '@ratioflow/sdk';
import type { BundleSource } from '@ratioflow/sdk';
import { messageOf } from '@ratioflow/sdk/engine';
import { folderSource } from './folder-source.js';
import { urlSource } from './url-source.js';
import type { UrlSourceOptions } from './url-source.js';
import { zipSource } from './zip-source.js';

/** A folder, a zip file, a URL prefix; a zip archive in memory; files by name, as `createBundle` returns them. */
export type BundleLocation = string | URL | Uint8Array | ReadonlyMap<string, Uint8Array>;

/** Files in memory. */
export const memorySource = (files: ReadonlyMap<string, Uint8Array>, location = 'bundle in memory'): BundleSource => ({
  location,
  read: (name) => {
    const bytes = files.get(name);
    return bytes === undefined ? Promise.reject(new BundleError(`${location}: ${name} is missing.`)) : Promise.resolve(bytes);
  },
});

/**
 * The source of the bundle that is meant.
 * @throws {ArgumentError} for what can be no location; {BundleError} for a file that is no zip archive
 */
export async function bundleSource(where: BundleLocation, options: UrlSourceOptions = {}): Promise<BundleSource> {
  if (where instanceof Uint8Array) return zipSource(where);
  if (where instanceof URL) return where.protocol === 'file:' ? bundleSource(pathOf(where), options) : urlSource(where, options);
  if (typeof where !== 'string') {
    if (typeof (where as Partial<ReadonlyMap<string, Uint8Array>> | null)?.get !== 'function') throw new ArgumentError('A bundle is a folder, a zip file, a URL, the bytes of a zip archive, or a Map of files.');
    return memorySource(where);
  }
  if (/^file:\/\//i.test(where)) return bundleSource(pathOf(where), options);
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(where)) return urlSource(where, options);
  const isFile = await stat(where).then((status) => status.isFile(), () => false);
  if (!isFile) return folderSource(where);
  return zipSource(await readFile(where).catch((cause: unknown) => {
    throw new BundleError(`${where} cannot be read: ${messageOf(cause)}`, { cause });
  }), where);
}

function pathOf(url: string | URL): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new ArgumentError(`${String(url)} is the URL of no file here: ${messageOf(cause)}`, { cause });
  }
}
