/** Networks of random layers in random order, the same for a seed: combinations that nobody would think of. */
import { normals } from '@ratioflow/sdk';
import type { LayersModel, SymbolicTensor } from '@tensorflow/tfjs';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';

type T = SymbolicTensor;
interface Applied { apply(x: T | T[]): unknown }
const on = (layer: Applied, ...x: T[]): T => layer.apply(x.length === 1 ? x[0]! : x) as T;

const activations = ['relu', 'relu6', 'elu', 'selu', 'sigmoid', 'tanh', 'softplus', 'softsign', 'swish', 'mish', 'hardSigmoid', 'linear', 'gelu', 'gelu_new'] as const;
const paddings = ['same', 'valid'] as const;

/** Draws from lists, one number of a stream after the other. */
export type Pick = <Item>(items: readonly Item[]) => Item;
export function picker(seed: number): Pick {
  const stream = normals({ seed, purpose: 4, step: 0, count: 1, elements: 512 });
  let at = 0;
  // The digits of a normal far behind the point are uniform.
  return (items) => items[Math.floor(((Math.abs(stream[at++]!) * 4096) % 1) * items.length)]!;
}

/** Layers on [N, rows, columns, channels] that keep this rank; each is tried where it fits. */
function imageLayers({ layers }: TensorFlow, pick: Pick, x: T): (() => T)[] {
  const [, h, w, c] = x.shape as [null, number, number, number];
  const padding = pick(paddings);
  const kernelSize = Math.min(pick([1, 2, 3, 4, 5]), padding === 'valid' ? Math.min(h, w) : 5);
  const more = { padding, activation: pick(activations), useBias: pick([true, true, false]) };
  const strides = pick([1, 1, 2]);
  const window = { poolSize: Math.min(pick([2, 3]), h, w), strides, padding };
  const like = (activation: (typeof activations)[number], size = 1): T => on(layers.conv2d({ filters: c, kernelSize: size, padding: 'same', activation }), x);
  return [
    () => on(layers.conv2d({ filters: pick([1, 3, 8]), kernelSize: [kernelSize, Math.min(kernelSize, pick([1, 2, 5]))], strides, ...more }), x),
    () => on(layers.depthwiseConv2d({ kernelSize, strides, depthMultiplier: pick([1, 2]), ...more }), x),
    () => on(layers.separableConv2d({ filters: 5, kernelSize, strides, ...more }), x),
    () => (h * w > 100 ? x : on(layers.conv2dTranspose({ filters: 3, kernelSize: pick([1, 2, 3, 4]), strides: pick([1, 2, 3]), ...more }), x)),
    () => (Math.min(h, w) < 2 ? x : on(layers.maxPooling2d(window), x)),
    () => (Math.min(h, w) < 2 ? x : on(layers.averagePooling2d(window), x)),
    // tfjs cannot differentiate one without offset or scale.
    () => on(layers.batchNormalization({ epsilon: pick([1e-3, 0.01]) }), x),
    () => on(layers.layerNormalization({ axis: pick([[1, 2, 3], [2, 3]]) }), x),
    () => on(layers.zeroPadding2d({ padding: pick([1, [1, 2], [[0, 1], [2, 0]]] as never[]) }), x),
    () => (Math.min(h, w) < 4 ? x : on(layers.cropping2D({ cropping: pick([[[1, 0], [0, 1]], [[1, 1], [1, 1]]] as never[]) }), x)),
    () => (h * w > 100 ? x : on(layers.upSampling2d({ size: pick([[2, 2], [1, 3]]), interpolation: 'nearest' }), x)),
    () => on(layers.prelu(pick([{}, { sharedAxes: [1, 2] }, { sharedAxes: [1] }])), x),
    () => on(layers.dense({ units: 4, activation: pick(activations) }), x),
    () => on(layers.permute({ dims: pick([[2, 1, 3], [3, 1, 2]]) }), x),
    () => on(layers.reshape({ targetShape: pick([[w, h, c], [h, c, w]]) }), x),
    () => on(layers.add(), x, like(pick(activations), 3)),
    () => on(layers.multiply(), x, like('sigmoid')),
    () => on(pick([layers.minimum, layers.maximum, layers.average])(), x, like('linear')),
    () => on(layers.concatenate({ axis: pick([-1, 1, 2]) }), x, like('tanh')),
    () => on(layers.multiply(), x, on(layers.reshape({ targetShape: [1, 1, c] }), on(layers.dense({ units: c, activation: 'sigmoid' }), on(layers.globalAveragePooling2d({}), x)))),
  ];
}

/** Layers on [N, steps, channels] that keep this rank. */
function sequenceLayers({ layers }: TensorFlow, pick: Pick, x: T): (() => T)[] {
  const [, t, c] = x.shape as [null, number, number];
  return [
    () => on(layers.conv1d({ filters: 4, kernelSize: Math.min(pick([1, 2, 3]), t), padding: pick(paddings), activation: pick(activations) }), x),
    () => (t < 3 ? x : on(layers.averagePooling1d({ poolSize: 2, padding: pick(paddings) }), x)),
    () => on(layers.lstm({ units: 3, returnSequences: true, goBackwards: pick([true, false]) }), x),
    () => on(layers.gru({ units: 3, returnSequences: true }), x),
    () => on(layers.simpleRNN({ units: 3, returnSequences: true }), x),
    () => on(layers.bidirectional({ layer: layers.lstm({ units: 2, returnSequences: true }), mergeMode: pick(['concat', 'sum', 'ave', 'mul']) as never }), x),
    () => on(layers.permute({ dims: [2, 1] }), x),
    () => on(layers.dense({ units: 4, activation: pick(activations) }), x),
    () => on(layers.dot({ axes: 2 }), x, on(layers.dense({ units: c }), x)),
  ];
}

/** A network of two to seven random layers on images or, one in four, on sequences. */
export function randomNetwork(tf: TensorFlow, seed: number): LayersModel {
  const pick = picker(seed);
  const images = pick([true, true, true, false]);
  const input = tf.input({ shape: images ? [pick([5, 8, 9]), pick([6, 7, 8]), pick([1, 3, 4])] : [pick([4, 7]), pick([1, 3])] });
  let x = input;
  for (let depth = pick([2, 3, 4, 5, 6, 7]); depth > 0; depth--) x = pick((images ? imageLayers : sequenceLayers)(tf, pick, x))();
  return tf.model({ inputs: input, outputs: on(tf.layers.dense({ units: 3 }), on(tf.layers.flatten(), x)) });
}
