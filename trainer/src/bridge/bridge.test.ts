/**
 * Both engines of the bridging flow against each other over whole trajectories, and ONNX Runtime's chunks and both of its
 * ways to take live weights against the formula x − η∇f′ + νξ, stepped here with tfjs's gradient and the SDK's noise.
 */
import { createRuntime } from '@ratioflow/node';
import { normals, pairingNames, pairingOf, purposes, type PairingName } from '@ratioflow/sdk';
import { convertLayersModel } from '@ratioflow/export';
import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import type { TensorFlow } from '../backend/tensorflow.js';
import { estimatorConverters } from '../estimators/converters.js';
import { createEstimator } from '../estimators/create-estimator.js';
import { createLearner } from '../loop/learner.js';
import type { Bridge } from './bridge.js';
import { onnxBridge, readParameters } from './onnx-bridge.js';
import { tensorflowBridge } from './tensorflow-bridge.js';

let tf: TensorFlow;
const runtime = createRuntime();
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const draw = (count: number, elements: number, step = 0): Float32Array => normals({ seed: 5, purpose: purposes.testVectors, step, count, elements });

/** Largest |a − b| in units of the largest |b|. */
function relativeError(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  let [difference, scale] = [0, 0];
  b.forEach((value, i) => {
    difference = Math.max(difference, Math.abs(a[i]! - value));
    scale = Math.max(scale, Math.abs(value));
  });
  return difference / scale;
}

/** Weights of a network that has learned for a few steps: larger gradients than at the start, so that the flow moves. */
function learn(network: LayersModel, sampleShape: readonly number[], steps: number, first = 0): void {
  const learner = createLearner(tf, network, { pairing: pairingOf('lr-kl'), sampleShape, ema: 0, beta1: 0.9, beta2: 0.999 });
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  for (let t = 0; t < steps; t++) learner.step(draw(32, elements, 2 * (first + t)).map((value) => value + 0.3), draw(32, elements, 2 * (first + t) + 1), 1e-3, t);
  learner.dispose();
}

/** f′ of the ratio as a function of the network's output, for tfjs to differentiate. */
const potentials: Record<PairingName, (n: Tensor) => Tensor> = {
  'lsif-chi2': (n) => n.mul(2),
  'lr-kl': (n) => n,
  'lr-js': (n) => tf.softplus(n.neg()).neg(),
  'lr-logd': (n) => tf.softplus(n),
};

const cases = [
  { name: 'mlp', sampleShape: [2], count: 24, K: 50, eta: 0.05, tolerance: 2e-5 },
  { name: 'resnet28', sampleShape: [1, 28, 28], count: 3, K: 4, eta: 5, tolerance: 5e-5 },
] as const;

describe.each(cases)('$name', ({ name, sampleShape, count, K, eta, tolerance }) => {
  const elements = sampleShape.reduce((a: number, b: number) => a * b, 1);
  const flow = { eta, nu: 0.03 };
  let network: LayersModel;
  beforeAll(() => {
    network = createEstimator(tf, name, sampleShape, 11);
    learn(network, sampleShape, name === 'mlp' ? 20 : 2);
  });
  const engines = async (pairing: PairingName): Promise<[Bridge, Bridge]> => [
    tensorflowBridge(tf, network, sampleShape, pairingOf(pairing), flow),
    await onnxBridge(network, sampleShape, pairingOf(pairing), flow, runtime),
  ];

  /** The definition: one step after another, noise of (purpose flow, step k), nothing clamped. */
  function formula(pairing: PairingName, x0: Float32Array, steps: number, seed: bigint): Float32Array {
    const [channels, height, width] = sampleShape as readonly number[];
    const shape = sampleShape.length === 1 ? [count, channels!] : [count, height!, width!, channels!];
    const gradient = tf.grad((x: Tensor) => potentials[pairing](network.apply(x) as Tensor).sum());
    let x = Float32Array.from(x0);
    for (let k = 0; k < steps; k++) {
      const g = tf.tidy(() => gradient(tf.tensor(x, shape)).dataSync());
      const xi = normals({ seed, purpose: purposes.flow, step: k, count, elements });
      x = x.map((value, i) => value - flow.eta * g[i]! + flow.nu * xi[i]!);
    }
    return x;
  }

  it.each(pairingNames)('both engines follow the formula over a whole trajectory for %s', async (pairing) => {
    const x0 = draw(count, elements, 900);
    const before = x0.slice();
    const expected = formula(pairing, x0, K, 77n);
    for (const bridge of await engines(pairing)) {
      const found = await bridge.run(x0, { count, steps: K, seed: 77n });
      expect(relativeError(found, expected), bridge.engine).toBeLessThan(tolerance);
      await bridge.dispose();
    }
    expect(x0).toEqual(before);
    // The drift matters: without it the result would be another one by far more than the tolerance.
    const still = formula(pairing, x0, 0, 77n);
    for (let k = 0; k < K; k++) normals({ seed: 77n, purpose: purposes.flow, step: k, count, elements }).forEach((xi, i) => (still[i] = still[i]! + flow.nu * xi));
    expect(relativeError(still, expected)).toBeGreaterThan(100 * tolerance);
  });

  it('is the same flow for 0, 1, 2, 5 and 7 steps', async () => {
    const x0 = draw(count, elements, 901);
    const bridge = await onnxBridge(network, sampleShape, pairingOf('lr-js'), flow, runtime);
    for (const steps of [0, 1, 2, 5, 7]) {
      const found = await bridge.run(x0, { count, steps, seed: 3n });
      if (steps === 0) expect(found).toEqual(x0);
      else expect(relativeError(found, formula('lr-js', x0, steps, 3n)), `${steps} steps`).toBeLessThan(tolerance);
      // The caller may write into the result without touching x0.
      expect(found).not.toBe(x0);
    }
    await bridge.dispose();
  });

  it('gives the same bits for the same seed, others for another', async () => {
    const x0 = draw(count, elements, 902);
    const bridge = await onnxBridge(network, sampleShape, pairingOf('lr-kl'), flow, runtime);
    const first = await bridge.run(x0, { count, steps: 5, seed: 1n });
    expect(await bridge.run(x0, { count, steps: 5, seed: 1n })).toEqual(first);
    expect(await bridge.run(x0, { count, steps: 5, seed: 2n })).not.toEqual(first);
    await bridge.dispose();
  });

  it('takes new weights over with refresh, and not before', async () => {
    const x0 = draw(count, elements, 903);
    const bridge = await onnxBridge(network, sampleShape, pairingOf('lr-kl'), flow, runtime);
    const old = formula('lr-kl', x0, 3, 4n);
    learn(network, sampleShape, 3, 50);
    const present = formula('lr-kl', x0, 3, 4n);
    expect(relativeError(old, present)).toBeGreaterThan(100 * tolerance);
    expect(relativeError(await bridge.run(x0, { count, steps: 3, seed: 4n }), old)).toBeLessThan(tolerance);
    await bridge.rest();
    expect(relativeError(await bridge.run(x0, { count, steps: 3, seed: 4n }), old)).toBeLessThan(tolerance);
    await bridge.refresh();
    expect(relativeError(await bridge.run(x0, { count, steps: 3, seed: 4n }), present)).toBeLessThan(tolerance);
    await bridge.dispose();
  });

  it('stops at an abort, with its reason, and can be used again', async () => {
    const x0 = draw(count, elements, 904);
    for (const bridge of await engines('lr-kl')) {
      await expect(bridge.run(x0, { count, steps: 8, seed: 1n, signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
      const controller = new AbortController();
      const running = bridge.run(x0, { count, steps: 40, seed: 1n, signal: controller.signal });
      controller.abort(new Error('later'));
      await expect(running, bridge.engine).rejects.toThrow('later');
      expect(relativeError(await bridge.run(x0, { count, steps: 2, seed: 1n }), formula('lr-kl', x0, 2, 1n))).toBeLessThan(tolerance);
      await bridge.dispose();
    }
  });

  it('leaves no tensors behind', async () => {
    const x0 = draw(count, elements, 905);
    const before = tf.memory().numTensors;
    for (const bridge of await engines('lr-logd')) {
      await bridge.refresh();
      await bridge.run(x0, { count, steps: 3, seed: 1n });
      await bridge.dispose();
    }
    expect(tf.memory().numTensors).toBe(before);
  });
});

it('gives samples the same flow in several calls of the engine as in one', async () => {
  const network = createEstimator(tf, 'mlp', [2], 11);
  learn(network, [2], 20);
  const [count, few, steps] = [60_000, 100, 40];
  const x0 = draw(count, 2, 908);
  const bridge = await onnxBridge(network, [2], pairingOf('lr-kl'), { eta: 0.05, nu: 0.03 }, runtime);
  // 4.8 million values of noise, where a call takes 4.2 million.
  const found = await bridge.run(x0, { count, steps, seed: 9n });
  const expected = await bridge.run(x0.slice(0, 2 * few), { count: few, steps, seed: 9n });
  expect(relativeError(found.slice(0, 2 * few), expected)).toBeLessThan(2e-5);
  expect(await bridge.run(x0, { count, steps, seed: 9n })).toEqual(found);
  await bridge.dispose();
});

it.each([
  ['resnet28', [1, 28, 28], {}], ['resnet32', [3, 16, 16], {}], ['resnet32', [3, 16, 16], { spectralNorm: true }], ['resnet64-shallow', [3, 32, 32], { attention: true }],
] as const)('flows after a refresh by all weights of %s, samples %j, %j, as if they had been the first', async (name, sampleShape, options) => {
  const network = createEstimator(tf, name, sampleShape, 12, options);
  const settings = [network, sampleShape, pairingOf('lr-kl'), { eta: 5, nu: 0.03 }, runtime, { converters: estimatorConverters, provider: 'cpu' }] as const;
  const bridge = await onnxBridge(...settings);
  const x0 = draw(2, sampleShape[0] * sampleShape[1] * sampleShape[2], 909);
  const request = { count: 2, steps: 2, seed: 10n };
  const before = await bridge.run(x0, request);
  for (const [i, weight] of network.weights.entries()) weight.write(tf.tidy(() => weight.read().add(tf.tensor(draw(1, weight.read().size, 2000 + i), weight.shape as number[]).mul(0.05))));
  await bridge.refresh();
  const fresh = await onnxBridge(...settings);
  const expected = await fresh.run(x0, request);
  expect(await bridge.run(x0, request)).toEqual(expected);
  expect(relativeError(before, expected)).toBeGreaterThan(1e-3);
  await fresh.dispose();
  await bridge.dispose();
  network.dispose();
});

it('is the same flow for a batch that is too large to flow together', async () => {
  // 4.2 million values a sample: at most 15 together. Nothing has a kink, which rounding would cross in some of so many units.
  const input = tf.input({ shape: [64, 64, 1] });
  const kernelInitializer = tf.initializers.glorotUniform({ seed: 1 });
  const hidden = tf.layers.activation({ activation: 'tanh' }).apply(tf.layers.conv2d({ filters: 512, kernelSize: 3, padding: 'same', kernelInitializer }).apply(input)) as typeof input;
  const network = tf.model({ inputs: input, outputs: tf.layers.dense({ units: 1, kernelInitializer }).apply(tf.layers.globalAveragePooling2d({}).apply(hidden)) as typeof input });
  const x0 = draw(20, 4096, 907);
  const [flow, request] = [{ eta: 1000, nu: 0.5 }, { count: 20, steps: 2, seed: 6n }];
  const bridge = await onnxBridge(network, [1, 64, 64], pairingOf('lr-kl'), flow, runtime);
  const expected = await tensorflowBridge(tf, network, [1, 64, 64], pairingOf('lr-kl'), flow).run(x0, request);
  expect(relativeError(await bridge.run(x0, request), expected)).toBeLessThan(2e-5);
  // The drift matters: without it the result is another one by far more than the tolerance.
  const still = await tensorflowBridge(tf, network, [1, 64, 64], pairingOf('lr-kl'), { ...flow, eta: 0 }).run(x0, request);
  expect(relativeError(still, expected)).toBeGreaterThan(0.02);
  await bridge.dispose();
  network.dispose();
});

it('weights as inputs and as constants are the same flow', async () => {
  // Two equal dense networks; the convolution in front of one, the identity on 1×1 images, makes the bridge take its weights as constants.
  const dense = (prefix: string): ReturnType<typeof tf.layers.dense>[] => [tf.layers.dense({ units: 8, activation: 'linear', name: `${prefix}_a` }), tf.layers.dense({ units: 1, name: `${prefix}_head` })];
  const flat = tf.input({ shape: [4] });
  const image = tf.input({ shape: [1, 1, 4] });
  const chain = (layers: readonly ReturnType<typeof tf.layers.dense>[], input: typeof flat, act: string): typeof flat => {
    const hidden = tf.layers.leakyReLU({ alpha: 0.2, name: act }).apply(layers[0]!.apply(input)) as typeof flat;
    return layers[1]!.apply(hidden) as typeof flat;
  };
  const [inputLayers, constantLayers] = [dense('i'), dense('c')];
  const asInputs = tf.model({ inputs: flat, outputs: chain(inputLayers, flat, 'i_act') });
  const convolution = tf.layers.conv2d({ filters: 4, kernelSize: 1, useBias: false, name: 'identity' });
  const pooled = tf.layers.globalAveragePooling2d({ name: 'c_pool' }).apply(convolution.apply(image)) as typeof flat;
  const asConstants = tf.model({ inputs: image, outputs: chain(constantLayers, pooled, 'c_act') });
  convolution.setWeights([tf.tensor([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], [1, 1, 4, 4])]);
  const x0 = draw(6, 4, 906);
  const bridges: Bridge[] = [];
  for (const round of [0, 1]) {
    inputLayers.forEach((layer, i) => layer.setWeights(layer.getWeights().map((tensor, j) => tf.tensor(draw(1, tensor.size, 1000 + 10 * round + 2 * i + j), tensor.shape))));
    constantLayers.forEach((layer, i) => layer.setWeights(inputLayers[i]!.getWeights()));
    if (round === 0) {
      bridges.push(await onnxBridge(asInputs, [4], pairingOf('lr-js'), { eta: 0.1, nu: 0.1 }, runtime));
      bridges.push(await onnxBridge(asConstants, [4, 1, 1], pairingOf('lr-js'), { eta: 0.1, nu: 0.1 }, runtime));
    }
    for (const bridge of bridges) await bridge.refresh();
    const [inputs, constants] = await Promise.all(bridges.map((bridge) => bridge.run(x0, { count: 6, steps: 9, seed: 8n })));
    expect(relativeError(constants!, inputs!)).toBeLessThan(1e-5);
    expect(relativeError(inputs!, x0)).toBeGreaterThan(0.1);
  }
  for (const bridge of bridges) await bridge.dispose();
});

it('reads parameters in the layout and order of the exported graph', async () => {
  const network = createEstimator(tf, 'resnet28', [1, 28, 28], 2);
  const { model, parameters } = await convertLayersModel(network);
  const arrays = readParameters(network, parameters);
  expect(parameters.length).toBe(network.weights.length);
  parameters.forEach(({ value }, i) => {
    const bytes = model.graph.initializers.get(value)!.data as Uint8Array;
    expect(Buffer.compare(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), Buffer.from(arrays[i]!.buffer, arrays[i]!.byteOffset, arrays[i]!.byteLength)), value.name).toBe(0);
  });
});
