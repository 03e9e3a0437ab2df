/** The folder of prepared image sets: where it is, and what leaves it when it grows too large. */
import { readdir, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { defaultCacheFolder } from '@ratioflow/node';
import { ArgumentError } from '@ratioflow/sdk';

/** Beside what else is cached: `$RATIOFLOW_CACHE/images`, else `ratioflow/images` in the system's place for caches. */
export const defaultImageCache = (): string => join(dirname(defaultCacheFolder()), 'images');

/** Bytes that prepared sets may take together: RATIOFLOW_CACHE_GB, else 50 GB. */
function cacheLimit(): number {
  const text = process.env['RATIOFLOW_CACHE_GB'] ?? '50';
  const gigabytes = Number(text);
  if (!(gigabytes >= 0) || text.trim() === '') throw new ArgumentError(`RATIOFLOW_CACHE_GB is ${JSON.stringify(text)}; allowed: a number of gigabytes from 0.`);
  return gigabytes * 1e9;
}

/** A file that nobody has written to for so long, of a process that is not here, was left behind by one that was ended. */
const forsakenAfter = 3_600_000;

/**
 * Notes that a set is in use, and removes those that were not used for longest until the others fit; the one in use stays, and so
 * do open files. What first passes that were ended have left goes as well.
 */
export async function useOfCache(folder: string, key: string): Promise<void> {
  const now = new Date();
  // A cache that only somebody else may write is used as it is.
  await utimes(join(folder, `${key}.json`), now, now).catch(() => undefined);
  const limit = cacheLimit();
  const sets: { key: string; size: number; used: number }[] = [];
  for (const name of await readdir(folder)) {
    const writer = /^[0-9a-f]{32}\.bytes\.(\d+)\.tmp$/.exec(name)?.[1];
    if (writer !== undefined) await removeForsaken(join(folder, name), Number(writer));
    const other = /^([0-9a-f]{32})\.json$/.exec(name)?.[1];
    if (other === undefined) continue;
    const [record, bytes] = await Promise.all([stat(join(folder, name)), stat(join(folder, `${other}.bytes`))].map((promise) => promise.catch(() => null)));
    sets.push({ key: other, size: bytes?.size ?? 0, used: record?.mtimeMs ?? 0 });
  }
  let total = sets.reduce((sum, { size }) => sum + size, 0);
  for (const set of sets.sort((a, b) => a.used - b.used)) {
    if (total <= limit) return;
    if (set.key === key) continue;
    // The record goes first: a set without one is made anew.
    for (const extension of ['json', 'bytes']) await rm(join(folder, `${set.key}.${extension}`), { force: true }).catch(() => undefined);
    total -= set.size;
  }
}

/** The time counts as well: another machine with the same folder has processes of its own. */
async function removeForsaken(file: string, writer: number): Promise<void> {
  const touched = await stat(file).then(({ mtimeMs }) => mtimeMs, () => Infinity);
  if (Date.now() - touched > forsakenAfter && !isRunning(writer)) await rm(file, { force: true }).catch(() => undefined);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
