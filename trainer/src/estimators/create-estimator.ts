/** Estimators by name, with initial weights that follow from the seed alone. */
import type { LayersModel } from '@tensorflow/tfjs';
import { fillNormals, fillUniforms, purposes, type Seed } from '@ratioflow/sdk';
import type { TensorFlow } from '../backend/tensorflow.js';
import { ConfigError } from '../errors.js';
import { mlp } from './mlp.js';
import type { EstimatorOptions } from './options.js';
import { residual, residualNames } from './residual.js';
import { spectralLayersOf, startingIterations } from './spectral.js';

/** Names of the estimators that are built here. */
export const builtEstimatorNames = ['mlp', ...residualNames] as const;
export type BuiltEstimatorName = (typeof builtEstimatorNames)[number];
/** Names of the estimators, as they stand in configurations; `custom` is the user's own network. */
export const estimatorNames = [...builtEstimatorNames, 'custom'] as const;
export type EstimatorName = (typeof estimatorNames)[number];

/**
 * Makes an estimator: a LayersModel x [N, …] (channels last) → n [N, 1].
 * @throws {ConfigError} when the samples do not fit the architecture, or it lacks an option
 */
export function createEstimator(tf: TensorFlow, name: BuiltEstimatorName, sampleShape: readonly number[], seed: Seed, options: EstimatorOptions = {}): LayersModel {
  const points = name === 'mlp';
  const fits = points ? sampleShape.length === 1 : sampleShape.length === 3 && sampleShape[1]! >= 8 && sampleShape[2]! >= 8;
  const field = options.outputs === undefined ? 'estimator' : 'network';
  if (!fits) {
    const accepts = points ? 'points [D]' : 'images [C, H, W] of at least 8×8';
    throw new ConfigError(`${field}.name = "${name}" takes ${accepts}; the data are of shape [${sampleShape.join(', ')}].`);
  }
  if (points && options.attention) throw new ConfigError(`${field}.attention = true needs a network of images; ${field}.name = "mlp" has points.`);
  const network = points ? mlp(tf, sampleShape, options) : residual(tf, name, sampleShape, options);
  initialize(tf, network, seed);
  return network;
}

/**
 * PyTorch's default: kernels and biases ~ U(±1/√fan-in), drawn by the noise specification, one step per array. Gains of
 * attention are 0; vectors of spectral normalisation start from normals; other arrays (of a user's network) stay as they are.
 */
export function initialize(tf: TensorFlow, network: LayersModel, seed: Seed): void {
  let fanIn = 1;
  const arrays = network.weights.map((weight, index) => {
    const shape = weight.shape.map((extent) => extent ?? 0);
    // A bias follows its kernel and shares its fan-in.
    if (shape.length > 1) fanIn = shape.slice(0, -1).reduce((a, b) => a * b, 1);
    const elements = shape.reduce((a, b) => a * b, 1);
    const stream = { seed, purpose: purposes.weights, step: index };
    const kind = weight.originalName.replace(/_\d+$/, '').split('/').at(-1)!;
    if (kind === 'gain') return tf.zeros(shape);
    if (kind.startsWith('spectral_')) {
      const vector = new Float32Array(elements);
      fillNormals(vector, stream, { count: 1, elements });
      return tf.tensor(vector, shape);
    }
    if (!kind.includes('kernel') && kind !== 'bias') return weight.read().clone();
    const values = new Float64Array(elements);
    fillUniforms(values, stream, { count: 1, elements });
    return tf.tensor(Float32Array.from(values, (p) => (2 * p - 1) / Math.sqrt(fanIn)), shape);
  });
  network.setWeights(arrays);
  tf.dispose(arrays);
  for (const layer of spectralLayersOf(network)) layer.iteratePower(startingIterations);
}
