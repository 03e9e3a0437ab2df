/** Checkpoints in a folder: which are kept, which one is read, and what happens to damaged ones. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TrainingError } from '../errors.js';
import { listCheckpoints, readCheckpoint, readLatestCheckpoint, setAsideAfter, writeCheckpoint } from './checkpoint.js';

let run: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'ratioflow-checkpoints-'));
});
afterEach(() => rm(run, { recursive: true }));

const arrays = (value: number): ReadonlyMap<string, { shape: number[]; data: Float32Array }> => new Map([['w', { shape: [3], data: Float32Array.of(value, 2, 3) }]]);
const write = (iteration: number, keep = 10): Promise<string> => writeCheckpoint(run, { iteration, arrays: arrays(iteration), metadata: { name: 'toy' } }, { latest: keep });
const file = (iteration: number): string => join(run, 'checkpoints', `${String(iteration).padStart(8, '0')}.safetensors`);

describe('writing', () => {
  it('keeps the latest few', async () => {
    for (const iteration of [5, 10, 15, 20]) await write(iteration, 2);
    expect(await listCheckpoints(run)).toEqual([15, 20]);
    await write(25, 1);
    expect(await listCheckpoints(run)).toEqual([25]);
    await write(25, 3);
    expect(await listCheckpoints(run)).toEqual([25]);
  });

  it('keeps every so many besides, in whatever order they came to be old', async () => {
    for (let iteration = 5; iteration <= 60; iteration += 5) await writeCheckpoint(run, { iteration, arrays: arrays(iteration), metadata: {} }, { latest: 2, every: 20 });
    expect(await listCheckpoints(run)).toEqual([20, 40, 55, 60]);
    await write(65, 1);
    expect(await listCheckpoints(run)).toEqual([65]);
  });

  it('orders by number, not by name, and ignores other files', async () => {
    for (const iteration of [99_999_998, 9, 100]) await write(iteration);
    await writeFile(join(run, 'checkpoints', 'notes.txt'), 'mine');
    expect(await listCheckpoints(run)).toEqual([9, 100, 99_999_998]);
    expect(await readFile(join(run, 'checkpoints', 'notes.txt'), 'utf8')).toBe('mine');
  });

  const root = process.getuid?.() === 0;
  if (root) console.log('skip: root may write into read-only folders');
  it.skipIf(root)('into a read-only folder fails and leaves the old one', async () => {
    await write(5);
    await chmod(join(run, 'checkpoints'), 0o500);
    await expect(write(10)).rejects.toThrow(/00000010\.safetensors cannot be written: permission denied/);
    await chmod(join(run, 'checkpoints'), 0o700);
    expect(await listCheckpoints(run)).toEqual([5]);
  });

  it('where a folder is in the way fails and leaves the old one', async () => {
    await write(5);
    await mkdir(file(10));
    await expect(write(10, 1)).rejects.toThrow(/00000010\.safetensors cannot be written/);
    expect((await readdir(join(run, 'checkpoints'))).sort()).toEqual(['00000005.safetensors', '00000010.safetensors']);
    // That folder is named as unreadable, and the old checkpoint is used.
    const { checkpoint, warnings } = await readLatestCheckpoint(run);
    expect(checkpoint.iteration).toBe(5);
    expect(warnings).toEqual([expect.stringMatching(/00000010\.safetensors cannot be read: EISDIR/)]);
  });
});

describe('reading', () => {
  it('takes the latest', async () => {
    for (const iteration of [5, 10]) await write(iteration);
    const { checkpoint, warnings } = await readLatestCheckpoint(run);
    expect(checkpoint.iteration).toBe(10);
    expect(checkpoint.arrays).toEqual(arrays(10));
    expect(checkpoint.metadata).toMatchObject({ name: 'toy', iteration: '10' });
    expect(warnings).toEqual([]);
  });

  it('takes the one that is asked for, and names those that there are', async () => {
    for (const iteration of [5, 10]) await write(iteration);
    expect((await readCheckpoint(run, 5)).arrays).toEqual(arrays(5));
    await expect(readCheckpoint(run, 7)).rejects.toThrow(/has no checkpoint of iteration 7; there are those of 5, 10\./);
  });

  it('moves what comes after an iteration out of the way, again and again', async () => {
    for (const iteration of [5, 10, 15]) await write(iteration);
    expect(await setAsideAfter(run, 15)).toBeNull();
    expect(await setAsideAfter(run, 5)).toBe(join(run, 'set-aside', '1-after-5'));
    expect(await listCheckpoints(run)).toEqual([5]);
    await write(10);
    expect(await setAsideAfter(run, 5)).toBe(join(run, 'set-aside', '2-after-5'));
    expect((await readdir(join(run, 'set-aside', '1-after-5'))).sort()).toEqual(['00000010.safetensors', '00000015.safetensors']);
    expect(await readdir(join(run, 'set-aside', '2-after-5'))).toEqual(['00000010.safetensors']);
  });

  it('passes damaged and truncated ones over, with a warning each', async () => {
    for (const iteration of [5, 10, 15]) await write(iteration);
    const bytes = await readFile(file(15));
    await writeFile(file(15), bytes.subarray(0, bytes.length - 3));
    const flipped = await readFile(file(10));
    flipped[flipped.length - 1]! ^= 1;
    await writeFile(file(10), flipped);
    const { checkpoint, warnings } = await readLatestCheckpoint(run);
    expect(checkpoint.iteration).toBe(5);
    expect(warnings).toEqual([expect.stringContaining('00000015.safetensors'), expect.stringContaining('00000010.safetensors')]);
  });

  it('says so where there is none, and names every one that was damaged', async () => {
    await expect(readLatestCheckpoint(run)).rejects.toThrow(TrainingError);
    await expect(readLatestCheckpoint(run)).rejects.toThrow(/holds no usable checkpoint: start the run again/);
    await write(5);
    await writeFile(file(5), '');
    await expect(readLatestCheckpoint(run)).rejects.toThrow(/holds no usable checkpoint \(.*00000005\.safetensors is no intact checkpoint: it has 0 bytes/);
  });
});
