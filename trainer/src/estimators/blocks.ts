/**
 * Building blocks of the estimators, as plain tfjs layers: LeakyReLU of slope 0.2, convolutions without bias, no
 * normalisation. 3×3 convolutions pad by one on every side, as PyTorch's do, whatever their stride.
 */
import type { SymbolicTensor } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';

/** Slope of LeakyReLU for negative arguments. */
export const leak = 0.2;

export interface Blocks {
  readonly conv3x3: (x: SymbolicTensor, filters: number, stride: number, name: string) => SymbolicTensor;
  readonly activation: (x: SymbolicTensor, name: string) => SymbolicTensor;
  /** act(conv3×3(act(conv3×3 stride(x))) + shortcut(x)); the shortcut is a 1×1 strided convolution where the shape changes. */
  readonly basicBlock: (x: SymbolicTensor, filters: number, stride: number, name: string) => SymbolicTensor;
  /** Global average pool, then one number. */
  readonly head: (x: SymbolicTensor) => SymbolicTensor;
}

export function blocksOf(tf: TensorFlow): Blocks {
  const activation: Blocks['activation'] = (x, name) => tf.layers.leakyReLU({ alpha: leak, name }).apply(x) as SymbolicTensor;
  const conv3x3: Blocks['conv3x3'] = (x, filters, stride, name) => {
    // 'same' is the same as one on every side where the stride is 1.
    const padded = stride === 1 ? x : (tf.layers.zeroPadding2d({ padding: 1, name: `${name}_pad` }).apply(x) as SymbolicTensor);
    return tf.layers.conv2d({ filters, kernelSize: 3, strides: stride, padding: stride === 1 ? 'same' : 'valid', useBias: false, name }).apply(padded) as SymbolicTensor;
  };
  return {
    activation,
    conv3x3,
    basicBlock: (x, filters, stride, name) => {
      const first = activation(conv3x3(x, filters, stride, `${name}_conv1`), `${name}_act1`);
      const second = conv3x3(first, filters, 1, `${name}_conv2`);
      const changes = stride !== 1 || x.shape.at(-1) !== filters;
      const shortcut = changes
        ? (tf.layers.conv2d({ filters, kernelSize: 1, strides: stride, useBias: false, name: `${name}_shortcut` }).apply(x) as SymbolicTensor)
        : x;
      return activation(tf.layers.add({ name: `${name}_add` }).apply([second, shortcut]) as SymbolicTensor, `${name}_act2`);
    },
    head: (x) => {
      const pooled = tf.layers.globalAveragePooling2d({ name: 'pool' }).apply(x) as SymbolicTensor;
      return tf.layers.dense({ units: 1, name: 'head' }).apply(pooled) as SymbolicTensor;
    },
  };
}
