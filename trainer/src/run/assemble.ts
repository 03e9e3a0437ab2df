/** Puts the parts of a run together from its configuration. */
import { createPrior, type PriorState } from '../priors/prior.js';
import { ddpStatistics } from '../priors/ddp.js';
import { priorGraph, writeModel, type ConvertOptions } from '@ratioflow/export';
import { pairingOf, type Pairing, type Runtime } from '@ratioflow/sdk';
import type { LayersModel } from '@tensorflow/tfjs';
import { loadTensorFlow, type LoadedTensorFlow } from '../backend/load-tensorflow.js';
import type { Bridge } from '../bridge/bridge.js';
import { onnxBridge } from '../bridge/onnx-bridge.js';
import { tensorflowBridge } from '../bridge/tensorflow-bridge.js';
import type { TrainingConfig } from '../config/schema.js';
import { openDataset, type DatasetConfig } from '../data/open.js';
import type { Dataset } from '../data/dataset.js';
import { ConfigError } from '../errors.js';
import { openEstimator } from '../estimators/open-estimator.js';
import { createLearner } from '../loop/learner.js';
import type { TrainingParts } from '../loop/train.js';

/** A run that is ready to train. */
export interface Assembly extends TrainingParts {
  readonly tensorflow: LoadedTensorFlow;
  readonly network: LayersModel;
  readonly pairing: Pairing;
  /** Of the network's layers that the export does not know by itself. */
  readonly converters: NonNullable<ConvertOptions['converters']>;
  dispose(): Promise<void>;
}

export interface AssemblyOptions {
  /** State of the prior where it has been computed before. */
  readonly prior?: PriorState | undefined;
  /** Where the bridging flow computes, each with a part of the batch. @default the runtime of everything else */
  readonly flowRuntimes?: readonly Runtime[];
}

export async function assemble(config: TrainingConfig, runtime: Runtime, { prior: knownPrior, flowRuntimes = [runtime] }: AssemblyOptions = {}): Promise<Assembly> {
  const tensorflow = await loadTensorFlow({ backend: config.backend });
  const { tf } = tensorflow;
  const dataset = await openDataset(datasetConfig(config));
  const pairing = pairingOf(config.pairing);
  const state = knownPrior?.kind === config.prior.kind ? knownPrior : (await priorState(config, dataset, tensorflow));
  const prior = createPrior(state, dataset.sampleShape);
  const priorSession = await runtime.load({ name: 'prior.onnx', model: writeModel(priorGraph(state, dataset.sampleShape)) });
  const { network, converters } = await openEstimator(tf, config.estimator, dataset.sampleShape, config.seed);
  const { beta1, beta2, ema } = config.training;
  const learner = createLearner(tf, network, { pairing, sampleShape: dataset.sampleShape, ema, beta1, beta2 });
  const bridge: Bridge = config.bridge === 'tfjs'
    ? tensorflowBridge(tf, network, dataset.sampleShape, pairing, config.flow)
    : await onnxBridge(tf, network, dataset.sampleShape, pairing, config.flow, flowRuntimes, converters);
  return {
    config, tensorflow, dataset, pairing, prior, priorSession, network, converters, learner, bridge,
    async dispose() {
      await bridge.dispose();
      await priorSession.dispose();
      learner.dispose();
      network.dispose();
    },
  };
}

function datasetConfig({ data }: TrainingConfig): DatasetConfig {
  switch (data.name) {
    case 'gaussian':
      if (!data.mean || data.variance === undefined) throw new ConfigError('data.name = "gaussian" needs data.mean and data.variance.');
      return { name: data.name, mean: data.mean, variance: data.variance };
    case 'mnist':
      return { name: data.name, ...(data.split && { split: data.split }), ...(data.folder !== undefined && { folder: data.folder }) };
    case 'swiss-roll': case '8-gaussians': case '25-gaussians':
      return { name: data.name };
    default:
      return data.name satisfies never;
  }
}

async function priorState({ prior }: TrainingConfig, dataset: Dataset, { tf, backend }: LoadedTensorFlow): Promise<PriorState> {
  if (prior.kind === 'gaussian') return { kind: prior.kind, ...(prior.deviation !== undefined && { deviation: prior.deviation }) };
  if (prior.kind === 'uniform') return { kind: prior.kind };
  return { kind: prior.kind, ...(await ddpStatistics(dataset, backend === 'tensorflow' ? { tf } : {})) };
}
