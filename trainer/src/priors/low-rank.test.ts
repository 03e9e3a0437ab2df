/** The low-rank prior against the dense covariance (ml-matrix in double), against its graph, and its moments by sampling. */
import { createRuntime } from '@ratioflow/node';
import { priorGraph, writeModel } from '@ratioflow/export';
import { fillNormals, normals, purposes } from '@ratioflow/sdk';
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { beforeAll, expect, it } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import type { TensorFlow } from '../backend/tensorflow.js';
import { imageArray } from '../data/image-array.js';
import type { ImageDataset } from '../data/dataset.js';
import { lowRankStatistics } from './low-rank.js';
import { createPrior } from './prior.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const [d, count, factors] = [3 * 5 * 5, 700, 4];

/** Images whose variance lies in few directions, of falling size, with a little noise of its own for every place. */
function images(noise: number): ImageDataset {
  const directions = normals({ seed: 1, purpose: purposes.testVectors, step: 0, count: factors, elements: d });
  const z = normals({ seed: 1, purpose: purposes.testVectors, step: 1, count, elements: factors + d });
  const bytes = Uint8Array.from({ length: count * d }, (_, at) => {
    const [s, i] = [Math.floor(at / d), at % d];
    let value = 128 + noise * (1 + (i % 3)) * z[s * (factors + d) + factors + i]!;
    for (let k = 0; k < factors; k++) value += (20 / (k + 1)) * directions[k * d + i]! * z[s * (factors + d) + k]!;
    return Math.min(255, Math.max(0, Math.round(value)));
  });
  return imageArray({ name: 'low', sampleShape: [3, 5, 5], images: bytes, labels: null });
}

async function covarianceOf(set: ImageDataset): Promise<Matrix> {
  const bytes = new Uint8Array(count * d);
  await set.readBytes(bytes, 0, count);
  const x = new Matrix(Array.from({ length: count }, (_, s) => Array.from(bytes.subarray(s * d, (s + 1) * d), (byte) => byte / 127.5 - 1)));
  x.subRowVector(x.mean('column'));
  return x.transpose().mmul(x).div(count);
}

it('explains as much variance as the leading eigenvectors do, and keeps every place\'s own variance', async () => {
  const set = images(2);
  const covariance = await covarianceOf(set);
  const values = new EigenvalueDecomposition(covariance, { assumeSymmetric: true }).realEigenvalues.sort((a, b) => b - a);
  const total = values.reduce((a, b) => a + b, 0);
  const { state, rank, explained } = await lowRankStatistics(set, { tf, seed: 3, rank: 20, explained: 0.9 });
  let [sum, expected] = [0, 0];
  while (sum < 0.9 * total) sum += values[expected++]!;
  expect(rank).toBe(expected);
  expect(explained).toBeCloseTo(sum / total, 4);
  // S (I + V M Vᵀ) S.
  const model = (i: number, j: number): number => {
    let inner = i === j ? 1 : 0;
    for (let k = 0; k < rank; k++) inner += state.basis[i * rank + k]! * state.basis[j * rank + k]! * ((state.gains[k]! + 1) ** 2 - 1);
    return state.deviation[i]! * inner * state.deviation[j]!;
  };
  for (let i = 0; i < d; i++) expect(model(i, i)).toBeCloseTo(covariance.get(i, i) + 1e-4, 4);
  // Off the diagonal it is the best approximation of that rank, whose largest error is at most the first value left out.
  for (let i = 0; i < d; i++) for (let j = 0; j < i; j++) expect(Math.abs(model(i, j) - covariance.get(i, j))).toBeLessThan(values[rank]!);
});

it('is the whole covariance when the rank is', async () => {
  const set = images(0.5);
  const covariance = await covarianceOf(set);
  const { state, rank } = await lowRankStatistics(set, { tf, seed: 3, rank: d, explained: 1 });
  let largest = 0;
  for (let i = 0; i < d; i++) {
    for (let j = 0; j < d; j++) {
      let inner = i === j ? 1 : 0;
      for (let k = 0; k < rank; k++) inner += state.basis[i * rank + k]! * state.basis[j * rank + k]! * ((state.gains[k]! + 1) ** 2 - 1);
      largest = Math.max(largest, Math.abs(state.deviation[i]! * inner * state.deviation[j]! - covariance.get(i, j) - (i === j ? 1e-4 : 0)));
    }
  }
  expect(largest).toBeLessThan(2e-5);
});

it('of images that are all the same is their mean and the ridge', async () => {
  const same = imageArray({ name: 'same', sampleShape: [3, 5, 5], images: new Uint8Array(6 * d).fill(51), labels: null });
  const { state, explained } = await lowRankStatistics(same, { tf, seed: 3, rank: 3 });
  expect(explained).toBe(1);
  const prior = createPrior({ kind: 'ddp-low-rank', ...state }, same.sampleShape);
  const [z, x] = [normals({ seed: 1, purpose: purposes.testVectors, step: 2, count: 2, elements: d }), new Float32Array(2 * d)];
  prior.transform(x, z);
  // 51 / 127.5 − 1, and a deviation of √10⁻⁴.
  x.forEach((value, i) => expect(value).toBeCloseTo(-0.6 + 0.01 * z[i]!, 5));
});

it('is the same map in prior.onnx, and stays in the range of images', async () => {
  const { state } = await lowRankStatistics(images(2), { tf, seed: 3, rank: 5, explained: 1 });
  const source = { kind: 'ddp-low-rank', ...state } as const;
  const prior = createPrior(source, [3, 5, 5]);
  expect(prior.kind).toBe('ddp');
  const z = new Float32Array(64 * d);
  fillNormals(z, { seed: 9, purpose: purposes.prior, step: 0 }, { count: 64, elements: d });
  const expected = new Float32Array(z.length);
  prior.draw(expected, { seed: 9, count: 64 });
  const session = await createRuntime().load({ name: 'prior', model: writeModel(priorGraph(source, [3, 5, 5])) });
  const { x0 } = await session.run({ z: { shape: [64, d], data: z } });
  await session.dispose();
  expect(x0!.shape).toEqual([64, 3, 5, 5]);
  expect(Math.max(...expected.map((value, i) => Math.abs(value - (x0!.data as Float32Array)[i]!)))).toBeLessThan(2e-6);
  expect(Math.max(...expected.map(Math.abs))).toBeLessThanOrEqual(1);
});

it('refuses a state of another shape', async () => {
  const { state } = await lowRankStatistics(images(2), { tf, seed: 3, rank: 5, explained: 1 });
  expect(() => createPrior({ kind: 'ddp-low-rank', ...state }, [3, 6, 6])).toThrow(/rank 5: a mean of 75 .* don't fit samples of \[3, 6, 6\]/);
  expect(() => priorGraph({ kind: 'ddp-low-rank', ...state }, [3, 6, 6])).toThrow(/rank 5 has 75 means/);
});
