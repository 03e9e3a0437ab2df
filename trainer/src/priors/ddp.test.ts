import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { ArgumentError } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import type { ImageDataset } from '../data/dataset.js';
import { imageArray } from '../data/image-array.js';
import { openDataset } from '../data/open.js';
import { ddpOnTensors, ddpStatistics } from './ddp.js';
import { byteMoments } from './moments.js';
import { createPrior } from './prior.js';

/** Images with correlated, partly black pixels: larger than a chunk of the streaming sum. */
function correlated(size: number, [c, h, w]: [number, number, number]): { images: Uint8Array; set: ImageDataset } {
  const images = new Uint8Array(size * c * h * w);
  let state = 1;
  for (let i = 0; i < images.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    images[i] = i % 3 === 0 ? state >>> 24 : Math.max(0, (images[i - 1]! + (state >>> 26)) % 300 - 44);
  }
  return { images, set: imageArray({ name: 'correlated', sampleShape: [c, h, w], images, labels: null }) };
}

describe('byteMoments', () => {
  it('are the exact integers, by either engine', async () => {
    const { images, set } = correlated(2500, [1, 3, 2]);
    const [sums, products] = [new Array<bigint>(6).fill(0n), new Array<bigint>(36).fill(0n)];
    for (let s = 0; s < 2500; s++) {
      for (let i = 0; i < 6; i++) {
        sums[i]! += BigInt(images[6 * s + i]!);
        for (let j = 0; j < 6; j++) products[6 * i + j]! += BigInt(images[6 * s + i]! * images[6 * s + j]!);
      }
    }
    // tfjs's own CPU backend under another name, so that the matrix products run and not the loop.
    tf.registerBackend('matrix-products', () => tf.findBackendFactory('cpu')());
    await tf.setBackend('cpu');
    for (const kernel of tf.getKernelsForBackend('cpu')) tf.registerKernel({ ...kernel, backendName: 'matrix-products' });
    await tf.setBackend('matrix-products');
    const done: number[] = [];
    const before = tf.memory().numTensors;
    for (const moments of [await byteMoments(set), await byteMoments(set, { tf, onProgress: (n) => done.push(n) })]) {
      expect([...moments.sums]).toEqual(sums.map(Number));
      for (let i = 0; i < 6; i++) {
        for (let j = 0; j <= i; j++) expect(moments.products[6 * i + j]).toBe(Number(products[6 * i + j]));
      }
    }
    expect(done).toEqual([1024, 2048, 2500]);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('ddpStatistics', () => {
  it('agrees with the covariance written out in double, and L·Lᵀ is cov + 1e-4 · I', async () => {
    const d = 12;
    const { images, set } = correlated(1500, [3, 2, 2]);
    const { mean, factor } = await ddpStatistics(set);
    const x = Float64Array.from(images, (v) => v / 127.5 - 1);
    const means = Array.from({ length: d }, (_, i) => average(1500, (s) => x[s * d + i]!));
    for (let i = 0; i < d; i++) {
      expect(mean[i]).toBeCloseTo(means[i]!, 6);
      for (let j = 0; j < d; j++) {
        const covariance = average(1500, (s) => (x[s * d + i]! - means[i]!) * (x[s * d + j]! - means[j]!)) + (i === j ? 1e-4 : 0);
        let product = 0;
        for (let k = 0; k < d; k++) product += factor[i * d + k]! * factor[j * d + k]!;
        expect(product).toBeCloseTo(covariance, 6);
      }
    }
  });

  it('draws with the moments of the data', async () => {
    const d = 6;
    // Narrow data, so that the clamp of the prior hardly ever acts: its moments are then those of the Gaussian.
    const narrow = correlated(2000, [1, 2, 3]).images.map((v) => 100 + v / 6);
    const state = await ddpStatistics(imageArray({ name: 'narrow', sampleShape: [1, 2, 3], images: narrow, labels: null }));
    const count = 40_000;
    const out = new Float32Array(count * d);
    createPrior({ kind: 'ddp', ...state }, [1, 2, 3]).draw(out, { seed: 2n, count });
    for (let i = 0; i < d; i++) {
      const [mean, data] = [average(count, (s) => out[s * d + i]!), average(2000, (s) => narrow[s * d + i]! / 127.5 - 1)];
      const deviation = Math.sqrt(covarianceOf(narrow, 2000, i, i));
      expect(Math.abs(mean - data)).toBeLessThan((4.5 * deviation) / Math.sqrt(count));
      for (let j = 0; j <= i; j++) {
        const expected = covarianceOf(narrow, 2000, i, j) + (i === j ? 1e-4 : 0);
        const [mi, mj] = [mean, average(count, (s) => out[s * d + j]!)];
        const actual = average(count, (s) => (out[s * d + i]! - mi) * (out[s * d + j]! - mj));
        const scale = Math.sqrt(covarianceOf(narrow, 2000, i, i) * covarianceOf(narrow, 2000, j, j));
        expect(Math.abs(actual - expected) / scale).toBeLessThan(0.03);
      }
    }
    function covarianceOf(bytes: Uint8Array, n: number, i: number, j: number): number {
      const [mi, mj] = [average(n, (s) => bytes[s * d + i]!), average(n, (s) => bytes[s * d + j]!)];
      return average(n, (s) => (bytes[s * d + i]! - mi) * (bytes[s * d + j]! - mj)) / 127.5 ** 2;
    }
  });

  it('refuses sets without images, and images too large for a full factor', async () => {
    await expect(ddpStatistics(await openDataset({ name: 'swiss-roll' }))).rejects.toThrow(ArgumentError);
    const floats = { name: 'floats.npy', sampleShape: [1, 8, 8], size: 5, labels: null, valueRange: [-1, 1] as const, batch: () => Promise.resolve() };
    await expect(ddpStatistics(floats)).rejects.toThrow('needs a finite set of images in bytes (uint8 [N, C, H, W]); floats.npy holds float32 images. Save images as uint8');
    const large = imageArray({ name: 'large', sampleShape: [3, 64, 64], images: new Uint8Array(3 * 64 * 64), labels: null });
    await expect(ddpStatistics(large)).rejects.toThrow(/12288 × 12288 factor of 0\.6 GB/);
  });

  const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find(
    (command) => command !== undefined && spawnSync(command, ['-c', 'import numpy']).status === 0,
  );
  if (python === undefined) console.log('skip: no Python with numpy (set RATIOFLOW_PYTHON): MNIST statistics are not compared with numpy');
  it.skipIf(python === undefined)('agrees with numpy on the MNIST test split', async () => {
    const set = (await openDataset({ name: 'mnist', split: 'test' })) as ImageDataset;
    const bytes = new Uint8Array(set.size * 784);
    await set.readBytes(bytes, 0, set.size);
    const { mean, factor } = await ddpStatistics(set);
    const folder = mkdtempSync(join(tmpdir(), 'ratioflow-numpy-'));
    try {
      writeFileSync(join(folder, 'x'), bytes);
      const script = `
import numpy as np
x = np.fromfile(${JSON.stringify(join(folder, 'x'))}, np.uint8).reshape(-1, 784) / 127.5 - 1
factor = np.linalg.cholesky(np.cov(x.T, bias=True) + 1e-4 * np.eye(784))
np.concatenate([x.mean(0), factor.ravel()]).tofile(${JSON.stringify(join(folder, 'y'))})`;
      const run = spawnSync(python!, ['-c', script], { encoding: 'utf8' });
      expect(run.stderr).toBe('');
      const expected = new Float64Array(new Uint8Array(readFileSync(join(folder, 'y'))).buffer);
      // Half a unit in the last place of float32 at most 1 in size, and the reference's own rounding.
      expect(largestDifference(mean, expected.subarray(0, 784))).toBeLessThan(6.1e-8);
      expect(largestDifference(factor, expected.subarray(784))).toBeLessThan(6.1e-8);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('ddpOnTensors', () => {
  it('maps z as the plain prior does and frees what it made', async () => {
    const state = await ddpStatistics(correlated(300, [1, 4, 5]).set);
    const prior = createPrior({ kind: 'ddp', ...state }, [1, 4, 5]);
    const [z, x] = [new Float32Array(140), new Float32Array(140)];
    prior.drawLatent(z, { seed: 1n, count: 7 });
    prior.transform(x, z);
    const before = tf.memory().numTensors;
    const onTensors = ddpOnTensors(tf, state);
    const input = tf.tensor2d(z, [7, 20]);
    const output = onTensors.transform(input);
    expect(largestDifference(await output.data<'float32'>(), x)).toBeLessThan(2e-6);
    tf.dispose([input, output]);
    onTensors.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

function average(n: number, f: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += f(i);
  return sum / n;
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}
