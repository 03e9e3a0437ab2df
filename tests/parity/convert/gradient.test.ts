/** What the converter emits can be differentiated: gradients of converted networks against tfjs's own. */
import { convertLayersModel, gradient } from '@ratioflow/export';
import type { LayersModel, SymbolicTensor, Tensor } from '@tensorflow/tfjs';
import { beforeAll, expect, it } from 'vitest';
import { loadTensorFlow } from '../../../trainer/src/backend/load-tensorflow.js';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { relativeError, runModel } from '../../support/run-model.js';
import { normals, randomizeWeights, toChannelsFirst } from './parity.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

type T = SymbolicTensor;
const apply = (layer: { apply: (x: T | T[]) => unknown }, x: T | T[]): T => layer.apply(x) as T;

const networks: [string, (x: T) => T][] = [
  // tfjs has no gradient of dilated convolutions.
  ['strided convolutions', (x) => apply(tf.layers.conv2d({ filters: 3, kernelSize: 2, strides: [1, 2], activation: 'tanh' }), apply(tf.layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: 'same', activation: 'swish' }), x))],
  ['depthwise and separable convolutions', (x) => apply(tf.layers.separableConv2d({ filters: 3, kernelSize: 2, activation: 'elu' }), apply(tf.layers.depthwiseConv2d({ kernelSize: 3, strides: 2, padding: 'same', activation: 'relu6' }), x))],
  ['transposed convolution', (x) => apply(tf.layers.conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2, padding: 'same', activation: 'softplus' }), x)],
  ['pooling', (x) => apply(tf.layers.averagePooling2d({ poolSize: 3, strides: 1, padding: 'same' }), apply(tf.layers.maxPooling2d({ poolSize: 2 }), x))],
  ['normalisation and PReLU', (x) => apply(tf.layers.layerNormalization({}), apply(tf.layers.prelu({ sharedAxes: [1, 2] }), apply(tf.layers.batchNormalization({}), x)))],
  ['cropping, upsampling, padding', (x) => apply(tf.layers.zeroPadding2d({ padding: 1 }), apply(tf.layers.upSampling2d({ size: [2, 2] }), apply(tf.layers.cropping2D({ cropping: [[3, 1], [0, 2]] }), x)))],
  ['bilinear upsampling', (x) => apply(tf.layers.upSampling2d({ size: [2, 2], interpolation: 'bilinear' }), x)],
  ['squeeze and excitation', (x) => apply(tf.layers.multiply(), [x, apply(tf.layers.dense({ units: 3, activation: 'sigmoid' }), apply(tf.layers.reshape({ targetShape: [1, 1, 3] }), apply(tf.layers.globalAveragePooling2d({}), x)))])],
  ['a flattened head with softmax', (x) => apply(tf.layers.dense({ units: 4, activation: 'softmax' }), apply(tf.layers.flatten(), apply(tf.layers.activation({ activation: 'hardSigmoid' }), x)))],
  ['merging', (x) => apply(tf.layers.concatenate(), [apply(tf.layers.average(), [x, apply(tf.layers.activation({ activation: 'selu' }), x)]), apply(tf.layers.maximum(), [x, apply(tf.layers.activation({ activation: 'mish' }), x)])])],
];

it.each(networks)('%s', async (_, make) => {
  const input = tf.input({ shape: [8, 6, 3] });
  // A weighted sum of the outputs, so that no symmetry hides an error.
  const output = make(input);
  const head = apply(tf.layers.dense({ units: 1, useBias: false }), output.shape.length > 2 ? apply(tf.layers.flatten(), output) : output);
  const network: LayersModel = tf.model({ inputs: input, outputs: head });
  randomizeWeights(tf, network);
  const x = tf.tensor(normals(2 * 8 * 6 * 3), [2, 8, 6, 3]);
  const expected = tf.grad((value: Tensor) => (network.apply(value) as Tensor).sum())(x);
  const { model } = await convertLayersModel(network);
  const name = model.graph.inputs[0]!.name;
  const differentiated = gradient(model, { of: model.graph.outputs[0]!.name, wrt: name });
  const data = toChannelsFirst({ data: x.dataSync<'float32'>(), shape: x.shape }) as { data: Float32Array; shape: readonly number[] };
  for (const level of ['disabled', 'all'] as const) {
    const results = await runModel(differentiated, { [name]: data }, level);
    expect(relativeError(results[`grad_${name}`]!.data, toChannelsFirst({ data: expected.dataSync<'float32'>(), shape: x.shape }).data), level).toBeLessThan(1e-4);
  }
});
