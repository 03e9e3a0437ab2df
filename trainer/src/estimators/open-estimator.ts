/** The estimator of a configuration: one that is built here, or the user's own network from a file or a module. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { readTfjsModel, type LayerConverter } from '@ratioflow/export';
import type { Seed } from '@ratioflow/sdk';
import type { LayersModel } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { ConfigError } from '../errors.js';
import { estimatorConverters } from './converters.js';
import { createEstimator, initialize, type EstimatorName } from './create-estimator.js';
import { channelsLast } from './layout.js';
import type { EstimatorOptions } from './options.js';

/** What a configuration says of the estimator. */
export interface EstimatorConfig extends EstimatorOptions {
  readonly name: EstimatorName;
  readonly path?: string | undefined;
  readonly keepWeights?: boolean | undefined;
}

export interface OpenedEstimator {
  readonly network: LayersModel;
  /** How its own layers become ONNX, by class name. */
  readonly converters: Readonly<Record<string, LayerConverter>>;
}

/** What the default export of a user's module is; tfjs is handed to it because a second copy would not share tensors. */
type Maker = (tf: TensorFlow, sampleShape: readonly number[], seed: string) => LayersModel | Promise<LayersModel>;

/** @throws {ConfigError} when file or module cannot be used, or the network does not fit the samples */
export async function openEstimator(tf: TensorFlow, config: EstimatorConfig, sampleShape: readonly number[], seed: Seed): Promise<OpenedEstimator> {
  const { name, path, keepWeights, ...options } = config;
  const field = options.outputs === undefined ? 'estimator' : 'network';
  if (name !== 'custom') return { network: createEstimator(tf, name, sampleShape, seed, options), converters: estimatorConverters };
  if (path === undefined) throw new ConfigError(`${field}.name = "custom" needs ${field}.path: a tfjs model (model.json), or an ES module (.mjs) that makes one.`);
  const where = `${field}.path = "${path}"`;
  const found = await stat(path).catch((cause: unknown) => {
    throw new ConfigError(`${where} cannot be read: ${(cause as Error).message}.`, { cause });
  });
  const isModule = found.isFile() && /\.m?js$/.test(path);
  const { network, converters } = isModule ? await fromModule(tf, path, where, sampleShape, seed) : { network: await fromFile(tf, path, where), converters: {} };
  check(network, where, sampleShape, options.outputs);
  if (network.trainableWeights.length === 0) throw new ConfigError(`${where}: none of the network's weights is trainable. Set trainable of the layers that should learn.`);
  if (!(keepWeights ?? !isModule)) initialize(tf, network, seed);
  return { network, converters: { ...estimatorConverters, ...converters } };
}

async function fromFile(tf: TensorFlow, path: string, where: string): Promise<LayersModel> {
  const { format, artifacts } = await readTfjsModel(path);
  if (format !== 'layers-model') {
    throw new ConfigError(`${where} is a ${format}, which has no variables to train; save the network as a LayersModel (model.save).`);
  }
  return tf.loadLayersModel(tf.io.fromMemory(artifacts));
}

async function fromModule(tf: TensorFlow, path: string, where: string, sampleShape: readonly number[], seed: Seed): Promise<OpenedEstimator> {
  const module = (await import(pathToFileURL(resolve(path)).href).catch((cause: unknown) => {
    throw new ConfigError(`${where} does not load: ${(cause as Error).message}.`, { cause });
  })) as { default?: Maker; converters?: OpenedEstimator['converters'] };
  if (typeof module.default !== 'function') throw new ConfigError(`${where} needs a default export (tf, sampleShape, seed) => LayersModel.`);
  let network: unknown;
  try {
    network = await module.default(tf, sampleShape, String(seed));
  } catch (cause) {
    throw new ConfigError(`${where}: its default export fails: ${(cause as Error).message}`, { cause });
  }
  if (!(network instanceof tf.LayersModel)) throw new ConfigError(`${where}: its default export gives no LayersModel. Make it with the tf that it is handed: another copy of tfjs has layers of its own.`);
  return { network, converters: module.converters ?? {} };
}

/** x [N, …] (channels last) → [N] or [N, 1], or [N, outputs]. */
function check(network: LayersModel, where: string, sampleShape: readonly number[], outputs: number | undefined): void {
  const wanted = channelsLast(sampleShape);
  const show = (shape: readonly (number | null | undefined)[]): string => `[${['N', ...shape.slice(1)].map((extent) => extent ?? 'any').join(', ')}]`;
  const [[x, ...otherInputs], [n, ...otherOutputs]] = [network.inputs, network.outputs];
  if (!x || !n || otherInputs.length + otherOutputs.length > 0) throw new ConfigError(`${where} must give a LayersModel of one input and one output.`);
  const [input, output] = [x.shape, n.shape];
  if (input.length !== wanted.length + 1 || wanted.some((extent, axis) => input[axis + 1] !== null && input[axis + 1] !== extent)) {
    throw new ConfigError(`${where} takes ${show(input)}; the data are ${show([null, ...wanted])} (channels last, as tfjs has them).`);
  }
  if (outputs !== undefined) {
    if (output.length !== 2 || output[1] !== outputs) throw new ConfigError(`${where} gives ${show(output)}; a classifier of these data gives [N, ${outputs}], a number for each class.`);
  } else if (output.length > 2 || (output.length === 2 && output[1] !== 1)) {
    throw new ConfigError(`${where} gives ${show(output)}; an estimator gives [N] or [N, 1].`);
  }
}
