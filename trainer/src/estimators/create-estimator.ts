/** Estimators by name, with initial weights that follow from the seed alone. */
import type { LayersModel } from '@tensorflow/tfjs';
import { fillUniforms, purposes, type Seed } from '@ratioflow/sdk';
import type { TensorFlow } from '../backend/tensorflow.js';
import { ConfigError } from '../errors.js';
import { mlp } from './mlp.js';
import { resnet28 } from './resnet28.js';

/** Names of the estimators, as they stand in configurations. */
export const estimatorNames = ['mlp', 'resnet28'] as const;
export type EstimatorName = (typeof estimatorNames)[number];

interface Architecture {
  /** Shapes of samples that it accepts, in words and as a test. */
  readonly accepts: string;
  readonly fits: (sampleShape: readonly number[]) => boolean;
  readonly build: (tf: TensorFlow, sampleShape: readonly number[]) => LayersModel;
}

const architectures: Readonly<Record<EstimatorName, Architecture>> = {
  mlp: { accepts: 'points [D]', fits: (shape) => shape.length === 1, build: mlp },
  resnet28: { accepts: 'images [C, H, W] of at least 8×8', fits: (shape) => shape.length === 3 && shape[1]! >= 8 && shape[2]! >= 8, build: resnet28 },
};

/**
 * Makes an estimator: a LayersModel x [N, …] (channels last) → n [N, 1].
 * @throws {ConfigError} when the samples do not fit the architecture
 */
export function createEstimator(tf: TensorFlow, name: EstimatorName, sampleShape: readonly number[], seed: Seed): LayersModel {
  const architecture = architectures[name];
  if (!architecture.fits(sampleShape)) {
    throw new ConfigError(`estimator.name = "${name}" takes ${architecture.accepts}; the data are of shape [${sampleShape.join(', ')}].`);
  }
  const network = architecture.build(tf, sampleShape);
  initialize(tf, network, seed);
  return network;
}

/** PyTorch's default: kernels and biases ~ U(±1/√fan-in), drawn by the noise specification, one step per array. */
export function initialize(tf: TensorFlow, network: LayersModel, seed: Seed): void {
  let fanIn = 1;
  const arrays = network.weights.map((weight, index) => {
    const shape = weight.shape.map((extent) => extent ?? 0);
    // A bias follows its kernel and shares its fan-in.
    if (shape.length > 1) fanIn = shape.slice(0, -1).reduce((a, b) => a * b, 1);
    const elements = shape.reduce((a, b) => a * b, 1);
    const values = new Float64Array(elements);
    fillUniforms(values, { seed, purpose: purposes.weights, step: index }, { count: 1, elements });
    return tf.tensor(Float32Array.from(values, (p) => (2 * p - 1) / Math.sqrt(fanIn)), shape);
  });
  network.setWeights(arrays);
  tf.dispose(arrays);
}
