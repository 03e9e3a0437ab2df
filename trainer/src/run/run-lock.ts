/**
 * One process at a time writes into a run's folder: `run.lock` names it while it does. A process that was killed leaves the file behind;
 * the next one sees that it is gone and takes over. On a folder that several machines share, that cannot be seen from another one.
 */
import { rmSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../errors.js';

export const lockFile = 'run.lock';

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process started, in milliseconds since 1970: containers give the same number to one process after the other. */
  readonly started: number;
}

/**
 * Holds a run's folder while `work` runs.
 * @throws {ConfigError} while another process holds it, naming that process
 */
export async function holdingRun<T>(out: string, work: () => Promise<T>): Promise<T> {
  const path = join(out, lockFile);
  await take(path);
  // Where the process ends without returning here; signals that end it at once leave a file that the next one takes over.
  const release = (): void => rmSync(path, { force: true });
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

async function take(path: string): Promise<void> {
  const own: Holder = { pid: process.pid, host: hostname(), started: performance.timeOrigin };
  const create = (): Promise<boolean> => writeFile(path, JSON.stringify(own), { flag: 'wx' }).then(() => true, (cause: unknown) => {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    throw new ConfigError(`${path} cannot be written: ${message}. Make the folder writable, or choose another.`, { cause });
  });
  if (await create()) return;
  const holder = await readHolder(path);
  if (!holder || !isGone(holder, own)) throw inUse(path, holder);
  await rm(path, { force: true });
  if (!(await create())) throw inUse(path, await readHolder(path));
}

/** null for what is no lock, or is just being written. */
const readHolder = (path: string): Promise<Holder | null> => readFile(path, 'utf8').then((text) => JSON.parse(text) as Holder).catch(() => null);

function inUse(path: string, holder: Holder | null): ConfigError {
  const who = holder ? `process ${holder.pid} on ${holder.host}` : 'another process';
  return new ConfigError(`The run is in use: ${path} is held by ${who}. Wait for it, or end it; if there is no such run any more, remove that file.`);
}

function isGone({ pid, host, started }: Holder, own: Holder): boolean {
  if (host !== own.host) return false;
  if (pid === own.pid) return started !== own.started;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    // Of another user, it lives all the same.
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
