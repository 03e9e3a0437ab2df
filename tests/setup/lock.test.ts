/** The lock between two set-ups: one at a time, and a dead owner does not hold it for ever. */
import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

type WithLock = <T>(path: string, onWait: () => void, work: () => Promise<T>) => Promise<T>;
const { withLock } = (await import(new URL('../../trainer/native/lock.mjs', import.meta.url).href)) as { withLock: WithLock };

const folder = mkdtempSync(join(tmpdir(), 'ratioflow-lock-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe('withLock', () => {
  it('lets one work at a time, says when it waits, and leaves nothing behind', async () => {
    const path = join(folder, 'shared.lock');
    let inside = 0;
    let most = 0;
    let waits = 0;
    const work = async (): Promise<number> => {
      most = Math.max(most, ++inside);
      await pause(30);
      return inside--;
    };
    await Promise.all(Array.from({ length: 3 }, () => withLock(path, () => waits++, work)));
    expect(most).toBe(1);
    expect(waits).toBe(2);
    expect(existsSync(path)).toBe(false);
  });

  it('is free again after a failure', async () => {
    const path = join(folder, 'failure.lock');
    await expect(withLock(path, () => undefined, () => Promise.reject(new Error('no room')))).rejects.toThrow('no room');
    expect(existsSync(path)).toBe(false);
  });

  it.each([
    ['a process of this machine that is gone', () => JSON.stringify({ pid: spawnSync(process.execPath, ['-e', '']).pid, host: hostname() })],
    ['another machine that stopped touching it', () => JSON.stringify({ pid: process.pid, host: 'elsewhere.invalid' })],
    ['a process that died before it wrote its name', () => ''],
  ])('is taken over from %s', async (_name, content) => {
    const path = join(folder, 'abandoned.lock');
    writeFileSync(path, content());
    const long = new Date(Date.now() - 120_000);
    utimesSync(path, long, long);
    let waited = false;
    expect(await withLock(path, () => (waited = true), () => Promise.resolve('done'))).toBe('done');
    expect(waited).toBe(false);
  });

  it('is respected while its owner lives', async () => {
    const path = join(folder, 'living.lock');
    writeFileSync(path, JSON.stringify({ pid: process.ppid, host: hostname() }));
    let waited = false;
    const attempt = withLock(path, () => (waited = true), () => Promise.resolve(existsSync(path)));
    await pause(50);
    expect(waited).toBe(true);
    rmSync(path);
    expect(await attempt).toBe(true);
  });
});
