/**
 * Every layer class that tfjs registers is here: converted, with the largest difference from tfjs measured, or refused by
 * name. With RATIOFLOW_TABLE=write the differences go into docs/conversion.md.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { convertLayersModel, layerConverters } from '@ratioflow/export';
import { writeFileAtomic } from '@ratioflow/node';
import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../../../trainer/src/backend/load-tensorflow.js';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { createEstimator, builtEstimatorNames } from '../../../trainer/src/estimators/create-estimator.js';
import { estimatorConverters } from '../../../trainer/src/estimators/converters.js';
import { measureParity, networkOf, operators, randomizeWeights, type Layer, type ParityOptions } from './parity.js';
import { loadNlpLayers, type NlpLayers } from './nlp-layers.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const [image, volume, sequence, vector] = [[9, 10, 4], [5, 6, 4, 3], [7, 4], [9]];
type Make = () => Layer;
/** A network, how to compare it, or a layer and the shapes that it is tried on. */
type Case = [make: Make, ...shapes: number[][]] | (() => { network: LayersModel; options?: ParityOptions });

/** A network of one layer on several inputs. */
const joined = (make: Make, ...shapes: number[][]): Case => () => ({ network: networkOf(tf, make(), ...shapes) });
const integers = (layer: Layer, shape: number[], bound: number): { network: LayersModel; options: ParityOptions } => ({
  network: networkOf(tf, layer, shape),
  options: { inputs: [tf.floor(tf.randomUniform([3, ...shape], 0, bound, 'float32', 5))] },
});
const categories = (outputMode: 'multiHot' | 'oneHot' | 'count', length: number): Case => () => {
  const layer = tf.layers.categoryEncoding({ numTokens: 6, outputMode });
  // tfjs's own writes into the shape of the input.
  layer.computeOutputShape = () => [null, 6];
  const example = integers(layer, [length], 6);
  // Nor does its native backend have the kernel: what the layer is documented to compute.
  example.network.predict = (x) => {
    const hits = tf.oneHot((x as Tensor[])[0]!.toInt(), 6);
    return outputMode === 'count' ? hits.sum(1).toFloat() : hits.max(1).toFloat();
  };
  return example;
};

/** Each class of layer, with attributes away from their defaults. */
const layers: Readonly<Record<string, readonly Case[]>> = {
  Activation: (['elu', 'gelu', 'gelu_new', 'hardSigmoid', 'logSoftmax', 'mish', 'relu6', 'selu', 'sigmoid', 'softmax', 'softplus', 'softsign', 'swish', 'tanh'] as const)
    .map((activation): Case => [() => tf.layers.activation({ activation: activation as 'elu' }), image, vector]),
  Add: [joined(() => tf.layers.add(), image, image, image)],
  AlphaDropout: [[() => tf.layers.alphaDropout({ rate: 0.4 }), vector]],
  Average: [joined(() => tf.layers.average(), image, image, image)],
  AveragePooling1D: [[() => tf.layers.averagePooling1d({ poolSize: 3, strides: 2, padding: 'same' }), sequence]],
  AveragePooling2D: [[() => tf.layers.averagePooling2d({ poolSize: 3, strides: 2, padding: 'same' }), image]],
  AveragePooling3D: [[() => tf.layers.averagePooling3d({ poolSize: 2, strides: 1, padding: 'valid' }), volume]],
  BatchNormalization: [[() => tf.layers.batchNormalization({ epsilon: 0.01 }), image, sequence, vector]],
  Bidirectional: [[() => tf.layers.bidirectional({ layer: tf.layers.lstm({ units: 5, returnSequences: true }), mergeMode: 'concat' }), sequence]],
  CategoryEncoding: [categories('multiHot', 4), categories('count', 4), categories('oneHot', 1)],
  CenterCrop: [[() => tf.layers.centerCrop({ height: 5, width: 6 }), image]],
  Concatenate: [joined(() => tf.layers.concatenate({ axis: 3 }), image, [9, 10, 2])],
  Conv1D: [[() => tf.layers.conv1d({ filters: 5, kernelSize: 3, strides: 2, padding: 'same' }), sequence]],
  Conv2D: [[() => tf.layers.conv2d({ filters: 5, kernelSize: 3, strides: 2, padding: 'same' }), image], [() => tf.layers.conv2d({ filters: 5, kernelSize: [2, 3], dilationRate: 2 }), image]],
  Conv2DTranspose: [[() => tf.layers.conv2dTranspose({ filters: 5, kernelSize: 4, strides: 2, padding: 'same' }), image]],
  Conv3D: [[() => tf.layers.conv3d({ filters: 5, kernelSize: 3, strides: 2, padding: 'same' }), volume]],
  Conv3DTranspose: [[() => tf.layers.conv3dTranspose({ filters: 5, kernelSize: 2, strides: 2, padding: 'valid' }), volume]],
  ConvLSTM2D: [
    ...[{}, { returnSequences: true }, { returnSequences: true, goBackwards: true, useBias: false }, { returnState: true }].map((options): Case =>
      [() => tf.layers.convLstm2d({ filters: 4, kernelSize: 3, padding: 'same', ...options }), [4, 6, 5, 3]]),
    [() => tf.layers.convLstm2d({ filters: 2, kernelSize: [2, 3], strides: [2, 1], padding: 'valid', activation: 'relu', recurrentActivation: 'sigmoid' }), [3, 7, 6, 2]],
  ],
  Cropping2D: [[() => tf.layers.cropping2D({ cropping: [[1, 2], [0, 3]] }), image]],
  Dense: [[() => tf.layers.dense({ units: 7 }), vector, sequence, image]],
  DepthwiseConv2D: [[() => tf.layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, strides: 2, padding: 'same' }), image]],
  Dot: [joined(() => tf.layers.dot({ axes: [2, 1], normalize: true }), [5, 4], [4, 3])],
  Dropout: [[() => tf.layers.dropout({ rate: 0.4 }), image]],
  ELU: [[() => tf.layers.elu({}), image]],
  Embedding: [() => integers(tf.layers.embedding({ inputDim: 10, outputDim: 4 }), [6], 10)],
  Flatten: [[() => tf.layers.flatten(), image]],
  GRU: [[() => tf.layers.gru({ units: 5, returnSequences: true, returnState: true }), sequence]],
  GaussianDropout: [[() => tf.layers.gaussianDropout({ rate: 0.4 }), vector]],
  GaussianNoise: [[() => tf.layers.gaussianNoise({ stddev: 0.4 }), vector]],
  GlobalAveragePooling1D: [[() => tf.layers.globalAveragePooling1d({}), sequence]],
  GlobalAveragePooling2D: [[() => tf.layers.globalAveragePooling2d({}), image]],
  GlobalMaxPooling1D: [[() => tf.layers.globalMaxPooling1d({}), sequence]],
  GlobalMaxPooling2D: [[() => tf.layers.globalMaxPooling2d({}), image]],
  LSTM: [[() => tf.layers.lstm({ units: 5, returnSequences: true, returnState: true }), sequence], joined(() => tf.layers.lstm({ units: 4 }), sequence, [4], [4])],
  LayerNormalization: [[() => tf.layers.layerNormalization({ axis: [1, 2] }), image, sequence], [() => tf.layers.layerNormalization({}), image]],
  LeakyReLU: [[() => tf.layers.leakyReLU({ alpha: 0.2 }), image]],
  Masking: [[() => tf.layers.masking({ maskValue: 0.5 }), sequence]],
  MaxPooling1D: [[() => tf.layers.maxPooling1d({ poolSize: 3, strides: 2, padding: 'same' }), sequence]],
  MaxPooling2D: [[() => tf.layers.maxPooling2d({ poolSize: 3, strides: 2, padding: 'same' }), image]],
  MaxPooling3D: [[() => tf.layers.maxPooling3d({ poolSize: 2, strides: 1, padding: 'valid' }), volume]],
  Maximum: [joined(() => tf.layers.maximum(), image, image)],
  Minimum: [joined(() => tf.layers.minimum(), image, image)],
  Multiply: [joined(() => tf.layers.multiply(), image, image)],
  PReLU: [[() => tf.layers.prelu({ sharedAxes: [1, 2] }), image]],
  Permute: [[() => tf.layers.permute({ dims: [2, 3, 1] }), image]],
  RNN: [[() => tf.layers.rnn({ cell: tf.layers.gruCell({ units: 4 }), returnSequences: true }), sequence], [() => tf.layers.rnn({ cell: [tf.layers.lstmCell({ units: 4 }), tf.layers.lstmCell({ units: 3 })] as never }), sequence]],
  ReLU: [[() => tf.layers.reLU({ maxValue: 0.7 }), image]],
  RepeatVector: [[() => tf.layers.repeatVector({ n: 3 }), vector]],
  Rescaling: [[() => tf.layers.rescaling({ scale: 1 / 127.5, offset: -1 }), image]],
  Reshape: [[() => tf.layers.reshape({ targetShape: [10, 9, 4] }), image]],
  Resizing: [(['bilinear', 'nearest'] as const)].flat().map((interpolation): Case => () => {
    // tfjs gives this layer a symbolic shape without the batch axis, and runs it on a tensor only: not in a network.
    const layer = tf.layers.resizing({ height: 7, width: 5, interpolation });
    layer.computeOutputShape = () => [null, 7, 5, 4];
    const network = networkOf(tf, layer, image);
    network.predict = (x) => layer.call((x as Tensor[])[0] as never, {});
    return { network };
  }),
  SeparableConv2D: [[() => tf.layers.separableConv2d({ filters: 5, kernelSize: 3, strides: 2, padding: 'same', depthMultiplier: 2 }), image]],
  SimpleRNN: [[() => tf.layers.simpleRNN({ units: 5, returnSequences: true, returnState: true }), sequence]],
  Softmax: [[() => tf.layers.softmax({ axis: -1 }), image], [() => tf.layers.softmax({ axis: [1, 3] as never }), image]],
  SpatialDropout1D: [[() => tf.layers.spatialDropout1d({ rate: 0.4 }), sequence]],
  ThresholdedReLU: [[() => tf.layers.thresholdedReLU({ theta: 0.4 }), image]],
  TimeDistributed: [[() => tf.layers.timeDistributed({ layer: tf.layers.conv2d({ filters: 2, kernelSize: 2 }) }), [3, 6, 5, 2]]],
  UpSampling2D: [[() => tf.layers.upSampling2d({ size: [2, 3], interpolation: 'bilinear' }), image], [() => tf.layers.upSampling2d({ size: [3, 2] }), image]],
  ZeroPadding2D: [[() => tf.layers.zeroPadding2d({ padding: [[1, 0], [2, 3]] }), image]],
};

/** Those that tfjs's packages do not export. */
const nlpLayers: Readonly<Record<string, (nlp: NlpLayers) => readonly Case[]>> = {
  EinsumDense: ({ einsumDense }) => [
    () => ({ network: einsumDense({ equation: 'abc,cd->abd', outputShape: [null, 5], biasAxes: 'd', activation: 'relu' }, sequence) }),
    () => ({ network: einsumDense({ equation: 'abc,cde->abde', outputShape: [7, 2, 3] }, sequence) }),
  ],
  MultiHeadAttention: ({ attention }) => [
    () => ({ network: attention({ numHeads: 2, keyDim: 3 }, [sequence, [5, 4]]) }),
    () => ({ network: attention({ numHeads: 3, keyDim: 2, valueDim: 5, useBias: false, outputShape: 6 }, [sequence, [5, 4], [5, 4]]) }),
    () => ({ network: attention({ numHeads: 2, keyDim: 4 }, [sequence, sequence], { useCausalMask: true }) }),
    () => ({ network: attention({ numHeads: 2, keyDim: 3, attentionAxes: [2] }, [[3, 4, 6], [3, 5, 6]]), options: { channelsFirst: 'none', imageRank: Infinity } }),
    () => ({ network: attention({ numHeads: 2, keyDim: 3, attentionAxes: [1, 2] }, [[3, 4, 6], [2, 5, 6]]), options: { channelsFirst: 'none', imageRank: Infinity } }),
  ],
};

/** Classes that no network holds by itself, or that compute nothing at inference that a graph could hold. */
const refused: Readonly<Record<string, { readonly why: string; readonly make?: () => Layer; readonly shape?: number[] }>> = {
  InputLayer: { why: 'an input of the graph' },
  LayersModel: { why: 'nested: its layers are converted' },
  Functional: { why: 'nested: its layers are converted' },
  Model: { why: 'nested: its layers are converted' },
  Sequential: { why: 'nested: its layers are converted' },
  GRUCell: { why: 'part of GRU or RNN' },
  LSTMCell: { why: 'part of LSTM or RNN' },
  SimpleRNNCell: { why: 'part of SimpleRNN or RNN' },
  ConvLSTM2DCell: { why: 'part of ConvLSTM2D' },
  StackedRNNCells: { why: 'part of RNN' },
  RandomWidth: { why: 'refused: tfjs draws a new width at every call, at inference too', make: () => tf.layers.randomWidth({ factor: 0.3 }), shape: image },
};

/** Networks as a whole: the estimators at full width, and one of each family from networks.test.ts at work elsewhere. */
const sampleShapes: Readonly<Record<string, number[]>> = { mlp: [2], resnet28: [1, 28, 28], resnet32: [3, 32, 32], resnet64: [3, 64, 64], 'resnet64-shallow': [3, 64, 64], resnet128: [3, 128, 128] };

const differences = new Map<string, number>();
const networks = new Map<string, string>();

/** The greatest difference over a class's networks. */
async function measure(cases: readonly Case[]): Promise<number> {
  let largest = 0;
  const compare = async ({ network, options }: { network: LayersModel; options?: ParityOptions }): Promise<void> => {
    randomizeWeights(tf, network);
    largest = Math.max(largest, (await measureParity(tf, network, options)).difference);
  };
  for (const item of cases) {
    if (typeof item === 'function') await compare(item());
    else for (const shape of item.slice(1) as number[][]) await compare({ network: networkOf(tf, (item[0])(), shape) });
  }
  return largest;
}

it('lists every class of layer that tfjs has', () => {
  const registered = Object.entries(tf.serialization.SerializationMap.getMap().classNameMap)
    .filter(([, [constructor]]) => (constructor as unknown as { prototype: object }).prototype instanceof tf.layers.Layer).map(([name]) => name);
  expect(registered.length).toBeGreaterThan(60);
  const known = [...Object.keys(layers), ...Object.keys(refused)];
  expect(registered.filter((name) => !known.includes(name))).toEqual([]);
  expect(Object.keys(layerConverters).sort()).toEqual([...Object.keys(layers), ...Object.keys(nlpLayers)].sort());
});

describe('layers', () => {
  it.each(Object.keys(layers))('%s', { timeout: 60_000 }, async (name) => {
    const difference = await measure(layers[name]!);
    differences.set(name, difference);
    expect(difference).toBeLessThan(1e-5);
  });
  it.each(Object.entries(refused).filter(([, { make }]) => make).map(([name]) => name))('%s is refused by name', async (name) => {
    const { make, shape } = refused[name]!;
    await expect(convertLayersModel(networkOf(tf, make!(), shape!))).rejects.toMatchObject({ name: 'UnsupportedError', message: expect.stringContaining(`(${name})`) as string });
  });
});

describe('whole networks', () => {
  it.each(builtEstimatorNames)('%s', { timeout: 180_000 }, async (name) => {
    const network = createEstimator(tf, name, sampleShapes[name]!, 3, name.includes('-') ? { spectralNorm: true, attention: true } : {});
    for (const weight of network.weights) if (weight.originalName.endsWith('/gain')) weight.write(tf.tensor1d([1.7]));
    const { model, difference } = await measureParity(tf, network, { converters: estimatorConverters, inputs: network.inputs.map(({ shape }) => tf.randomNormal([1, ...shape.slice(1)] as number[], 0, 1, 'float32', 3)) });
    networks.set(name, `| ${name} | ${difference.toExponential(1)} | ${operators(model).filter((opType) => opType === 'Transpose').length} |`);
    expect(difference).toBeLessThan(1e-5);
    if (!name.includes('-')) expect(operators(model)).not.toContain('Transpose');
  });
});

// Loading them registers a second copy of all layers, so they come last.
describe('layers that tfjs does not export', () => {
  let nlp: NlpLayers;
  beforeAll(async () => {
    nlp = await loadNlpLayers();
  });
  it.each(Object.keys(nlpLayers))('%s', { timeout: 60_000 }, async (name) => {
    const difference = await measure(nlpLayers[name]!(nlp));
    differences.set(name, difference);
    expect(difference).toBeLessThan(1e-5);
  });
});

afterAll(async () => {
  if (process.env['RATIOFLOW_TABLE'] !== 'write') return;
  const path = fileURLToPath(new URL('../../../docs/conversion.md', import.meta.url));
  const rows = [...differences].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, difference]) => `| ${name} | ${difference === 0 ? '0' : difference.toExponential(1)} |`);
  const others = Object.entries(refused).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, { why }]) => `| ${name} | ${why} |`);
  const table = ['| network | largest relative difference | `Transpose` left |', '|---|---|---|', ...networks.values(), '', '| layer | largest relative difference |', '|---|---|', ...rows, ...others].join('\n');
  const [head, rest] = (await readFile(path, 'utf8')).split('<!-- table -->\n');
  await writeFileAtomic(path, `${head}<!-- table -->\n${table}\n<!-- end of table -->${rest!.split('<!-- end of table -->')[1]}`);
});
