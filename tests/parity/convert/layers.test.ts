/** Every other layer, against tfjs. */
import { convertLayersModel } from '@ratioflow/export';
import type { SymbolicTensor, Tensor, Tensor4D } from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../../../trainer/src/backend/load-tensorflow.js';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { expectParity, networkOf, normals, operators, type Layer } from './parity.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const image = [5, 6, 4];
const sequence = [7, 4];
const vector = [9];

describe('activations', () => {
  const names = ['elu', 'gelu', 'gelu_new', 'hardSigmoid', 'linear', 'logSoftmax', 'mish', 'relu', 'relu6', 'selu', 'sigmoid', 'softmax', 'softplus', 'softsign', 'swish', 'tanh'];
  it.each(names)('%s', async (name) => {
    const activation = name as 'relu';
    for (const shape of [image, sequence, vector]) {
      const model = await expectParity(tf, networkOf(tf, tf.layers.activation({ activation }), shape));
      expect(operators(model)).not.toContain('Transpose');
    }
    await expectParity(tf, networkOf(tf, tf.layers.conv2d({ filters: 3, kernelSize: 2, activation }), image));
    await expectParity(tf, networkOf(tf, tf.layers.dense({ units: 3, activation }), sequence));
  });

  const layers: [string, () => Layer][] = [
    ['ReLU', () => tf.layers.reLU({})],
    ['ReLU with maxValue', () => tf.layers.reLU({ maxValue: 0.7 })],
    ['LeakyReLU', () => tf.layers.leakyReLU({ alpha: 0.1 })],
    ['ELU', () => tf.layers.elu({})],
    ['PReLU', () => tf.layers.prelu({})],
    ['ThresholdedReLU', () => tf.layers.thresholdedReLU({ theta: 0.4 })],
    ['Softmax over the last axis', () => tf.layers.softmax({ axis: -1 })],
  ];
  it.each(layers)('%s', async (_, make) => {
    for (const shape of [image, sequence, vector]) await expectParity(tf, networkOf(tf, make(), shape));
  });

  it('Softmax over its default axis, which tfjs runs where it is the last one', async () => {
    expect(operators(await expectParity(tf, networkOf(tf, tf.layers.softmax({}), vector)))).toEqual(['Softmax']);
  });

  it('PReLU with shared axes', async () => {
    const model = await expectParity(tf, networkOf(tf, tf.layers.prelu({ sharedAxes: [1, 2] }), image));
    expect(operators(model)).toEqual(['PRelu']);
  });

  it('Softmax over several axes', async () => {
    await expectParity(tf, networkOf(tf, tf.layers.softmax({ axis: [1, 3] as unknown as number }), image));
  });
});

describe('normalisation', () => {
  const layers: [string, () => Layer, string[]][] = [
    ['batch', () => tf.layers.batchNormalization({}), ['BatchNormalization']],
    ['batch, without scale', () => tf.layers.batchNormalization({ scale: false }), ['BatchNormalization']],
    ['batch, without offset', () => tf.layers.batchNormalization({ center: false, epsilon: 0.1 }), ['BatchNormalization']],
  ];
  it.each(layers)('%s', async (_, make, expected) => {
    for (const shape of [image, vector]) expect(operators(await expectParity(tf, networkOf(tf, make(), shape)))).toEqual(expected);
    await expectParity(tf, networkOf(tf, make(), sequence));
  });
  it.each([1, 2, 3])('batch along axis %i', async (axis) => {
    expect(operators(await expectParity(tf, networkOf(tf, tf.layers.batchNormalization({ axis }), image)))).not.toContain('Transpose');
  });
  it.each([[-1], [3], [1, 2], [2, 3], [1, 2, 3], [1, 3]].map((axis) => ({ axis })))('layer, %j', async ({ axis }) => {
    for (const options of [{}, { scale: false }, { center: false, epsilon: 0.01 }]) {
      const model = await expectParity(tf, networkOf(tf, tf.layers.layerNormalization({ axis, ...options }), image));
      expect(operators(model)).not.toContain('Transpose');
    }
  });
  it('layer, on vectors and sequences', async () => {
    for (const shape of [sequence, vector]) expect(operators(await expectParity(tf, networkOf(tf, tf.layers.layerNormalization({}), shape)))).toEqual(['LayerNormalization']);
  });
});

describe('shapes', () => {
  const layers: [string, () => Layer, number[][]][] = [
    ['Flatten', () => tf.layers.flatten(), [image, sequence]],
    ['Reshape to a sequence', () => tf.layers.reshape({ targetShape: [30, 4] }), [image]],
    ['Reshape with an open extent', () => tf.layers.reshape({ targetShape: [-1, 2] }), [image, sequence]],
    ['Reshape to another image', () => tf.layers.reshape({ targetShape: [10, 3, 4] }), [image]],
    ['Reshape to an image', () => tf.layers.reshape({ targetShape: [2, 7, 2] }), [sequence]],
    ['RepeatVector', () => tf.layers.repeatVector({ n: 3 }), [vector]],
    ['ZeroPadding2D', () => tf.layers.zeroPadding2d({ padding: [[1, 0], [2, 3]] }), [image]],
    ['Cropping2D', () => tf.layers.cropping2D({ cropping: [[1, 2], [0, 3]] }), [image]],
    ['UpSampling2D', () => tf.layers.upSampling2d({ size: [3, 2] }), [image]],
    ['UpSampling2D bilinear', () => tf.layers.upSampling2d({ size: [2, 3], interpolation: 'bilinear' }), [image]],
  ];
  it.each(layers)('%s', async (_, make, shapes) => {
    for (const shape of shapes) await expectParity(tf, networkOf(tf, make(), shape));
  });

  it.each([[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]].map((dims) => ({ dims })))('Permute, %j', async ({ dims }) => {
    const model = await expectParity(tf, networkOf(tf, tf.layers.permute({ dims }), image));
    // Inputs and outputs have channels first: one Transpose at most.
    expect(operators(model).filter((opType) => opType === 'Transpose').length).toBeLessThanOrEqual(1);
    await expectParity(tf, networkOf(tf, tf.layers.permute({ dims }), image), { imageRank: Infinity, channelsFirst: 'none' });
  });
  it('Permute of a sequence', async () => {
    await expectParity(tf, networkOf(tf, tf.layers.permute({ dims: [2, 1] }), sequence));
  });

  it.each(['bilinear', 'nearest'])('Resizing, %s', async (interpolation) => {
    for (const cropToAspectRatio of [false, true]) {
      for (const [height, width] of [[10, 12], [3, 4], [7, 5], [1, 1], [5, 6]] as const) {
        const layer = tf.layers.resizing({ height, width, interpolation: interpolation as 'nearest', cropToAspectRatio });
        // tfjs gives this layer a symbolic shape without the batch axis, and runs it on a tensor only: not in a network.
        layer.computeOutputShape = () => [null, height, width, 4];
        const network = networkOf(tf, layer, image);
        network.predict = (x) => layer.call((x as Tensor4D[])[0]!, {});
        expect(operators(await expectParity(tf, network))).not.toContain('Transpose');
      }
    }
  });
  it.each([[9, 8, 5, 4], [8, 8, 3, 3], [8, 9, 8, 8], [5, 6, 7, 9], [10, 10, 1, 2], [9, 9, 9, 9], [12, 11, 6, 7]])('CenterCrop, %ix%i to %ix%i', async (h, w, height, width) => {
    await expectParity(tf, networkOf(tf, tf.layers.centerCrop({ height, width }), [h, w, 3]));
  });
  it('Rescaling', async () => {
    await expectParity(tf, networkOf(tf, tf.layers.rescaling({ scale: 1 / 127.5, offset: -1 }), image));
  });
});

describe('merging', () => {
  const layers: [string, () => Layer][] = [
    ['Add', () => tf.layers.add()], ['Multiply', () => tf.layers.multiply()], ['Average', () => tf.layers.average()],
    ['Maximum', () => tf.layers.maximum()], ['Minimum', () => tf.layers.minimum()],
  ];
  it.each(layers)('%s', async (_, make) => {
    for (const shapes of [[image, image, image], [sequence, sequence], [image, [1, 1, 4]], [image, [5, 6, 1], [1, 6, 1]], [[1, 4], sequence]]) {
      const model = await expectParity(tf, networkOf(tf, make(), ...shapes));
      expect(operators(model)).not.toContain('Transpose');
    }
  });
  it.each(layers)('%s of a vector and an image', async (_, make) => {
    const [x, v] = [tf.input({ shape: image }), tf.input({ shape: [4] })];
    const model = await expectParity(tf, tf.model({ inputs: [x, v], outputs: make().apply([x, v]) as SymbolicTensor }));
    expect(operators(model)).not.toContain('Transpose');
  });
  it.each([-1, 1, 2, 3])('Concatenate along %i', async (axis) => {
    const other = image.map((extent, index) => (index === (axis < 0 ? 2 : axis - 1) ? extent + 1 : extent));
    expect(operators(await expectParity(tf, networkOf(tf, tf.layers.concatenate({ axis }), image, other)))).toEqual(['Concat']);
  });
  const dots: [number | [number, number], boolean, number[][]][] = [
    [1, false, [vector, vector]], [-1, true, [vector, vector]], [2, false, [[5, 4], [6, 4]]], [[1, 1], false, [[5, 4], [5, 3]]],
    [[2, 1], true, [[5, 4], [4, 3]]], [[1, 2], false, [[5, 4], [3, 5]]], [[2, 1], false, [[5, 4], [4]]], [[1, 1], false, [[5], [5, 3]]],
  ];
  it.each(dots)('Dot, axes %j, normalize %s, %j', async (axes, normalize, shapes) => {
    await expectParity(tf, networkOf(tf, tf.layers.dot({ axes: axes, normalize }), ...shapes));
  });
});

describe('core', () => {
  it('Dense on vectors, sequences and images', async () => {
    for (const useBias of [true, false]) {
      expect(operators(await expectParity(tf, networkOf(tf, tf.layers.dense({ units: 3, useBias }), vector)))).toEqual(['Gemm']);
      expect(operators(await expectParity(tf, networkOf(tf, tf.layers.dense({ units: 3, useBias }), sequence)))).not.toContain('Transpose');
      expect(operators(await expectParity(tf, networkOf(tf, tf.layers.dense({ units: 3, useBias }), image)))).toEqual(['Conv']);
    }
  });
  it('Embedding of integers and of floating-point numbers', async () => {
    for (const dtype of ['int32', 'float32'] as const) {
      const input = tf.input({ shape: [6], dtype });
      const output = tf.layers.embedding({ inputDim: 10, outputDim: 4 }).apply(input) as SymbolicTensor;
      await expectParity(tf, tf.model({ inputs: input, outputs: output }), { inputs: [tf.tensor([[1, 2, 3, 9, 0, 1], [5, 5, 5, 4, 3, 2]], [2, 6], dtype)] });
    }
  });
  it('layers that do nothing at inference', async () => {
    const network = tf.sequential({ layers: [
      tf.layers.dropout({ rate: 0.5, inputShape: sequence }), tf.layers.gaussianNoise({ stddev: 3 }), tf.layers.gaussianDropout({ rate: 0.4 }),
      tf.layers.alphaDropout({ rate: 0.3 }), tf.layers.spatialDropout1d({ rate: 0.3 }), tf.layers.dense({ units: 2 }),
    ] });
    expect(operators(await expectParity(tf, network))).toEqual(['MatMul', 'Add']);
  });
  it('Masking, where nothing uses the mask', async () => {
    const values = normals(2 * 7 * 4).map((value, index) => (index % 3 === 0 || (index > 15 && index < 24) ? 0.5 : value));
    const network = tf.sequential({ layers: [tf.layers.masking({ maskValue: 0.5, inputShape: sequence }), tf.layers.activation({ activation: 'tanh' })] });
    await expectParity(tf, network, { inputs: [tf.tensor(values, [2, 7, 4])] });
  });
});

describe('errors name layer, class and attribute', () => {
  const refused: [string, () => Layer, number[], RegExp][] = [
    ['an unknown class', () => tf.layers.randomWidth({ name: 'stretch', factor: 0.3 }), [4, 5, 3], /Layer "stretch" \(RandomWidth\): layers of this class are not supported; pass a converter/],
    ['another layout', () => tf.layers.convLstm2d({ name: 'clouds', filters: 2, kernelSize: 2, dataFormat: 'channelsFirst' }), [3, 5, 5, 1], /Layer "clouds" \(ConvLSTM2D\): dataFormat = "channelsFirst" is not supported \(supported: "channelsLast"\)/],
    ['an unsorted axis', () => tf.layers.layerNormalization({ name: 'norm', axis: [3, 1] }), image, /Layer "norm" \(LayerNormalization\): axis = \[3,1\] is not supported/],
  ];
  it.each(refused)('%s', async (_, make, shape, message) => {
    await expect(convertLayersModel(networkOf(tf, make(), shape))).rejects.toThrow(message);
  });
  it('a layer that keeps its state', async () => {
    const network = tf.sequential({ layers: [tf.layers.lstm({ name: 'memory', units: 2, stateful: true, batchInputShape: [2, 3, 4] })] });
    await expect(convertLayersModel(network)).rejects.toThrow(/Layer "memory" \(LSTM\): stateful = true is not supported/);
  });
  it('a mask that matters', async () => {
    const network = tf.sequential({ layers: [tf.layers.masking({ name: 'gaps', inputShape: sequence }), tf.layers.lstm({ name: 'memory', units: 2 })] });
    await expect(convertLayersModel(network)).rejects.toThrow('Layer "gaps" (Masking): its mask reaches layer "memory" (LSTM)');
  });
  it('an open extent, and shapes that contradict', async () => {
    const network = networkOf(tf, tf.layers.conv2d({ filters: 2, kernelSize: 3, padding: 'same', strides: 2 }), [null, null, 3] as unknown as number[]);
    const input = network.inputNames[0]!;
    await expect(convertLayersModel(network)).rejects.toThrow(/axis 1 of \[null, null, null, 3\] has no fixed extent; give it in `inputShapes`/);
    await expect(convertLayersModel(network, { inputShapes: { [input]: [8, 8, 4] } })).rejects.toThrow(/axis 3 is 3, inputShapes says 4/);
    await expect(convertLayersModel(network, { inputShapes: { [input]: [8, 8] } })).rejects.toThrow(/inputShapes has 2 extents/);
    const x: Tensor = tf.tensor(normals(2 * 8 * 7 * 3), [2, 8, 7, 3]);
    await expectParity(tf, network, { inputShapes: { [input]: [8, 7, 3] }, inputs: [x] });
  });
});
