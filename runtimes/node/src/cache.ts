/**
 * Files of bundles that came from the network, kept on disk under their SHA-256, so that the same file is fetched once
 * whatever bundle it belongs to. A file is there completely or not at all, and is checked again whenever it is used.
 */
import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from './write-file.js';

/** Where copies are kept unless said otherwise: `$RATIOFLOW_CACHE`, else the system's place for caches. */
export function defaultCacheFolder(): string {
  const { RATIOFLOW_CACHE: own, XDG_CACHE_HOME: xdg, LOCALAPPDATA: local } = process.env;
  const system = process.platform === 'win32' ? local ?? join(homedir(), 'AppData', 'Local')
    : process.platform === 'darwin' ? join(homedir(), 'Library', 'Caches') : xdg ?? join(homedir(), '.cache');
  return join(own ?? join(system, 'ratioflow'), 'bundles');
}

/** The file with this hash, `make` being asked for it when there is no copy that is whole. */
export async function cached(folder: string | false, sha256: string | undefined, make: () => Promise<Uint8Array>): Promise<Uint8Array> {
  // The hash becomes a file name.
  if (folder === false || sha256 === undefined || !/^[0-9a-f]{64}$/.test(sha256)) return make();
  const path = join(folder, sha256);
  const kept = await readFile(path).catch(() => undefined);
  if (kept !== undefined) {
    if (hashOf(kept) === sha256) return new Uint8Array(kept.buffer, kept.byteOffset, kept.byteLength);
    await rm(path, { force: true }).catch(() => undefined);
  }
  const bytes = await make();
  // A full disk or a read-only home must not keep anybody from using what is in memory already.
  if (hashOf(bytes) === sha256) await writeFileAtomic(path, bytes).catch(() => undefined);
  return bytes;
}

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
