/** Whole networks against tfjs: no Transpose is left inside those on images. */
import { convertLayersModel } from '@ratioflow/export';
import type { SymbolicTensor } from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { readParameters } from '../../../trainer/src/bridge/onnx-bridge.js';
import { loadTensorFlow } from '../../../trainer/src/backend/load-tensorflow.js';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { expectParity, operators, randomizeWeights } from './parity.js';

type T = SymbolicTensor;

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const apply = (layer: { apply: (x: T | T[]) => unknown }, x: T | T[]): T => layer.apply(x) as T;

describe('networks on images', () => {
  it('a classifier with Flatten between convolution and Dense', async () => {
    const network = tf.sequential({ layers: [
      tf.layers.conv2d({ inputShape: [8, 10, 3], filters: 5, kernelSize: 3, padding: 'same', activation: 'relu' }),
      tf.layers.maxPooling2d({ poolSize: 2 }),
      tf.layers.flatten(), tf.layers.dropout({ rate: 0.5 }), tf.layers.batchNormalization({}), tf.layers.activation({ activation: 'swish' }),
      tf.layers.dense({ units: 7, activation: 'relu' }), tf.layers.dense({ units: 3, activation: 'softmax' }),
    ] });
    expect(operators(await expectParity(tf, network))).not.toContain('Transpose');
  });

  it('a generator with Reshape between Dense and convolution', async () => {
    const network = tf.sequential({ layers: [
      tf.layers.dense({ inputShape: [6], units: 4 * 3 * 5, activation: 'swish' }), tf.layers.batchNormalization({}), tf.layers.leakyReLU({ alpha: 0.2 }),
      tf.layers.reshape({ targetShape: [4, 3, 5] }),
      tf.layers.conv2dTranspose({ filters: 4, kernelSize: 4, strides: 2, padding: 'same', activation: 'relu' }),
      tf.layers.upSampling2d({ size: [2, 2] }),
      tf.layers.conv2d({ filters: 3, kernelSize: 3, padding: 'same', activation: 'tanh' }),
    ] });
    expect(operators(await expectParity(tf, network))).not.toContain('Transpose');
  });

  it('both: two heads that flatten one tensor, each with its own Dense', async () => {
    const x = tf.input({ shape: [4, 6, 3] });
    const features = apply(tf.layers.conv2d({ filters: 4, kernelSize: 3, activation: 'relu' }), x);
    const flat = apply(tf.layers.flatten(), features);
    const network = tf.model({ inputs: x, outputs: [apply(tf.layers.dense({ units: 2 }), flat), apply(tf.layers.dense({ units: 3 }), flat)] });
    expect(operators(await expectParity(tf, network))).toEqual(['Conv', 'Relu', 'Reshape', 'Gemm', 'Gemm']);
  });

  it('keeps the order where someone sees it', async () => {
    const x = tf.input({ shape: [4, 6, 3] });
    const flat = apply(tf.layers.flatten(), apply(tf.layers.conv2d({ filters: 4, kernelSize: 3 }), x));
    const shared = tf.layers.dense({ units: 32 });
    const twice = apply(shared, apply(shared, flat));
    await expectParity(tf, tf.model({ inputs: x, outputs: [flat, apply(tf.layers.dense({ units: 2 }), flat)] }));
    await expectParity(tf, tf.model({ inputs: x, outputs: twice }));
    await expectParity(tf, tf.model({ inputs: x, outputs: apply(tf.layers.softmax({}), flat) }));
  });

  it('residual blocks with squeeze and excitation, as in MobileNet and EfficientNet', async () => {
    const x = tf.input({ shape: [12, 12, 3] });
    const block = (input: T, expand: number, filters: number, strides: number): T => {
      const channels = input.shape.at(-1)!;
      let y = apply(tf.layers.conv2d({ filters: channels * expand, kernelSize: 1, useBias: false }), input);
      y = apply(tf.layers.activation({ activation: 'swish' }), apply(tf.layers.batchNormalization({}), y));
      y = apply(tf.layers.zeroPadding2d({ padding: [[0, 1], [0, 1]] }), y);
      y = apply(tf.layers.depthwiseConv2d({ kernelSize: 3, strides, padding: strides === 1 ? 'same' : 'valid', useBias: false }), y);
      if (strides === 1) y = apply(tf.layers.cropping2D({ cropping: [[0, 1], [0, 1]] }), y);
      y = apply(tf.layers.reLU({ maxValue: 6 }), apply(tf.layers.batchNormalization({}), y));
      const squeezed = apply(tf.layers.reshape({ targetShape: [1, 1, channels * expand] }), apply(tf.layers.globalAveragePooling2d({}), y));
      const gate = apply(tf.layers.conv2d({ filters: channels * expand, kernelSize: 1, activation: 'sigmoid' }), apply(tf.layers.conv2d({ filters: 2, kernelSize: 1, activation: 'relu' }), squeezed));
      y = apply(tf.layers.batchNormalization({}), apply(tf.layers.conv2d({ filters, kernelSize: 1 }), apply(tf.layers.multiply(), [y, gate])));
      return strides === 1 && filters === channels ? apply(tf.layers.add(), [input, y]) : y;
    };
    const stem = apply(tf.layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: 'same' }), x);
    const y = block(block(block(stem, 2, 4, 1), 3, 6, 2), 2, 6, 1);
    const network = tf.model({ inputs: x, outputs: apply(tf.layers.dense({ units: 5, activation: 'softmax' }), apply(tf.layers.globalAveragePooling2d({}), y)) });
    expect(operators(await expectParity(tf, network, { tolerance: 2e-5 }))).not.toContain('Transpose');
  });

  it('a U-Net with layer normalisation, concatenation and two inputs', async () => {
    const [x, level] = [tf.input({ shape: [8, 8, 2] }), tf.input({ shape: [1] })];
    const embedded = apply(tf.layers.reshape({ targetShape: [1, 1, 4] }), apply(tf.layers.dense({ units: 4, activation: 'gelu' }), level));
    const conv = (input: T, filters: number, strides = 1): T => apply(tf.layers.conv2d({ filters, kernelSize: 3, strides, padding: 'same' }), input);
    const top = apply(tf.layers.add(), [apply(tf.layers.layerNormalization({}), conv(x, 4)), embedded]);
    const bottom = apply(tf.layers.prelu({ sharedAxes: [1, 2] }), conv(top, 6, 2));
    const joined = apply(tf.layers.concatenate(), [apply(tf.layers.upSampling2d({ size: [2, 2], interpolation: 'bilinear' }), bottom), top]);
    expect(operators(await expectParity(tf, tf.model({ inputs: [x, level], outputs: [conv(joined, 2), bottom] })))).not.toContain('Transpose');
  });

  it('volumes', async () => {
    const network = tf.sequential({ layers: [
      tf.layers.conv3d({ inputShape: [6, 6, 6, 2], filters: 3, kernelSize: 3, padding: 'same', activation: 'relu' }), tf.layers.maxPooling3d({ poolSize: 2 }),
      tf.layers.flatten(), tf.layers.dense({ units: 2 }),
    ] });
    expect(operators(await expectParity(tf, network))).not.toContain('Transpose');
  });
});

describe('structure', () => {
  it('nested models whose layers have the same names', async () => {
    const make = (): ReturnType<TensorFlow['sequential']> => tf.sequential({ layers: [tf.layers.conv2d({ name: 'conv', inputShape: [6, 6, 2], filters: 3, kernelSize: 3 }), tf.layers.flatten({ name: 'flat' }), tf.layers.dense({ name: 'head', units: 4 })] });
    const [x, a, b] = [tf.input({ shape: [6, 6, 2] }), make(), make()];
    expect(operators(await expectParity(tf, tf.model({ inputs: x, outputs: apply(tf.layers.concatenate(), [apply(a, x), apply(b, x)]) })))).not.toContain('Transpose');
  });

  it('shared layers and shared models', async () => {
    const inner = tf.sequential({ layers: [tf.layers.dense({ inputShape: [5], units: 4, activation: 'tanh' }), tf.layers.dense({ units: 5 })] });
    const [x, y] = [tf.input({ shape: [5] }), tf.input({ shape: [5] })];
    const once = apply(inner, x);
    await expectParity(tf, tf.model({ inputs: [x, y], outputs: [apply(tf.layers.add(), [once, apply(inner, y)]), apply(inner, once)] }));
  });

  it('weights that a caller can set anew, in whatever order the graph holds them', async () => {
    const network = tf.sequential({ layers: [
      tf.layers.conv2d({ inputShape: [5, 6, 2], filters: 3, kernelSize: 2 }), tf.layers.flatten(), tf.layers.batchNormalization({}), tf.layers.dense({ units: 2 * 3 * 4 }),
      tf.layers.reshape({ targetShape: [2, 3, 4] }), tf.layers.depthwiseConv2d({ kernelSize: 2 }), tf.layers.reshape({ targetShape: [2, 4] }), tf.layers.lstm({ units: 3 }),
    ] });
    randomizeWeights(tf, network);
    const { model, parameters } = await convertLayersModel(network);
    expect(parameters.map(({ index }) => index)).toEqual(network.weights.map((_, index) => index));
    const stored = parameters.map(({ value }) => Buffer.from(model.graph.initializers.get(value)!.data as Uint8Array).toString('hex'));
    expect(readParameters(network, parameters).map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength).toString('hex'))).toEqual(stored);
  });

  it('converters of custom layers', async () => {
    const network = tf.sequential({ layers: [tf.layers.activation({ inputShape: [4], activation: 'tanh' }), tf.layers.dense({ units: 2 })] });
    const { model } = await convertLayersModel(network, { converters: { Activation: ({ builder }, [x]) => ({ value: builder.op('Sin', [x!.value]), layout: x!.layout }) } });
    expect(operators(model)).toEqual(['Sin', 'Gemm']);
  });
});
