/** Puts a bundle on disk: written beside its destination under another name, then renamed, so that it is there whole or not at all. */
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { BundleError } from '@ratioflow/sdk';

/**
 * Writes the files of a bundle to a folder. An older bundle there is replaced.
 * @throws {BundleError} when the destination holds something that is no bundle, or cannot be written
 */
export async function writeBundle(folder: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const target = resolve(folder);
  await refuseForeign(target);
  await mkdir(dirname(target), { recursive: true });
  const temporary = join(dirname(target), `.${basename(target)}-${process.pid}-${Date.now().toString(36)}`);
  await mkdir(temporary);
  try {
    for (const [name, bytes] of files) {
      const path = join(temporary, ...name.split('/'));
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, bytes, { flush: true });
    }
    const old = `${temporary}.old`;
    const replaced = await rename(target, old).then(() => true, () => false);
    try {
      await rename(temporary, target);
    } catch (error) {
      if (replaced) await rename(old, target);
      throw error;
    }
    if (replaced) await rm(old, { recursive: true });
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw new BundleError(`The bundle could not be written to ${target}: ${(cause as Error).message}. Nothing was left there.`, { cause });
  }
}

async function refuseForeign(target: string): Promise<void> {
  const found = await stat(target).catch(() => null);
  if (!found) return;
  if (!found.isDirectory()) throw new BundleError(`${target} is a file: a bundle is a folder. Choose another name.`);
  const entries = await readdir(target);
  if (entries.length > 0 && !entries.includes('manifest.json')) {
    throw new BundleError(`${target} is a folder that holds ${entries.length} entries and no bundle: it is left alone. Choose another name, or empty it.`);
  }
}
