/** CIFAR-10's binary files and .npy arrays, made here byte by byte in their formats, and what is refused. */
import { mkdir, mkdtemp, open, rm, truncate, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeNpy } from '@ratioflow/sdk/npy';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { openCifar10 } from './cifar10.js';
import type { ImageDataset } from './dataset.js';
import { openNpySet } from './npy-set.js';
import { drawOrder } from './order.js';

let folder: string;
let cifar: string;
const byteAt = (file: number, record: number, at: number): number => (file * 31 + record * 7 + at) % 256;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-arrays-'));
  cifar = join(folder, 'cifar-10-batches-bin');
  await mkdir(cifar);
  for (let file = 1; file <= 6; file++) {
    const records = Buffer.concat([0, 1, 2, 3].map((record) => Buffer.from([(file + record) % 10, ...Array.from({ length: 3072 }, (_, at) => byteAt(file, record, at))])));
    await writeFile(join(cifar, file === 6 ? 'test_batch.bin' : `data_batch_${file}.bin`), records);
  }
});
afterAll(() => rm(folder, { recursive: true }));

it('CIFAR-10: records in the order of the files, labels, classes, the test split', async () => {
  const set = await openCifar10({ folder });
  expect(set).toMatchObject({ size: 20, sampleShape: [3, 32, 32] });
  expect(set.classNames?.[3]).toBe('cat');
  expect([...set.labels!.subarray(0, 8)]).toEqual([1, 2, 3, 4, 2, 3, 4, 5]);
  const bytes = new Uint8Array(3072);
  await set.readBytes(bytes, 6, 1);
  expect([...bytes]).toEqual(Array.from({ length: 3072 }, (_, at) => byteAt(2, 2, at)));
  expect((await openCifar10({ folder: cifar, split: 'test' })).size).toBe(4);
  const some = await openCifar10({ folder, classes: [4, 8] });
  // File f, record r has the class f + r: 4 three times (1,3 2,2 3,1 4,0), 8 from 5,3.
  expect([...some.labels!]).toEqual([4, 4, 4, 4, 8]);
  await some.readBytes(bytes, 4, 1);
  expect(bytes[5]).toBe(byteAt(5, 3, 5));
  await expect(openCifar10({ folder, classes: [0] })).rejects.toThrow(/no image of class 0; data\.classes can name 1, 2, 3, 4, 5, 6, 7, 8/);
});

it('CIFAR-10: missing, truncated and foreign files by name', async () => {
  await expect(openCifar10({ folder: join(folder, 'nowhere') })).rejects.toThrow(/data_batch_1\.bin .*cifar-10-binary\.tar\.gz/);
  await truncate(join(cifar, 'test_batch.bin'), 5000);
  await expect(openCifar10({ folder, split: 'test' })).rejects.toThrow(/test_batch\.bin: 5000 bytes are no whole number of records of 3073/);
  await writeFile(join(cifar, 'test_batch.bin'), Buffer.alloc(3073, 77));
  await expect(openCifar10({ folder, split: 'test' })).rejects.toThrow(/the label at byte 0 is 77, labels are 0 to 9/);
});

it('.npy: bytes as images with labels, floats as they are', async () => {
  const save = async (name: string, shape: number[], data: Uint8Array | Float32Array | Int32Array | Float64Array): Promise<string> => {
    await writeFile(join(folder, name), encodeNpy({ shape, data }));
    return join(folder, name);
  };
  const images = await save('images.npy', [6, 1, 8, 8], Uint8Array.from({ length: 6 * 64 }, (_, i) => i % 256));
  const labels = await save('labels.npy', [6], Int32Array.of(0, 1, 2, 0, 1, 2));
  const set = (await openNpySet({ path: images, labels, classes: [1] })) as ImageDataset;
  expect([set.size, [...set.labels!]]).toEqual([2, [1, 1]]);
  const points = Float32Array.from({ length: 15 }, (_, i) => i / 3);
  const floats = await openNpySet({ path: await save('points.npy', [5, 3], points) });
  expect(floats).toMatchObject({ size: 5, sampleShape: [3], valueRange: null });
  const draw = { seed: 1, iteration: 2, count: 7 };
  const out = new Float32Array(21);
  await floats.batch(out, draw);
  expect([...out]).toEqual([...drawOrder(draw, 5).indices].flatMap((index) => [...points.subarray(3 * index, 3 * index + 3)]));

  await expect(openNpySet({ path: await save('nan.npy', [2, 2], Float32Array.of(1, 2, NaN, 0)) })).rejects.toThrow(/sample 1 holds NaN/);
  await expect(openNpySet({ path: await save('flat.npy', [4], new Float32Array(4)) })).rejects.toThrow(/shape \[4\]; samples are/);
  await expect(openNpySet({ path: await save('double.npy', [4, 2], new Float64Array(8)) })).rejects.toThrow(/neither uint8 nor float32/);
  await expect(openNpySet({ path: images, labels: await save('few.npy', [2], Int32Array.of(0, 1)) })).rejects.toThrow(/few\.npy: .*one label for each of 6/);
  await expect(openNpySet({ path: images, labels: await save('far.npy', [6], Int32Array.of(0, 1, 2, 0, 1, 300)) })).rejects.toThrow(/label 300 of sample 5 is out of range/);
  await expect(openNpySet({ path: await save('last.npy', [2, 8, 8, 3], new Uint8Array(384)) })).rejects.toThrow(/\[8, 8, 3\] look as if their channels came last.*transpose\(0, 3, 1, 2\)/);
  const bright = Float32Array.from({ length: 2 * 64 }, (_, i) => (i === 70 ? 255 : 0.5));
  await expect(openNpySet({ path: await save('bright.npy', [2, 1, 8, 8], bright) })).rejects.toThrow(/sample 1 holds 255; images have values in \[−1, 1\]/);
  await expect(openNpySet({ path: join(folder, 'none.npy') })).rejects.toThrow(/none\.npy cannot be read/);
});

it('.npy: arrays of more than 2 GiB', async () => {
  // Three gigabyte images of which the disk holds the header alone: holes read as zeros.
  const [path, side] = [join(folder, 'huge.npy'), 2 ** 15];
  const header = Buffer.from(encodeNpy({ shape: [1], data: Uint8Array.of(0) })).subarray(0, -1);
  const shape = `(3, 1, ${side}, ${side})`;
  await writeFile(path, header.toString('latin1').replace(/\(1,\)( *)/, (_, spaces: string) => shape + spaces.slice(shape.length - 4)), 'latin1');
  await truncate(path, header.length + 3 * side ** 2);
  // Reading the holes would take seconds, so it is left out; what node cannot read at once (its process ends) is refused.
  const file = await open(path);
  const prototype = Object.getPrototypeOf(file) as FileHandle;
  const read = prototype.read.bind(file) as (...args: unknown[]) => Promise<unknown>;
  vi.spyOn(prototype, 'read').mockImplementation((async (buffer: Uint8Array, offset: number, length: number, position: number) => {
    if (length >= 2 ** 31) throw new RangeError(`${length} bytes at once`);
    return position > 0 ? { bytesRead: length, buffer } : read(buffer, offset, length, position);
  }) as never);
  expect(await openNpySet({ path })).toMatchObject({ size: 3, sampleShape: [1, side, side] });
  vi.restoreAllMocks();
  await file.close();
});
