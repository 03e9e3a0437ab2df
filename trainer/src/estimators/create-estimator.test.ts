/** Initial weights against the law U(±1/√fan-in), and the networks' sizes against the sums of their layers. */
import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import type { TensorFlow } from '../backend/tensorflow.js';
import { ConfigError } from '../errors.js';
import { createEstimator } from './create-estimator.js';
import { spectralLayersOf } from './spectral.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const arraysOf = (network: LayersModel): { name: string; shape: number[]; data: Float32Array }[] =>
  network.weights.map((weight) => ({ name: weight.originalName, shape: weight.shape as number[], data: Float32Array.from(weight.read().dataSync<'float32'>()) }));

/** Largest distance between the empirical distribution function and U(−bound, bound)'s, times √n. */
function kolmogorovSmirnov(data: Float32Array, bound: number): number {
  const sorted = Float64Array.from(data).sort();
  let distance = 0;
  sorted.forEach((value, i) => {
    const cdf = (value / bound + 1) / 2;
    distance = Math.max(distance, Math.abs(cdf - i / sorted.length), Math.abs(cdf - (i + 1) / sorted.length));
  });
  return distance * Math.sqrt(sorted.length);
}

/** Numbers that one output of the layer sums over: what fan-in means in PyTorch. */
const fanIn = (name: string): number => {
  const layer = name.split('/')[0]!;
  const known: Record<string, number> = {
    hidden1: 2, hidden2: 64, hidden3: 64, hidden4: 64,
    stem: 9, block1_conv1: 9 * 32, block1_conv2: 9 * 32, block1_shortcut: 32,
    block2_conv1: 9 * 32, block2_conv2: 9 * 64, block2_shortcut: 32,
    block3_conv1: 9 * 64, block3_conv2: 9 * 64, block4_conv1: 9 * 64, block4_conv2: 9 * 64, block4_shortcut: 64,
    head: 64,
  };
  return known[layer]!;
};

describe.each([
  { name: 'mlp', sampleShape: [2], parameters: 2 * 64 + 64 + 3 * (64 * 64 + 64) + 64 + 1 },
  // Stem, block1, block2, block3, block4, head.
  { name: 'resnet28', sampleShape: [1, 28, 28], parameters: 9 * 32 + (18 * 32 * 32 + 32 * 32) + (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64) + 18 * 64 * 64 + (18 * 64 * 64 + 64 * 64) + 65 },
] as const)('$name', ({ name, sampleShape, parameters }) => {
  it('draws every array from U(±1/√fan-in)', () => {
    const network = createEstimator(tf, name, sampleShape, 42);
    const arrays = arraysOf(network);
    let largest = 0;
    for (const { name: weight, data } of arrays) {
      const bound = 1 / Math.sqrt(fanIn(weight));
      expect(data.every((value) => Math.abs(value) <= bound), weight).toBe(true);
      // 1.95 is exceeded with probability 0.1 % under the law; the seed is fixed.
      if (data.length > 1) expect(kolmogorovSmirnov(data, bound), weight).toBeLessThan(1.95);
      largest = Math.max(largest, data.length);
    }
    expect(largest).toBeGreaterThan(1000);
    expect(arrays.reduce((sum, { data }) => sum + data.length, 0)).toBe(parameters);
    network.dispose();
  });

  it('follows from the seed alone, and no two arrays are alike', () => {
    const [first, again, other] = [42, '42', 43n].map((seed) => createEstimator(tf, name, sampleShape, seed)) as [LayersModel, LayersModel, LayersModel];
    const [a, b, c] = [arraysOf(first), arraysOf(again), arraysOf(other)];
    expect(b).toEqual(a);
    a.forEach((array, i) => expect(c[i]!.data).not.toEqual(array.data));
    const scaled = a.map(({ name: weight, data }) => (data[0]! * Math.sqrt(fanIn(weight))).toFixed(5));
    expect(new Set(scaled).size).toBe(scaled.length);
    for (const network of [first, again, other]) network.dispose();
  });

  it('gives one number per sample, and all its memory back', () => {
    const before = tf.memory().numTensors;
    const network = createEstimator(tf, name, sampleShape, 1);
    expect(network.outputs[0]!.shape).toEqual([null, 1]);
    network.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

it('refuses samples that do not fit, by name and shape', () => {
  expect(() => createEstimator(tf, 'mlp', [1, 28, 28], 1)).toThrow(ConfigError);
  expect(() => createEstimator(tf, 'mlp', [1, 28, 28], 1)).toThrow('estimator.name = "mlp" takes points [D]; the data are of shape [1, 28, 28].');
  expect(() => createEstimator(tf, 'resnet28', [2], 1)).toThrow('estimator.name = "resnet28" takes images [C, H, W] of at least 8×8; the data are of shape [2].');
  expect(() => createEstimator(tf, 'resnet28', [1, 28, 4], 1)).toThrow(ConfigError);
});

describe('sizes of the paper\'s networks', () => {
  // By hand: 9·in·out for each 3×3, in·out for each 1×1 where stride or width changes, 257 for the head of 256.
  it.each([
    ['resnet32', [3, 32, 32], {}, 3_456 + 6 * 147_456 + (294_912 + 589_824 + 32_768) + 4 * 589_824 + 2 * (2 * 589_824 + 65_536 + 4 * 589_824) + 257, 11.37],
    ['resnet64', [3, 64, 64], {}, 5_126_081, 5.13],
    ['resnet64-shallow', [3, 64, 64], {}, 1_546_178, 1.5],
    ['resnet64-shallow', [3, 64, 64], { attention: false }, 1_546_178 - 4 * 2_048 - 1, 1.5],
    ['resnet128', [3, 128, 128], {}, 5_126_081 + 2 * 147_456 + 16_384, 5.4],
  ] as const)('%s', (name, shape, options, parameters, millions) => {
    const network = createEstimator(tf, name, shape, 1, options);
    expect(network.countParams()).toBe(parameters);
    expect(Math.abs(parameters / 1e6 - millions)).toBeLessThan(0.06);
    network.dispose();
  });
});

describe('spectral norms', () => {
  it('are the largest singular values once converged, and power iterations climb to them', () => {
    const network = createEstimator(tf, 'resnet64-shallow', [3, 16, 16], 1, { spectralNorm: true, width: 1 / 4 });
    const layers = spectralLayersOf(network);
    expect(layers.map(({ name }) => name)).toEqual(network.layers.filter(({ name }) => /stem$|conv\d$|shortcut|query|key|value|out$|head/.test(name)).map(({ name }) => name));
    for (const layer of layers) {
      const kernel = layer.weights.find(({ originalName }) => originalName.endsWith('kernel'))!.read();
      const rows = new Matrix(tf.tidy(() => tf.reshape(kernel, [-1, kernel.shape.at(-1)!]).arraySync() as number[][]));
      const [expected] = new SingularValueDecomposition(rows, { autoTranspose: true }).diagonal as [number];
      const sigma = (): number => tf.tidy(() => layer.sigma().dataSync()[0]!);
      const before = sigma();
      layer.iteratePower(5);
      expect(sigma()).toBeGreaterThan(before * (1 - 1e-6));
      expect(before).toBeLessThan(expected * (1 + 1e-5));
      layer.converge();
      expect(Math.abs(sigma() / expected - 1)).toBeLessThan(1e-5);
    }
    network.dispose();
  });

  it('stay as they are when the network is only called', () => {
    const network = createEstimator(tf, 'mlp', [2], 1, { spectralNorm: true });
    const state = (): number[] => network.nonTrainableWeights.flatMap((weight) => [...weight.read().dataSync()]);
    const before = state();
    tf.tidy(() => network.apply(tf.ones([4, 2]), { training: true }) as Tensor);
    expect(before.length).toBe(2 + 64 + 3 * 128 + 64 + 1);
    expect(state()).toEqual(before);
    network.dispose();
  });
});
