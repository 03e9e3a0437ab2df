/** Compares converted networks on ONNX Runtime with the networks themselves. */
import { fillNormals } from '@ratioflow/sdk';
import { assertEmissionProfile, convertLayersModel, writeModel, type ConvertOptions, type Model } from '@ratioflow/export';
import type { LayersModel, SymbolicTensor, Tensor } from '@tensorflow/tfjs';
import * as ort from 'onnxruntime-node';
import { expect } from 'vitest';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { relativeError } from '../../support/run-model.js';

let step = 0;

/** Standard normals, different ones at every call, the same in every run. */
export function normals(count: number): Float32Array {
  const out = new Float32Array(count);
  fillNormals(out, { seed: 11n, purpose: 4, step: step++ }, { count: 1, elements: count });
  return out;
}

const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Weights that leave nothing at its default: all random, variances and scales positive. */
export function randomizeWeights(tf: TensorFlow, network: LayersModel): void {
  for (const weight of network.weights) {
    const values = normals(size(weight.shape as number[]));
    const positive = /variance|gamma/.test(weight.originalName);
    const scale = positive ? 1 : 1 / Math.sqrt(Math.max(1, size(weight.shape as number[]) / (weight.shape.at(-1) ?? 1)));
    const spread = /bias|beta|mean|alpha|embeddings/.test(weight.originalName) ? 0.5 : scale;
    weight.write(tf.tensor(values.map((value) => (positive ? 0.5 + Math.abs(value) : value * spread)), weight.shape as number[]));
  }
}

interface NumberArray { readonly data: Float32Array | Int32Array; readonly shape: readonly number[] }

/** [N, …, C] → [N, C, …] */
export function toChannelsFirst({ data, shape }: NumberArray): NumberArray {
  const [n, c] = [shape[0]!, shape.at(-1)!];
  const inner = size(shape.slice(1, -1));
  const result = new Float32Array(data.length);
  for (let i = 0; i < n; i++) for (let p = 0; p < inner; p++) for (let k = 0; k < c; k++) result[(i * c + k) * inner + p] = data[(i * inner + p) * c + k]!;
  return { data: result, shape: [n, c, ...shape.slice(1, -1)] };
}

export interface ParityOptions extends ConvertOptions {
  /** Values of the inputs. @default standard normals for a batch of 2 */
  readonly inputs?: readonly Tensor[];
  /** Tensors from this rank on have channels first in ONNX. @default 4 */
  readonly imageRank?: number;
  /** @default 1e-5 */
  readonly tolerance?: number;
}

const levels = ['disabled', 'all'] as const;

/** Asserts that the converted network computes what the network predicts; returns the converted model. */
export async function expectParity(tf: TensorFlow, network: LayersModel, options: ParityOptions = {}): Promise<Model> {
  randomizeWeights(tf, network);
  const { model, difference } = await measureParity(tf, network, options);
  expect(difference).toBeLessThan(options.tolerance ?? 1e-5);
  return model;
}

/** The converted network, and its largest difference from what the network predicts, relative to each output's largest element. */
export async function measureParity(tf: TensorFlow, network: LayersModel, options: Omit<ParityOptions, 'tolerance'> = {}): Promise<{ model: Model; difference: number }> {
  const { inputs: given, imageRank = 4, ...convert } = options;
  let difference = 0;
  const inputs = given ?? network.inputs.map(({ shape }) => {
    const extents = shape.map((dim) => dim ?? 2);
    return tf.tensor(normals(size(extents)), extents);
  });
  const predicted = network.predict([...inputs]);
  const expected = Array.isArray(predicted) ? predicted : [predicted];
  const { model } = await convertLayersModel(network, convert);
  const arranged = (tensor: Tensor): NumberArray => {
    const array: NumberArray = { data: tensor.dataSync<'float32'>(), shape: tensor.shape };
    return tensor.rank >= imageRank ? toChannelsFirst(array) : array;
  };
  assertEmissionProfile('the converted network', model);
  const bytes = writeModel(model);
  for (const graphOptimizationLevel of levels) {
    const session = await ort.InferenceSession.create(bytes, { graphOptimizationLevel, logSeverityLevel: 3, intraOpNumThreads: 1 });
    const feeds = Object.fromEntries(inputs.map((tensor, index) => {
      const { data, shape } = arranged(tensor);
      return [network.inputNames[index]!, tensor.dtype === 'int32' ? new ort.Tensor('int32', Int32Array.from(data), [...shape]) : new ort.Tensor('float32', Float32Array.from(data), [...shape])];
    }));
    const results = await session.run(feeds);
    expected.forEach((tensor, index) => {
      const { data, shape } = arranged(tensor);
      const { name } = model.graph.outputs[index]!;
      expect([...results[name]!.dims], name).toEqual(shape);
      // Declared shapes hold as well, the batch axis aside.
      expect(model.graph.outputs[index]!.shape?.slice(1), name).toEqual(shape.slice(1));
      const error = relativeError(results[name]!.data as Float32Array, data);
      expect(error, `${name} at ${graphOptimizationLevel}`).not.toBeNaN();
      difference = Math.max(difference, error);
    });
    await session.release();
  }
  return { model, difference };
}

export const operators = (model: Model): string[] => model.graph.nodes.map(({ opType }) => opType);

/** What the tests need of a layer, whatever its class. */
export interface Layer {
  apply: LayersModel['apply'];
  call: LayersModel['call'];
  computeOutputShape: LayersModel['computeOutputShape'];
}

/** A network of one layer. */
export function networkOf(tf: TensorFlow, layer: Layer, ...shapes: readonly (readonly number[])[]): LayersModel {
  const inputs = shapes.map((shape) => tf.input({ shape: [...shape] }));
  const output = layer.apply(inputs.length === 1 ? inputs[0]! : inputs) as SymbolicTensor | SymbolicTensor[];
  return tf.model({ inputs, outputs: output });
}
