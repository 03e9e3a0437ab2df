/**
 * Estimators on ONNX Runtime against TensorFlow.js: the converted network against the network itself, and the exported
 * input gradient against tfjs's own automatic differentiation, for every pairing and every optimisation level.
 */
import { fillNormals, pairingNames, pairingOf, type PairingName } from '@ratioflow/sdk';
import { convertLayersModel, estimatorOf, gradientGraph, ratioGraph, samplerGraph, stepGraph, type Estimator } from '@ratioflow/export';
import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { toNetwork, fromNetwork } from '../../trainer/src/estimators/layout.js';
import type { EstimatorOptions } from '../../trainer/src/estimators/options.js';
import { spectralLayersOf } from '../../trainer/src/estimators/spectral.js';
import { estimatorConverters } from '../../trainer/src/estimators/converters.js';
import { createEstimator, type BuiltEstimatorName } from '../../trainer/src/estimators/create-estimator.js';
import { loadTensorFlow } from '../../trainer/src/backend/load-tensorflow.js';
import type { TensorFlow } from '../../trainer/src/backend/tensorflow.js';
import { optimizationLevels, relativeError, runModel, type Floats } from '../support/run-model.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

interface Case { readonly title: string; readonly name: BuiltEstimatorName; readonly sampleShape: readonly number[]; readonly options?: EstimatorOptions }

const cases: readonly Case[] = [
  { title: 'mlp', name: 'mlp', sampleShape: [2] },
  { title: 'resnet28', name: 'resnet28', sampleShape: [1, 28, 28] },
  { title: 'mlp with spectral norms', name: 'mlp', sampleShape: [5], options: { spectralNorm: true } },
  { title: 'resnet32, narrow', name: 'resnet32', sampleShape: [3, 16, 16], options: { width: 1 / 8 } },
  { title: 'resnet64 with attention, narrow', name: 'resnet64', sampleShape: [3, 20, 18], options: { width: 1 / 4, attention: true } },
  { title: 'resnet64-shallow with spectral norms, narrow', name: 'resnet64-shallow', sampleShape: [3, 16, 16], options: { width: 1 / 4, spectralNorm: true } },
  { title: 'resnet128 with both, narrow', name: 'resnet128', sampleShape: [1, 32, 32], options: { width: 1 / 4, spectralNorm: true, attention: true } },
];

const normals = (elements: number, count: number, step = 0): Float32Array => {
  const out = new Float32Array(elements * count);
  fillNormals(out, { seed: 7n, purpose: 4, step }, { count, elements });
  return out;
};

const potentials: Record<PairingName, (n: Tensor) => Tensor> = {
  'lsif-chi2': (n) => n.mul(2),
  'lr-kl': (n) => n,
  // Not tf.logSigmoid: its gradient fails on intermediate tensors (it does not save its input).
  'lr-js': (n) => tf.softplus(n.neg()).neg(),
  'lr-logd': (n) => tf.softplus(n),
};

describe.each(cases)('$title', ({ name, sampleShape, options }) => {
  const toTf = (x: Floats): Tensor => toNetwork(tf, x.data, sampleShape);
  const elements = sampleShape.reduce((a: number, b: number) => a * b, 1);
  let network: LayersModel;
  let estimator: Estimator;
  const x: Floats = { data: normals(elements, 5), shape: [5, ...sampleShape] };
  beforeAll(async () => {
    network = createEstimator(tf, name, sampleShape, 3, options);
    // A gain of 0 would hide the attention, and the gradient is compared where it is not tiny.
    for (const weight of network.weights) if (weight.originalName.endsWith('/gain')) weight.write(tf.tensor1d([1.7]));
    for (const layer of spectralLayersOf(network)) layer.iteratePower(1);
    estimator = estimatorOf((await convertLayersModel(network, { converters: estimatorConverters })).model);
  });

  it('converts to a graph with the network\'s output at every optimisation level', async () => {
    const expected = (network.predict(toTf(x)) as Tensor).dataSync();
    for (const level of optimizationLevels) {
      const { logRatio } = await runModel(ratioGraph(estimator, pairingOf('lr-kl')), { x }, level);
      expect(relativeError(logRatio!.data, expected), level).toBeLessThan(1e-5);
      expect(logRatio!.shape).toEqual([5]);
    }
  });

  it.each(pairingNames)('has the drift of tfjs autodiff for %s at every optimisation level', async (pairing) => {
    const drift = tf.grad((input: Tensor) => potentials[pairing](network.apply(input) as Tensor).sum().neg());
    const expected = fromNetwork(tf, drift(toTf(x)));
    for (const level of optimizationLevels) {
      const result = await runModel(gradientGraph(estimator, pairingOf(pairing)), { x }, level);
      expect(relativeError(result['drift']!.data, expected), level).toBeLessThan(1e-4);
      expect(result['drift']!.shape).toEqual(x.shape);
    }
  });

  it('steps and samples as the formula says', async () => {
    const pairing = pairingOf('lr-js');
    const [eta, nu, steps] = [0.7, 0.05, 4];
    const noise = normals(elements * 5, steps, 1);
    const scalar = (value: number): Floats => ({ data: Float32Array.of(value), shape: [] });
    let current = x;
    for (let k = 0; k < steps; k++) {
      const part = noise.subarray(k * x.data.length, (k + 1) * x.data.length);
      const { drift } = await runModel(gradientGraph(estimator, pairing), { x: current });
      const formula = current.data.map((value, i) => value + eta * drift!.data[i]! + nu * part[i]!);
      const { next } = await runModel(stepGraph(estimator, pairing), { x: current, noise: { data: part, shape: x.shape }, eta: scalar(eta), nu: scalar(nu) });
      expect(relativeError(next!.data, formula)).toBeLessThan(1e-6);
      current = next!;
    }
    for (const level of optimizationLevels) {
      const sampled = await runModel(samplerGraph(estimator, pairing), { x0: x, noise: { data: noise, shape: [steps, ...x.shape] }, eta: scalar(eta), nu: scalar(nu) }, level);
      expect(relativeError(sampled['x']!.data, current.data), level).toBeLessThan(1e-5);
    }
  });
});
