/** `mlp`, the estimator of the 2-D experiments: D → 64 → 64 → 64 → 64 → 1. */
import type { LayersModel } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { leak } from './blocks.js';

const width = 64;
const hiddenLayers = 4;

export function mlp(tf: TensorFlow, sampleShape: readonly number[]): LayersModel {
  const network = tf.sequential({ name: 'mlp' });
  for (let layer = 1; layer <= hiddenLayers; layer++) {
    network.add(tf.layers.dense({ units: width, name: `hidden${layer}`, ...(layer === 1 && { inputShape: [...sampleShape] }) }));
    network.add(tf.layers.leakyReLU({ alpha: leak, name: `act${layer}` }));
  }
  network.add(tf.layers.dense({ units: 1, name: 'head' }));
  return network;
}
