import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodePng, readPixels, writeNpy } from '@ratioflow/node';
import { normals, purposes } from '@ratioflow/sdk';
import * as tf from '@tensorflow/tfjs';
import { Matrix, CholeskyDecomposition } from 'ml-matrix';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { imageArray } from '../data/image-array.js';
import { ddpOfFile, ddpPriorOfFile } from './ddp-file.js';
import { ddpStatistics } from './ddp.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-ddp-'));
  vi.stubEnv('RATIOFLOW_CACHE', join(folder, 'cache'));
});
afterAll(() => {
  vi.unstubAllEnvs();
  return rm(folder, { recursive: true });
});

const shape = [3, 2, 2] as const;
const count = 700;
/** Images of several chunks, 12 bytes each. */
const bytes = Uint8Array.from({ length: count * 12 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 25) + (i % 12) * 10);

/** Mean and Cholesky factor by ml-matrix, in double. */
function reference(values: ArrayLike<number>, d: number): { mean: number[]; factor: number[] } {
  const n = values.length / d;
  const mean = Array.from({ length: d }, (_, i) => Array.from({ length: n }, (_, s) => values[s * d + i]!).reduce((a, b) => a + b, 0) / n);
  const centred = new Matrix(Array.from({ length: n }, (_, s) => Array.from({ length: d }, (_, i) => values[s * d + i]! - mean[i]!)));
  const covariance = centred.transpose().mmul(centred).div(n).add(Matrix.eye(d, d).mul(1e-4));
  return { mean, factor: new CholeskyDecomposition(covariance).lowerTriangularMatrix.to1DArray() };
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, digits: number): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) expect(actual[i]).toBeCloseTo(expected[i]!, digits);
}

describe('ddpOfFile', () => {
  it('takes bytes as pixels: the very numbers of a data set of the same images', async () => {
    await writeNpy(join(folder, 'bytes.npy'), { shape: [count, ...shape], data: bytes });
    const expected = await ddpStatistics(imageArray({ name: 'same', sampleShape: [...shape], images: bytes, labels: null }));
    expect(await ddpOfFile(join(folder, 'bytes.npy'), shape)).toEqual(expected);
  });

  it('takes floats as they are, by either engine, with a mean far from zero', async () => {
    const values = Float32Array.from(normals({ seed: 3, purpose: purposes.testVectors, step: 0, count: 1, elements: 600 * 5 }), (v, i) => 100 * (i % 5) + v * (1 + (i % 3)));
    await writeNpy(join(folder, 'points.npy'), { shape: [600, 5], data: values });
    const expected = reference(values, 5);
    // tfjs's own CPU backend under another name, so that the matrix products run and not the loop.
    tf.registerBackend('products', () => tf.findBackendFactory('cpu')());
    await tf.setBackend('cpu');
    for (const kernel of tf.getKernelsForBackend('cpu')) tf.registerKernel({ ...kernel, backendName: 'products' });
    await tf.setBackend('products');
    for (const options of [{}, { tf }]) {
      const { mean, factor } = await ddpOfFile(join(folder, 'points.npy'), [5], options);
      expectClose(mean, expected.mean, 3);
      expectClose(factor, expected.factor, 4);
    }
    const images = Float32Array.from(bytes, (v) => v / 127.5 - 1);
    await writeNpy(join(folder, 'images.npy'), { shape: [count, ...shape], data: images });
    expectClose((await ddpOfFile(join(folder, 'images.npy'), shape)).factor, (await ddpOfFile(join(folder, 'bytes.npy'), shape)).factor, 5);
  });

  it('takes folders of images, subfolders included', async () => {
    const images = join(folder, 'images');
    await mkdir(join(images, 'more'), { recursive: true });
    for (let n = 0; n < 6; n++) {
      const picture = { shape: [1, ...shape], data: Float32Array.from(bytes.subarray(n * 12, (n + 1) * 12), (v) => v / 127.5 - 1) };
      await writeFile(join(images, n % 2 ? 'more' : '', `${n}.png`), await encodePng(picture));
    }
    expect((await readPixels(join(images, '0.png'), { channels: 3, name: '0.png', needed: 'colours' })).data).toEqual(bytes.slice(0, 12));
    const { mean, factor } = await ddpOfFile(images, shape);
    const expected = reference(Array.from(bytes.subarray(0, 72), (v) => v / 127.5 - 1), 12);
    expectClose(mean, expected.mean, 6);
    expectClose(factor, expected.factor, 5);
  });

  it('makes a low-rank prior of large images, around their mean', async () => {
    const large = [1, 60, 60] as const;
    const d = 3600;
    // Two directions, and noise of one level or two.
    const images = Uint8Array.from({ length: 40 * d }, (_, i) => 120 + Math.round(60 * Math.sin(Math.floor(i / d) * 1.3) * Math.cos((i % d) / 60)) + (i * 7) % 3);
    await writeNpy(join(folder, 'large.npy'), { shape: [40, ...large], data: images });
    await tf.setBackend('cpu');
    const made = await ddpPriorOfFile(join(folder, 'large.npy'), large, { tf });
    expect(made.kind).toBe('ddp-low-rank');
    for (const pixel of [0, 1234, 3599]) {
      let mean = 0;
      for (let n = 0; n < 40; n++) mean += (images[n * d + pixel]! / 127.5 - 1) / 40;
      expect(made.mean[pixel]).toBeCloseTo(mean, 5);
    }
    await writeNpy(join(folder, 'floats.npy'), { shape: [2, ...large], data: new Float32Array(2 * d) });
    await expect(ddpPriorOfFile(join(folder, 'floats.npy'), large, { tf })).rejects.toThrow(/floats\.npy holds floats; a low-rank prior.*save the images as uint8/);
    await expect(ddpPriorOfFile(join(folder, 'none'), large, { tf })).rejects.toThrow(/none" cannot be read/);
  });

  it('says what does not fit', async () => {
    const path = join(folder, 'bad.npy');
    const npy = async (dims: number[], data: Float32Array | Uint8Array): Promise<string> => {
      await writeNpy(path, { shape: dims, data });
      return path;
    };
    await expect(ddpOfFile(join(folder, 'none'), shape)).rejects.toThrow(/none" cannot be read/);
    await expect(ddpOfFile(await npy([2, 3, 2, 3], new Float32Array(36)), shape)).rejects.toThrow(/has the shape \[2, 3, 2, 3\]; the prior of this estimator needs \[count, 3, 2, 2\]/);
    await expect(ddpOfFile(await npy([3, 3, 2, 2], new Float32Array(36).fill(200)), shape)).rejects.toThrow(/holds the value 200; images have values in \[−1, 1\]: save bytes as uint8/);
    await expect(ddpOfFile(await npy([3, 2], new Float32Array(6).fill(NaN)), [2])).rejects.toThrow(/holds the value NaN: every value must be finite/);
    await expect(ddpOfFile(await npy([3, 2], new Uint8Array(6)), [2])).rejects.toThrow(/points are float32/);
    await expect(ddpOfFile(path, [3, 64, 64])).rejects.toThrow(/12288 × 12288 factor of 0\.6 GB.*low-rank/);
    await expect(ddpOfFile(join(folder, 'images'), [3, 4, 4])).rejects.toThrow(/unreadable image 0\.png: 2 × 2 pixels; needed: 4 × 4\. Remove or replace it\.$/);
    await expect(ddpOfFile(join(folder, 'images', 'more'), [7])).rejects.toThrow(/samples are \[7\]: give an array/);
    await writeFile(join(folder, 'images', '0.png'), 'no picture');
    await expect(ddpOfFile(join(folder, 'images'), shape)).rejects.toThrow(/unreadable image 0\.png: /);
    await writeFile(path, 'no array');
    await expect(ddpOfFile(path, shape)).rejects.toThrow(/bad\.npy is no \.npy file/);
  });
});
