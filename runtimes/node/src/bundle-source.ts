/**
 * Wherever a bundle may be: one way in for `open` and the command line.
 */
import { readFile, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ArgumentError, BundleError } from '@ratioflow/sdk';
import type { BundleSource } from '@ratioflow/sdk';
import { messageOf, show } from '@ratioflow/sdk/engine';
import { folderSource } from './folder-source.js';
import { checkUrlOptions, urlSource } from './url-source.js';
import type { UrlSourceOptions } from './url-source.js';
import { zipSource } from './zip-source.js';

/** A folder, a zip file, a URL prefix; a zip archive in memory; files by name, as `createBundle` returns them. */
export type BundleLocation = string | URL | Uint8Array | ReadonlyMap<string, Uint8Array>;

/** Files in memory. */
export const memorySource = (files: ReadonlyMap<string, Uint8Array>, location = 'bundle in memory'): BundleSource => ({
  location,
  read: (name) => {
    const bytes: unknown = files.get(name);
    if (bytes instanceof Uint8Array) return Promise.resolve(bytes);
    return Promise.reject(bytes === undefined ? new BundleError(`${location}: ${name} is missing.`) : new ArgumentError(`${location}: ${name} is ${show(bytes)}; allowed: a Uint8Array.`));
  },
});

/**
 * The source of the bundle that is meant.
 * @throws {ArgumentError} for what can be no location; {BundleError} for a file that is no zip archive
 */
export async function bundleSource(where: BundleLocation, options: UrlSourceOptions = {}): Promise<BundleSource> {
  checkUrlOptions(options);
  if (where instanceof Uint8Array) return zipSource(where);
  if (where instanceof URL) return where.protocol === 'file:' ? bundleSource(pathOf(where), options) : urlSource(where, options);
  if (typeof (where as Partial<ReadonlyMap<string, Uint8Array>> | null | undefined)?.get === 'function') return memorySource(where as ReadonlyMap<string, Uint8Array>);
  if (typeof where !== 'string' || where.trim() === '') {
    const kind = Object.prototype.toString.call(where).slice(8, -1);
    throw new ArgumentError(`The bundle is ${typeof where === 'object' && (where as unknown) !== null ? `an object of type ${kind}` : show(where)}; allowed: a folder, a zip file, a URL, the bytes of a zip archive (Uint8Array), or a Map of files.`);
  }
  if (/^file:\//i.test(where)) return bundleSource(pathOf(where), options);
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
