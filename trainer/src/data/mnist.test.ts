import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ArgumentError, FormatError } from '@ratioflow/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openMnist } from './mnist.js';

describe('the packaged MNIST', () => {
  it('has the published sizes, class counts and moments', async () => {
    const [train, test] = await Promise.all([openMnist(), openMnist({ split: 'test' })]);
    expect([train.size, test.size]).toEqual([60_000, 10_000]);
    expect(train.sampleShape).toEqual([1, 28, 28]);
    const histogram = (labels: Uint8Array): number[] => labels.reduce((counts, label) => (counts[label]!++, counts), new Array<number>(10).fill(0));
    // Class counts as LeCun, Cortes and Burges publish them.
    expect(histogram(train.labels!)).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    expect(histogram(test.labels!)).toEqual([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    const bytes = new Uint8Array(60_000 * 784);
    await train.readBytes(bytes, 0, 60_000);
    let [sum, squares] = [0, 0];
    for (const byte of bytes) {
      sum += byte;
      squares += byte * byte;
    }
    const mean = sum / bytes.length / 255;
    // The customary normalisation constants of the train split.
    expect(mean).toBeCloseTo(0.1307, 4);
    expect(Math.sqrt(squares / bytes.length / 255 ** 2 - mean ** 2)).toBeCloseTo(0.3081, 4);
  });
});

describe('openMnist', () => {
  let folder = '';
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'ratioflow-mnist-'))));
  afterAll(() => rm(folder, { recursive: true }));
  const images = (count: number, ...data: number[]) => Uint8Array.from([0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 1, 0, 0, 0, 2, ...data]);
  const labels = (...data: number[]) => Uint8Array.from([0, 0, 8, 1, 0, 0, 0, data.length, ...data]);

  it('reads gzipped and dotted names from a folder', async () => {
    await writeFile(join(folder, 'train-images-idx3-ubyte.gz'), gzipSync(images(2, 0, 255, 51, 204)));
    await writeFile(join(folder, 'train-labels.idx1-ubyte'), labels(4, 9));
    const set = await openMnist({ folder });
    expect([set.sampleShape, set.size, [...set.labels!]]).toEqual([[1, 1, 2], 2, [4, 9]]);
    const batch = new Float32Array(2 * 64);
    await set.batch(batch, { seed: 1n, iteration: 0, count: 64 });
    const rows = new Set(Array.from({ length: 64 }, (_, s) => `${batch[2 * s]},${batch[2 * s + 1]}`));
    // v / 127.5 − 1 in float32.
    expect(rows).toEqual(new Set(['-1,1', `${Math.fround(-0.6)},${Math.fround(0.6)}`]));
  });

  it('names the folder and the files that it lacks', async () => {
    const missing = openMnist({ folder: join(folder, 'nowhere') });
    await expect(missing).rejects.toThrow(ArgumentError);
    await expect(openMnist({ folder, split: 'test' })).rejects.toThrow(/lacks t10k-images-idx3-ubyte \(looked for .*t10k-images\.idx3-ubyte\.gz\)/);
  });

  it('refuses files that do not belong together', async () => {
    await writeFile(join(folder, 't10k-images-idx3-ubyte'), images(2, 1, 2, 3, 4));
    await writeFile(join(folder, 't10k-labels-idx1-ubyte'), labels(1, 2, 3));
    await expect(openMnist({ folder, split: 'test' })).rejects.toThrow(/3 labels, but .*t10k-images-idx3-ubyte holds 2 images/);
    await writeFile(join(folder, 't10k-images-idx3-ubyte'), labels(1, 2, 3));
    await expect(openMnist({ folder, split: 'test' })).rejects.toThrow(FormatError);
  });
});
