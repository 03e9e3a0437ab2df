/** Convolution and pooling layers over many combinations of attributes, against tfjs. */
import { convertLayersModel } from '@ratioflow/export';
import type { SymbolicTensor } from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../../../trainer/src/backend/load-tensorflow.js';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { expectParity, networkOf, operators } from './parity.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const paddings = ['same', 'valid'] as const;
/** Strides and dilations exclude each other in TensorFlow. */
const steps = [{ strides: 1, dilationRate: 1 }, { strides: 2, dilationRate: 1 }, { strides: 3, dilationRate: 1 }, { strides: 1, dilationRate: 2 }];
const combinations = <A, B>(as: readonly A[], bs: readonly B[]): [A, B][] => as.flatMap((a) => bs.map((b): [A, B] => [a, b]));

describe.each(paddings)('padding %s', (padding) => {
  it.each(combinations([1, 2, 3, 4], steps))('Conv2D, kernel %i, %j', async (kernelSize, step) => {
    for (const shape of [[8, 9, 3], [11, 8, 2]]) {
      const model = await expectParity(tf, networkOf(tf, tf.layers.conv2d({ filters: 4, kernelSize, padding, ...step, activation: 'tanh' }), shape));
      expect(operators(model)).not.toContain('Transpose');
    }
  });

  it.each(combinations([1, 2, 3, 5], steps))('Conv1D, kernel %i, %j', async (kernelSize, step) => {
    await expectParity(tf, networkOf(tf, tf.layers.conv1d({ filters: 4, kernelSize, padding, ...step }), [12, 3]));
  });

  it.each([{ strides: 1 }, { strides: 2 }])('Conv3D, %j', async (step) => {
    const model = await expectParity(tf, networkOf(tf, tf.layers.conv3d({ filters: 4, kernelSize: [3, 2, 3], padding, ...step, useBias: false }), [6, 7, 5, 2]));
    expect(operators(model)).toEqual(['Conv']);
  });

  it.each(combinations([1, 2], [1, 2]))('DepthwiseConv2D, stride %i, multiplier %i', async (strides, depthMultiplier) => {
    const model = await expectParity(tf, networkOf(tf, tf.layers.depthwiseConv2d({ kernelSize: 3, strides, depthMultiplier, padding, activation: 'relu6' }), [8, 9, 3]));
    expect(operators(model)).not.toContain('Transpose');
  });

  it.each([{ strides: 1, dilationRate: 1 }, { strides: 2, dilationRate: 1 }, { strides: 1, dilationRate: 2 }])('SeparableConv2D, %j', async (step) => {
    await expectParity(tf, networkOf(tf, tf.layers.separableConv2d({ filters: 5, kernelSize: 3, depthMultiplier: 2, padding, ...step }), [8, 9, 3]));
  });

  it.each(combinations([1, 2, 3, 4], [1, 2, 3]))('Conv2DTranspose, kernel %i, stride %i', async (kernelSize, strides) => {
    const model = await expectParity(tf, networkOf(tf, tf.layers.conv2dTranspose({ filters: 4, kernelSize, strides, padding }), [5, 4, 3]));
    expect(operators(model)).toEqual(['ConvTranspose']);
  });

  it.each(combinations([2, 3], [1, 2]))('Conv3DTranspose, kernel %i, stride %i', async (kernelSize, strides) => {
    await expectParity(tf, networkOf(tf, tf.layers.conv3dTranspose({ filters: 2, kernelSize, strides, padding }), [3, 4, 3, 2]));
  });

  it.each(combinations([2, 3], [1, 2, 3]))('pooling, window %i, stride %i', async (poolSize, strides) => {
    for (const shape of [[8, 9, 3], [7, 6, 2]]) {
      for (const layer of [tf.layers.maxPooling2d({ poolSize, strides, padding }), tf.layers.averagePooling2d({ poolSize, strides, padding })]) {
        expect(operators(await expectParity(tf, networkOf(tf, layer, shape)))).toHaveLength(1);
      }
    }
    for (const layer of [tf.layers.maxPooling1d({ poolSize, strides, padding }), tf.layers.averagePooling1d({ poolSize, strides, padding })]) {
      await expectParity(tf, networkOf(tf, layer, [9, 3]));
    }
    for (const layer of [tf.layers.maxPooling3d({ poolSize, strides, padding }), tf.layers.averagePooling3d({ poolSize, strides, padding })]) {
      await expectParity(tf, networkOf(tf, layer, [5, 6, 4, 3]));
    }
  });
});

it('signals, given and returned with channels first on demand', async () => {
  const network = tf.sequential({ layers: [
    tf.layers.conv1d({ inputShape: [12, 3], filters: 4, kernelSize: 3, activation: 'relu' }), tf.layers.maxPooling1d({ poolSize: 2 }),
    tf.layers.batchNormalization({}), tf.layers.prelu({ sharedAxes: [1] }), tf.layers.conv1d({ filters: 2, kernelSize: 2, padding: 'same' }), tf.layers.layerNormalization({}),
  ] });
  expect(operators(await expectParity(tf, network, { channelsFirst: 'all', imageRank: 3 }))).not.toContain('Transpose');
  expect(operators(await expectParity(tf, network)).filter((opType) => opType === 'Transpose')).toHaveLength(2);
});

it.each(combinations([1, 2, 3], [2, 3]))('zeros %i wide before pooling over %i', async (padding, poolSize) => {
  for (const [make, activation, bias] of [['maxPooling2d', 'linear', -3], ['maxPooling2d', 'relu', 0], ['averagePooling2d', 'linear', -3]] as const) {
    for (const strides of [1, 2]) {
      const x = tf.input({ shape: [6, 7, 3] });
      // Negative values show whether zeros were taken for nothing.
      const values = tf.layers.activation({ activation }).apply(tf.layers.rescaling({ scale: 1, offset: bias }).apply(x)) as SymbolicTensor;
      const y = tf.layers[make]({ poolSize, strides }).apply(tf.layers.zeroPadding2d({ padding }).apply(values)) as SymbolicTensor;
      const folds = padding < poolSize && (make === 'averagePooling2d' || activation === 'relu');
      expect(operators(await expectParity(tf, tf.model({ inputs: x, outputs: y }))).includes('Pad')).toBe(!folds);
    }
  }
});

it('global pooling', async () => {
  for (const make of ['globalAveragePooling2d', 'globalMaxPooling2d'] as const) {
    for (const dataFormat of ['channelsLast', 'channelsFirst'] as const) {
      const model = await expectParity(tf, networkOf(tf, tf.layers[make]({ dataFormat }), [5, 6, 3]), { imageRank: dataFormat === 'channelsLast' ? 4 : Infinity });
      expect(operators(model)).not.toContain('Transpose');
    }
  }
  for (const make of ['globalAveragePooling1d', 'globalMaxPooling1d'] as const) {
    expect(operators(await expectParity(tf, networkOf(tf, tf.layers[make]({}), [5, 3])))).toHaveLength(1);
  }
});

it('channels first in tfjs itself', async () => {
  const dataFormat = 'channelsFirst';
  const network = tf.sequential({ layers: [
    tf.layers.conv2d({ inputShape: [3, 9, 8], filters: 4, kernelSize: 3, padding: 'same', dataFormat, activation: 'relu' }),
    tf.layers.maxPooling2d({ poolSize: 2, dataFormat }),
    tf.layers.batchNormalization({ axis: 1 }),
    tf.layers.depthwiseConv2d({ kernelSize: 2, dataFormat }),
    tf.layers.zeroPadding2d({ padding: [[1, 0], [2, 1]], dataFormat }),
    tf.layers.upSampling2d({ size: [2, 2], dataFormat }),
    tf.layers.conv2dTranspose({ filters: 2, kernelSize: 3, strides: 2, dataFormat }),
    tf.layers.averagePooling2d({ poolSize: 2, dataFormat }),
    tf.layers.flatten({ dataFormat }),
    tf.layers.dense({ units: 3 }),
  ] });
  expect(operators(await expectParity(tf, network, { imageRank: Infinity })).filter((opType) => opType === 'Transpose').length).toBeLessThanOrEqual(1);
});

it('refuses what tfjs itself does not do', async () => {
  await expect(convertLayersModel(networkOf(tf, tf.layers.conv1d({ name: 'past', filters: 2, kernelSize: 2, padding: 'causal' }), [5, 2])))
    .rejects.toThrow('Layer "past" (Conv1D): padding = "causal" is not supported (supported: "same", "valid").');
  await expect(convertLayersModel(networkOf(tf, tf.layers.depthwiseConv2d({ name: 'wide', kernelSize: 2, dilationRate: 2 }), [5, 5, 2])))
    .rejects.toThrow(/Layer "wide" \(DepthwiseConv2D\): dilationRate = \[2,2\] is not supported/);
});
