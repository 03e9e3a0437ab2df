/** `mlp`, the estimator of the 2-D experiments: D → 64 → 64 → 64 → 64 → 1. */
import type { LayersModel, layers } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { leak } from './blocks.js';
import type { EstimatorOptions } from './options.js';
import { spectralLayers } from './spectral.js';

const hiddenUnits = 64;
const hiddenLayers = 4;

export function mlp(tf: TensorFlow, sampleShape: readonly number[], options: EstimatorOptions = {}): LayersModel {
  const network = tf.sequential({ name: 'mlp' });
  const spectral = options.spectralNorm ? spectralLayers(tf) : null;
  const dense = (units: number, name: string, inputShape?: readonly number[]): layers.Layer =>
    spectral ? spectral.dense(units, name, inputShape) : tf.layers.dense({ units, name, ...(inputShape && { inputShape: [...inputShape] }) });
  for (let layer = 1; layer <= hiddenLayers; layer++) {
    network.add(dense(Math.max(1, Math.round(hiddenUnits * (options.width ?? 1))), `hidden${layer}`, layer === 1 ? sampleShape : undefined));
    network.add(tf.layers.leakyReLU({ alpha: leak, name: `act${layer}` }));
  }
  network.add(dense(options.outputs ?? 1, 'head'));
  return network;
}
