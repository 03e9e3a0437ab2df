/** The learner: its moving average against the recurrence, its state, and what it refuses. */
import { normals, pairingOf, purposes } from '@ratioflow/sdk';
import type { LayersModel } from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import type { TensorFlow } from '../backend/tensorflow.js';
import { createEstimator, initialize } from '../estimators/create-estimator.js';
import { createLearner, type Learner } from './learner.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const batch = (step: number, shift: number): Float32Array =>
  normals({ seed: 1, purpose: purposes.testVectors, step, count: 16, elements: 2 }).map((value) => value + shift);

function make(ema: number, seed = 3): { network: LayersModel; learner: Learner; dispose: () => void } {
  const network = createEstimator(tf, 'mlp', [2], seed);
  const learner = createLearner(tf, network, { pairing: pairingOf('lr-kl'), sampleShape: [2], ema, beta1: 0.9, beta2: 0.999 });
  return {
    network, learner,
    dispose: () => {
      learner.dispose();
      network.dispose();
    },
  };
}

const step = (learner: Learner, t: number): ReturnType<Learner['step']> => learner.step(batch(t, 0.5), batch(100 + t, -0.5), 1e-2, t);
const weightsOf = (network: LayersModel): Float32Array[] => network.getWeights().map((tensor) => Float32Array.from(tensor.dataSync<'float32'>()));

describe('moving average', () => {
  it('follows e ← μe + (1 − μ)w from the initial weights, without bias correction', () => {
    const { learner, dispose } = make(0.8);
    const name = 'hidden2/kernel';
    const read = (kind: string): Float32Array => learner.state().get(`${kind}/${name}`)!.data;
    const expected = Float64Array.from(read('weights'));
    expect(read('ema')).toEqual(read('weights'));
    for (let t = 0; t < 6; t++) {
      step(learner, t);
      read('weights').forEach((w, i) => (expected[i] = 0.8 * expected[i]! + 0.2 * w));
    }
    const found = read('ema');
    expect(found.every((value, i) => Math.abs(value - expected[i]!) < 1e-6)).toBe(true);
    expect(found.some((value, i) => Math.abs(value - read('weights')[i]!) > 1e-3)).toBe(true);
    dispose();
  });

  it('is what the network holds during withAveragedWeights, also when the work fails', async () => {
    const { network, learner, dispose } = make(0.8);
    for (let t = 0; t < 3; t++) step(learner, t);
    const live = weightsOf(network);
    const averages = [...learner.state()].filter(([name]) => name.startsWith('ema/')).map(([, { data }]) => data);
    const seen = await learner.withAveragedWeights(() => Promise.resolve(weightsOf(network)));
    expect(seen).toEqual(averages);
    expect(seen).not.toEqual(live);
    expect(weightsOf(network)).toEqual(live);
    await expect(learner.withAveragedWeights(() => Promise.reject(new Error('picture')))).rejects.toThrow('picture');
    expect(weightsOf(network)).toEqual(live);
    dispose();
  });

  it('is the weights themselves where it is off', async () => {
    const { network, learner, dispose } = make(0);
    step(learner, 0);
    expect(await learner.withAveragedWeights(() => Promise.resolve(weightsOf(network)))).toEqual(weightsOf(network));
    expect([...learner.state().keys()].some((name) => name.startsWith('ema/'))).toBe(false);
    dispose();
  });
});

describe('state', () => {
  it('goes on bit for bit in another learner that was made from another seed', () => {
    const [one, other] = [make(0.9), make(0.9, 77)];
    for (let t = 0; t < 3; t++) step(one.learner, t);
    const saved = one.learner.state();
    other.learner.restore(saved);
    for (let t = 3; t < 6; t++) expect(step(other.learner, t)).toEqual(step(one.learner, t));
    expect(other.learner.state()).toEqual(one.learner.state());
    // The saved arrays are copies: three more steps have not changed them.
    expect(saved.get('weights/head/kernel')).not.toEqual(one.learner.state().get('weights/head/kernel'));
    one.dispose();
    other.dispose();
  });

  it('has every weight of sub-models whose layers have the same names, also where two share a layer', () => {
    const nested = (seed: number): { network: LayersModel; learner: Learner } => {
      const [x, shared] = [tf.input({ shape: [2] }), tf.layers.dense({ units: 3, name: 'shared' })];
      const branch = (): LayersModel => {
        const input = tf.input({ shape: [2] });
        const hidden = tf.layers.dense({ units: 3, name: 'fc1', activation: 'elu' }).apply(shared.apply(input)) as typeof input;
        return tf.model({ inputs: input, outputs: tf.layers.dense({ units: 1, name: 'fc2' }).apply(tf.layers.batchNormalization({ name: 'norm' }).apply(hidden)) as typeof input });
      };
      const network = tf.model({ inputs: x, outputs: tf.layers.add().apply([branch(), branch()].map((one) => one.apply(x) as typeof x)) as typeof x });
      initialize(tf, network, seed);
      return { network, learner: createLearner(tf, network, { pairing: pairingOf('lr-kl'), sampleShape: [2], ema: 0.9, beta1: 0.9, beta2: 0.999 }) };
    };
    const [one, other] = [nested(3), nested(77)];
    const keys = [...one.learner.state().keys()].filter((name) => name.startsWith('weights/'));
    expect(keys.slice(0, 8)).toEqual(['shared/kernel', 'shared/bias', 'fc1/kernel', 'fc1/bias', 'norm/gamma', 'norm/beta', 'fc2/kernel', 'fc2/bias'].map((name) => `weights/${name}`));
    expect(keys.slice(8)).toEqual(['fc1/kernel~2', 'fc1/bias~2', 'norm/gamma~2', 'norm/beta~2', 'fc2/kernel~2', 'fc2/bias~2'].map((name) => `weights/${name}`));
    for (let t = 0; t < 3; t++) step(one.learner, t);
    other.learner.restore(one.learner.state());
    expect(weightsOf(other.network)).toEqual(weightsOf(one.network));
    for (let t = 3; t < 6; t++) expect(step(other.learner, t)).toEqual(step(one.learner, t));
    expect(other.learner.state()).toEqual(one.learner.state());
    for (const { network, learner } of [one, other]) {
      learner.dispose();
      network.dispose();
    }
  });

  it('goes on bit for bit with layers that draw, anew in each step, by the seed', () => {
    const drawing = (seed: number): { network: LayersModel; learner: Learner } => {
      const network = tf.sequential({ layers: [
        tf.layers.dense({ units: 12, activation: 'elu', inputShape: [2] }), tf.layers.dropout({ rate: 0.3 }), tf.layers.gaussianNoise({ stddev: 0.2 }), tf.layers.gaussianDropout({ rate: 0.3 }),
        tf.layers.alphaDropout({ rate: 0.2 }), tf.layers.reshape({ targetShape: [4, 3] }), tf.layers.spatialDropout1d({ rate: 0.3 }), tf.layers.lstm({ units: 4, dropout: 0.2, recurrentDropout: 0.2 }), tf.layers.dense({ units: 1 }),
      ] });
      initialize(tf, network, 3);
      return { network, learner: createLearner(tf, network, { pairing: pairingOf('lr-kl'), sampleShape: [2], seed, microBatch: 5, ema: 0.9, beta1: 0.9, beta2: 0.999 }) };
    };
    const [one, other, third] = [drawing(5), drawing(5), drawing(6)];
    const random = Math.random;
    const first = step(one.learner, 0);
    expect(Math.random).toBe(random);
    expect(step(third.learner, 0)).not.toEqual(first);
    const initial = other.learner.state();
    expect(step(other.learner, 1)).not.toEqual(first);
    other.learner.restore(initial);
    expect(step(other.learner, 0)).toEqual(first);
    for (let t = 1; t < 4; t++) expect(step(other.learner, t)).toEqual(step(one.learner, t));
    // Layers without names of their own are numbered on in one process.
    expect([...other.learner.state().values()]).toEqual([...one.learner.state().values()]);
    for (const { network, learner } of [one, other, third]) {
      learner.dispose();
      network.dispose();
    }
  });

  it('names what does not fit', () => {
    const { learner, dispose } = make(0.9);
    const state = learner.state();
    state.delete('adam.v/head/bias');
    expect(() => learner.restore(state)).toThrow('adam.v/head/bias should have the shape [1], found nothing');
    state.set('adam.v/head/bias', { shape: [2], data: new Float32Array(2) });
    expect(() => learner.restore(state)).toThrow('adam.v/head/bias should have the shape [1], found [2]');
    dispose();
  });
});

it('reports the loss and mean log ratios of the weights before its step', () => {
  const { network, learner, dispose } = make(0);
  const [data, samples] = [batch(0, 0.5), batch(100, -0.5)];
  const outputs = (x: Float32Array): number[] => tf.tidy(() => Array.from((network.predict(tf.tensor2d(x, [16, 2])) as ReturnType<typeof tf.tensor>).dataSync()));
  const [onData, onSamples] = [outputs(data), outputs(samples)];
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const metrics = learner.step(data, samples, 1e-2, 0);
  expect(metrics.logRatioData).toBeCloseTo(mean(onData), 5);
  expect(metrics.logRatioSamples).toBeCloseTo(mean(onSamples), 5);
  expect(metrics.loss).toBeCloseTo(mean(onData.map((n) => Math.log1p(Math.exp(n)))) + mean(onSamples.map((n) => Math.log1p(Math.exp(-n)))), 5);
  dispose();
});

it('leaves no tensors behind', () => {
  const before = tf.memory().numTensors;
  const { learner, dispose } = make(0.9);
  const during = tf.memory().numTensors;
  for (let t = 0; t < 5; t++) step(learner, t);
  learner.restore(learner.state());
  expect(tf.memory().numTensors).toBe(during);
  dispose();
  expect(tf.memory().numTensors).toBe(before);
});
