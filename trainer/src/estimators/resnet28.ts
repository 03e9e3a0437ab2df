/** `resnet28`, a small residual estimator for 28×28 digits: stem 32; Block 32 s2; Block 64 s2; Block 64; Block 64 s2; head. */
import type { LayersModel, SymbolicTensor } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { blocksOf } from './blocks.js';

export function resnet28(tf: TensorFlow, sampleShape: readonly number[]): LayersModel {
  const { conv3x3, activation, basicBlock, head } = blocksOf(tf);
  const [channels, height, width] = sampleShape as [number, number, number];
  const input = tf.input({ shape: [height, width, channels], name: 'x' });
  let x: SymbolicTensor = activation(conv3x3(input, 32, 1, 'stem'), 'stem_act');
  x = basicBlock(x, 32, 2, 'block1');
  x = basicBlock(x, 64, 2, 'block2');
  x = basicBlock(x, 64, 1, 'block3');
  x = basicBlock(x, 64, 2, 'block4');
  return tf.model({ inputs: input, outputs: head(x), name: 'resnet28' });
}
