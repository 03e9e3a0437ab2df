/** A trained classifier as ONNX: x [N, C, H, W] → logits [N, classes], and features [N, F] where they are asked for. */
import { assertEmissionProfile, classifierModel, convertLayersModel, writeModel, type ConvertOptions } from '@ratioflow/export';
import { normals, purposes, type Runtime } from '@ratioflow/sdk';
import type { LayersModel, SymbolicTensor, Tensor } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { sampleLength } from '../data/dataset.js';
import { TrainingError } from '../errors.js';
import { graphOptions, toNetwork } from '../estimators/layout.js';

export interface ExportClassifierOptions {
  readonly sampleShape: readonly number[];
  readonly classNames: readonly string[];
  /** Range of the values that it was trained on. */
  readonly inputRange: readonly [number, number];
  /** Whether what goes into the last layer becomes a second output, where it is one tensor. */
  readonly features: boolean;
  readonly converters: NonNullable<ConvertOptions['converters']>;
  /** Computes what the exported file gives, to be compared. */
  readonly reference: Runtime;
}

/** What goes into the last layer; null where it merges several tensors, which are no features. */
export function featuresOf(network: LayersModel): SymbolicTensor | null {
  const [features, ...others] = network.outputs[0]!.inputs;
  return features && others.length === 0 ? features : null;
}

/** Bytes of the file, for the weights that the network has now. */
export async function exportClassifier(tf: TensorFlow, network: LayersModel, options: ExportClassifierOptions): Promise<Uint8Array> {
  const { sampleShape, classNames, inputRange, converters, reference } = options;
  const features = options.features ? featuresOf(network) : null;
  const outputs = features ? [...network.outputs, features] : network.outputs;
  const whole = tf.model({ inputs: network.inputs, outputs, name: 'classifier' });
  const { model } = await convertLayersModel(whole, { converters, ...graphOptions(whole, sampleShape) });
  const classifier = classifierModel(model, { classNames, inputRange });
  assertEmissionProfile('classifier.onnx', classifier);
  const bytes = writeModel(classifier);
  await check(tf, network, bytes, sampleShape, reference);
  return bytes;
}

/** The export is never trusted on its word. */
async function check(tf: TensorFlow, network: LayersModel, model: Uint8Array, sampleShape: readonly number[], reference: Runtime): Promise<void> {
  const count = 4;
  const x = normals({ seed: 0, purpose: purposes.testVectors, step: 0, count, elements: sampleLength(sampleShape) });
  const session = await reference.load({ name: 'classifier.onnx', model });
  const found = await session.run({ x: { shape: [count, ...sampleShape], data: x } }).finally(() => session.dispose());
  const expected = tf.tidy(() => (network.apply(toNetwork(tf, x, sampleShape)) as Tensor).dataSync<'float32'>());
  const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  const difference = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - Number(found['logits']!.data[i]))), 0) / scale;
  if (!(difference < 1e-3)) throw new TrainingError(`The exported classifier differs from TensorFlow.js's by ${difference} of its size: the export is wrong and was not written. Please report this with the run's configuration.`);
}
