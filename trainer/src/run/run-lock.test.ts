/** The lock of a run's folder: held by one, released at the end, taken over from the dead. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ConfigError } from '../errors.js';
import { holdingRun, lockFile } from './run-lock.js';

let run: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'ratioflow-lock-'));
});
afterEach(() => rm(run, { recursive: true }));

const path = (): string => join(run, lockFile);
const held = (): Promise<string> => holdingRun(run, () => readFile(path(), 'utf8'));
const leave = (holder: object): Promise<void> => writeFile(path(), JSON.stringify({ pid: process.pid, host: hostname(), started: performance.timeOrigin, ...holder }));

it('names the process while work runs, and is gone afterwards, also when it fails', async () => {
  expect(JSON.parse(await held())).toMatchObject({ pid: process.pid, host: hostname() });
  expect(await readdir(run)).toEqual([]);
  await expect(holdingRun(run, () => Promise.reject(new Error('no idea')))).rejects.toThrow('no idea');
  expect(await readdir(run)).toEqual([]);
});

it('refuses a second one, in this process and in others, and stays the first one\'s', async () => {
  await holdingRun(run, async () => {
    await expect(held()).rejects.toThrow(ConfigError);
    await expect(held()).rejects.toThrow(new RegExp(`run\\.lock is held by process ${process.pid} on ${hostname()}\\. Wait for it, or end it; .* remove that file`));
    expect(await readdir(run)).toEqual([lockFile]);
  });
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  await leave({ pid: child.pid });
  await expect(held()).rejects.toThrow(`held by process ${child.pid} on`);
  child.kill('SIGKILL');
});

it('is taken over from a process that is dead, or was another one of the same number', async () => {
  await leave({ pid: spawnSync(process.execPath, ['-e', '']).pid });
  expect(JSON.parse(await held())).toMatchObject({ pid: process.pid });
  await leave({ started: performance.timeOrigin - 1000 });
  expect(JSON.parse(await held())).toMatchObject({ started: performance.timeOrigin });
});

it('is left alone where the process cannot be looked for', async () => {
  await leave({ host: 'elsewhere' });
  await expect(held()).rejects.toThrow(`held by process ${process.pid} on elsewhere`);
  await writeFile(path(), '');
  await expect(held()).rejects.toThrow('held by another process');
});
