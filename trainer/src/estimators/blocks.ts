/**
 * Building blocks of the estimators, as plain tfjs layers: LeakyReLU of slope 0.2, convolutions without bias, no
 * normalisation but the spectral one where asked for. 3×3 convolutions pad by one on every side, as PyTorch's do, whatever
 * their stride.
 */
import type { SymbolicTensor } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import type { EstimatorOptions } from './options.js';
import { spectralLayers } from './spectral.js';

/** Slope of LeakyReLU for negative arguments. */
export const leak = 0.2;

export interface Blocks {
  readonly conv1x1: (x: SymbolicTensor, filters: number, name: string, stride?: number) => SymbolicTensor;
  readonly conv3x3: (x: SymbolicTensor, filters: number, stride: number, name: string) => SymbolicTensor;
  readonly activation: (x: SymbolicTensor, name: string) => SymbolicTensor;
  /** act(conv3×3(act(conv3×3 stride(x))) + shortcut(x)); the shortcut is a 1×1 strided convolution where the shape changes. */
  readonly basicBlock: (x: SymbolicTensor, filters: number, stride: number, name: string) => SymbolicTensor;
  /** Global average pool, then one number or as many as there are classes. */
  readonly head: (x: SymbolicTensor, outputs?: number) => SymbolicTensor;
}

export function blocksOf(tf: TensorFlow, { spectralNorm = false }: EstimatorOptions = {}): Blocks {
  const spectral = spectralNorm ? spectralLayers(tf) : null;
  const convolve = (x: SymbolicTensor, filters: number, size: number, stride: number, padding: 'same' | 'valid', name: string): SymbolicTensor => {
    const layer = spectral
      ? spectral.conv2d(filters, size, stride, padding, name)
      : tf.layers.conv2d({ filters, kernelSize: size, strides: stride, padding, useBias: false, name });
    return layer.apply(x) as SymbolicTensor;
  };
  const activation: Blocks['activation'] = (x, name) => tf.layers.leakyReLU({ alpha: leak, name }).apply(x) as SymbolicTensor;
  const conv1x1: Blocks['conv1x1'] = (x, filters, name, stride = 1) => convolve(x, filters, 1, stride, 'valid', name);
  const conv3x3: Blocks['conv3x3'] = (x, filters, stride, name) => {
    // 'same' is the same as one on every side where the stride is 1.
    const padded = stride === 1 ? x : (tf.layers.zeroPadding2d({ padding: 1, name: `${name}_pad` }).apply(x) as SymbolicTensor);
    return convolve(padded, filters, 3, stride, stride === 1 ? 'same' : 'valid', name);
  };
  return {
    activation,
    conv1x1,
    conv3x3,
    basicBlock: (x, filters, stride, name) => {
      const first = activation(conv3x3(x, filters, stride, `${name}_conv1`), `${name}_act1`);
      const second = conv3x3(first, filters, 1, `${name}_conv2`);
      const changes = stride !== 1 || x.shape.at(-1) !== filters;
      const shortcut = changes ? conv1x1(x, filters, `${name}_shortcut`, stride) : x;
      return activation(tf.layers.add({ name: `${name}_add` }).apply([second, shortcut]) as SymbolicTensor, `${name}_act2`);
    },
    head: (x, outputs = 1) => {
      const pooled = tf.layers.globalAveragePooling2d({ name: 'pool' }).apply(x) as SymbolicTensor;
      const layer = spectral ? spectral.dense(outputs, 'head') : tf.layers.dense({ units: outputs, name: 'head' });
      return layer.apply(pooled) as SymbolicTensor;
    },
  };
}
