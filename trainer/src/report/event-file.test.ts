/** Event files against TensorFlow's own writer (through tfjs-node), TensorBoard's reader where there is one, and resuming. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodePng } from '@ratioflow/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import { encodeEvent, openingEvents, stepOfSummary } from './event.js';
import { openEventFile } from './event-file.js';
import { crc32c, decodeRecords, encodeRecord } from './tf-record.js';

let run: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'ratioflow-events-'));
});
afterEach(() => rm(run, { recursive: true }));

const folder = (): string => join(run, 'tensorboard');
const only = async (): Promise<string> => {
  const names = await readdir(folder());
  expect(names).toHaveLength(1);
  return join(folder(), names[0]!);
};
const steps = async (): Promise<number[]> => [...decodeRecords(await readFile(await only()))].flatMap((record) => stepOfSummary(record) ?? []);
const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find((command) => command !== undefined && spawnSync(command, ['-c', 'import tensorboard']).status === 0);
if (python === undefined) console.log('skip: no Python with tensorboard (set RATIOFLOW_PYTHON): event files are compared with TensorFlow\'s writer only');

it('has the checksums of RFC 3720, appendix B.4', () => {
  expect(crc32c(new Uint8Array(32)).toString(16)).toBe('8a9136aa');
  expect(crc32c(new Uint8Array(32).fill(255)).toString(16)).toBe('62a8ab43');
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)).toString(16)).toBe('46dd794e');
});

const { backend, tf } = await loadTensorFlow();
if (backend !== 'tensorflow') console.log('skip: no native TensorFlow: records are not compared with those that it writes');

describe.skipIf(backend !== 'tensorflow')('beside TensorFlow\'s own writer', () => {
  it('frames its records byte for byte, and finds the steps in them', async () => {
    const writer = (createRequire(import.meta.url)('@tensorflow/tfjs-node-gpu') as { node: { summaryFileWriter(path: string): { scalar(name: string, value: number, step: number): void; flush(): void } } }).node.summaryFileWriter(run);
    expect(tf.getBackend()).toBe('tensorflow');
    for (const step of [1, 2, 300_000]) writer.scalar('loss', 1 / step, step);
    writer.flush();
    const [name] = await readdir(run);
    const theirs = await readFile(join(run, name!));
    const records = [...decodeRecords(theirs)];
    expect(Buffer.concat(records.map(encodeRecord)).equals(theirs)).toBe(true);
    expect(records.map(stepOfSummary)).toEqual([null, 1, 2, 300_000]);
    // The version, after the time (nine bytes) and, in ours, a step that is spelled out (two); theirs goes on with their source.
    const version = Buffer.from(openingEvents(1)[0]!).subarray(11);
    expect(Buffer.from(records[0]!).subarray(9, 9 + version.length).equals(version)).toBe(true);
  });
});

it('stops reading at a record that is cut off or damaged', () => {
  const records = [1, 2, 3].map((step) => encodeRecord(encodeEvent({ wallTime: 1, step, scalars: { loss: step } })));
  const file = Buffer.concat(records);
  const found = (bytes: Uint8Array): number => [...decodeRecords(bytes)].length;
  expect(found(file)).toBe(3);
  for (let length = 0; length < file.length; length += 7) expect(found(file.subarray(0, length))).toBe(Math.floor(length / records[0]!.length));
  for (const at of [0, 9, 14, records[0]!.length - 1]) {
    const damaged = Buffer.from(file);
    damaged[records[0]!.length + at]! ^= 4;
    expect(found(damaged), `byte ${at}`).toBe(1);
  }
});

it('goes on where a checkpoint was, without a step twice', async () => {
  const first = await openEventFile(run, 0);
  for (const step of [1, 2, 3, 4]) first.add({ step, scalars: { loss: step } });
  await first.flush();
  await first.flush();
  expect(await steps()).toEqual([1, 2, 3, 4]);
  const before = await only();
  const kept = [...decodeRecords(await readFile(before))].slice(2, 4);
  // Killed while it wrote.
  await truncate(before, (await readFile(before)).length - 3);
  const resumed = await openEventFile(run, 2);
  expect(await steps()).toEqual([1, 2]);
  expect([...decodeRecords(await readFile(await only()))].slice(2)).toEqual(kept);
  // Readers follow the order of names.
  expect((await only()) > before).toBe(true);
  for (const step of [3, 4, 5]) resumed.add({ step, scalars: { loss: step } });
  await resumed.flush();
  expect(await steps()).toEqual([1, 2, 3, 4, 5]);
  await openEventFile(run, 0);
  expect(await steps()).toEqual([]);
});

it('has no step twice where the file before was not taken away', async () => {
  const first = await openEventFile(run, 0);
  for (const step of [1, 2, 3]) first.add({ step, scalars: { loss: step } });
  await first.flush();
  const before = await only();
  const bytes = await readFile(before);
  const second = await openEventFile(run, 2);
  second.add({ step: 3, scalars: { loss: 3 } });
  await second.flush();
  // Killed between writing the new file and removing this one.
  await writeFile(before, bytes);
  await openEventFile(run, 3);
  expect(await steps()).toEqual([1, 2, 3]);
});

it('leaves what is no event file alone, and names file and remedy where it cannot write', async () => {
  await openEventFile(run, 0);
  await writeFile(join(folder(), 'notes.txt'), 'mine');
  const events = await openEventFile(run, 0);
  expect((await readdir(folder())).filter((name) => !name.startsWith('events'))).toEqual(['notes.txt']);
  await rm(folder(), { recursive: true });
  events.add({ step: 1, scalars: { loss: 1 } });
  await expect(events.flush()).rejects.toThrow(/tfevents.* cannot be written: ENOENT.*--resume/);
});

describe.skipIf(python === undefined)('in TensorBoard', () => {
  it('is read as it was written, resumed or not', async () => {
    const first = await openEventFile(run, 0);
    for (const step of [1, 2, 3]) first.add({ step, scalars: { loss: 9 } });
    await first.flush();
    const events = await openEventFile(run, 1);
    const png = await encodePng({ shape: [2, 3, 4, 5], data: new Float32Array(120).fill(0.5) });
    events.add({ step: 2, scalars: { loss: -0.25, 'log_ratio/data': -3 } });
    events.add({ step: 2, picture: { tag: 'preview', png } });
    await events.flush();
    const code = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
found = EventAccumulator(sys.argv[1]).Reload()
image = found.Images("preview")[0]
print(json.dumps([[[e.step, e.value] for e in found.Scalars(tag)] for tag in ("loss", "log_ratio/data")] + [[image.step, image.width, image.height, image.encoded_image_string.hex()]]))`;
    const { stdout, stderr } = spawnSync(python!, ['-c', code, folder()], { encoding: 'utf8' });
    expect(stdout, stderr).not.toBe('');
    expect(JSON.parse(stdout)).toEqual([[[1, 9], [2, -0.25]], [[2, -3]], [2, 12, 4, Buffer.from(png).toString('hex')]]);
  });
});
