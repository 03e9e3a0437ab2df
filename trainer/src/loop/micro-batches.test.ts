/** Parts of a batch: they cover it, they are even, and learning from them is learning from the whole. */
import { normals, pairingNames, pairingOf, purposes } from '@ratioflow/sdk';
import type { LayersModel } from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import type { TensorFlow } from '../backend/tensorflow.js';
import { createClassifierLearner } from '../classifier/train-classifier.js';
import { createEstimator } from '../estimators/create-estimator.js';
import type { EstimatorOptions } from '../estimators/options.js';
import { createLearner } from './learner.js';
import { microBatches, valuesOfSample } from './micro-batches.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const sampleShape = [1, 12, 12];
const make = (options: EstimatorOptions = {}): LayersModel => createEstimator(tf, 'resnet28', sampleShape, 3, { width: 0.5, ...options });
const draw = (step: number, count: number): Float32Array => normals({ seed: 4, purpose: purposes.testVectors, step, count, elements: 144 });
const adam = { ema: 0, beta1: 0.9, beta2: 0.999 };

describe('parts', () => {
  it('are even and cover the batch', () => {
    const network = make();
    const parts = microBatches(network, 10, { size: 3 });
    expect(parts.map(({ first, count }) => [first, count])).toEqual([[0, 3], [3, 2], [5, 3], [8, 2]]);
    expect(parts.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
    expect(microBatches(network, 10, { size: 99 })).toEqual([{ first: 0, count: 10, share: 1 }]);
    network.dispose();
  });

  it('hold so much of resnet32 that its values take an eighth of a gigabyte, and all of a small network', () => {
    const network = createEstimator(tf, 'resnet32', [3, 32, 32], 1);
    const [first] = microBatches(network, 64, { copies: 2 });
    // Every layer's output by hand: the input; stem and its activation; 12 blocks of two convolutions, two activations and a sum, and 3 shortcuts.
    const values = 3072 + 1024 * 128 * (2 + 3 * 5) + 256 * (256 + 64 + 16) * 16 + 256 + 1;
    expect(2 * first!.count * values).toBeLessThanOrEqual(2 ** 25);
    expect(2 * (first!.count + 2) * values).toBeGreaterThan(2 ** 25);
    network.dispose();
    const small = createEstimator(tf, 'mlp', [2], 1);
    expect(microBatches(small, 1024, { copies: 2 })).toHaveLength(1);
    small.dispose();
  });

  it('count a layer as often as it is applied, and open extents as those of the sample', () => {
    const x = tf.input({ shape: [null, null, 3] });
    const [conv, half] = [tf.layers.conv2d({ filters: 3, kernelSize: 3, padding: 'same' }), tf.layers.averagePooling2d({ poolSize: 2 })];
    const at = (layer: { apply(x: unknown): unknown }, y: unknown): typeof x => layer.apply(y) as typeof x;
    const large = at(conv, x);
    const small = at(conv, at(half, large));
    const network = tf.model({ inputs: x, outputs: at(tf.layers.add(), [large, small].map((one) => at(tf.layers.globalAveragePooling2d({}), one))) });
    // Input and first convolution, pooling and second one, the three means and their sum.
    expect(valuesOfSample(network, [3, 8, 6])).toBe(2 * 144 + 2 * 36 + 3 * 3);
    expect(microBatches(network, 2 ** 20, { sampleShape: [3, 8, 6] })[0]!.count).toBeLessThanOrEqual(2 ** 25 / 369);
    network.dispose();
  });

  it('are one where a network normalises by the batch', () => {
    const network = tf.sequential({ layers: [tf.layers.flatten({ inputShape: [512, 512, 3] }), tf.layers.batchNormalization(), tf.layers.dense({ units: 1 })] });
    expect(microBatches(network, 4096)).toHaveLength(1);
    network.dispose();
  });
});

/** Moments after the first step: m = (1 − β₁) · gradient. */
const gradientsOf = (state: ReadonlyMap<string, { data: Float32Array }>): [string, Float32Array][] => [...state].flatMap(([name, { data }]) => (name.startsWith('adam.m/') ? [[name, data]] : []));
function expectSame(found: [string, Float32Array][], expected: [string, Float32Array][]): void {
  expect(found.map(([name]) => name)).toEqual(expected.map(([name]) => name));
  found.forEach(([name, data], i) => {
    const reference = expected[i]![1];
    const scale = reference.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-7);
    expect(data.reduce((most, value, j) => Math.max(most, Math.abs(value - reference[j]!)), 0) / scale, name).toBeLessThan(2e-5);
  });
}

describe('the gradient of a step in parts is that of the whole', () => {
  it.each(pairingNames.flatMap((pairing) => [{ pairing, spectralNorm: false }, { pairing, spectralNorm: true }]))('$pairing, spectral norms: $spectralNorm', ({ pairing, spectralNorm }) => {
    const step = (microBatch: number): { metrics: object; gradients: [string, Float32Array][] } => {
      const network = make({ spectralNorm });
      const learner = createLearner(tf, network, { pairing: pairingOf(pairing), sampleShape, microBatch, ...adam });
      const metrics = learner.step(draw(0, 7), draw(1, 7), 1e-3, 0);
      const gradients = gradientsOf(learner.state());
      learner.dispose();
      network.dispose();
      return { metrics, gradients };
    };
    const [whole, parts] = [step(7), step(3)];
    for (const [key, value] of Object.entries(whole.metrics)) expect((parts.metrics as Record<string, number>)[key], key).toBeCloseTo(value as number, 5);
    expectSame(parts.gradients, whole.gradients);
  });

  it('also of a classifier', () => {
    const step = (microBatch: number): { metrics: { loss: number; accuracy: number }; gradients: [string, Float32Array][] } => {
      const network = make({ outputs: 3 });
      const learner = createClassifierLearner(tf, network, { sampleShape, microBatch, ...adam });
      const metrics = learner.step(draw(0, 7), Uint8Array.of(0, 1, 2, 0, 1, 2, 2), 1e-3, 0);
      const gradients = gradientsOf(learner.state());
      learner.dispose();
      network.dispose();
      return { metrics, gradients };
    };
    const [whole, parts] = [step(7), step(2)];
    expect(parts.metrics.loss).toBeCloseTo(whole.metrics.loss, 5);
    expect(parts.metrics.accuracy).toBeCloseTo(whole.metrics.accuracy, 6);
    expectSame(parts.gradients, whole.gradients);
  });
});

it('leaves no tensors behind', () => {
  const network = make();
  const learner = createLearner(tf, network, { pairing: pairingOf('lr-kl'), sampleShape, microBatch: 2, ...adam });
  const before = tf.memory().numTensors;
  learner.step(draw(0, 5), draw(1, 5), 1e-3, 0);
  expect(tf.memory().numTensors).toBe(before);
  learner.dispose();
  network.dispose();
});
