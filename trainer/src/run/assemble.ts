/** Puts the parts of a run together from its configuration. */
import { createPrior, type PriorState } from '../priors/prior.js';
import { ddpStatistics, hasLowRank } from '../priors/ddp.js';
import { lowRankStatistics } from '../priors/low-rank.js';
import { priorGraph, writeModel, type ConvertOptions } from '@ratioflow/export';
import { pairingOf, type Pairing, type Runtime } from '@ratioflow/sdk';
import type { LayersModel } from '@tensorflow/tfjs';
import { loadTensorFlow, type LoadedTensorFlow } from '../backend/load-tensorflow.js';
import type { Bridge } from '../bridge/bridge.js';
import { onnxBridge } from '../bridge/onnx-bridge.js';
import { tensorflowBridge } from '../bridge/tensorflow-bridge.js';
import type { TrainingConfig } from '../config/schema.js';
import { openDataset, type DatasetConfig } from '../data/open.js';
import { isImageDataset, sampleLength, type Dataset } from '../data/dataset.js';
import { ConfigError } from '../errors.js';
import { openEstimator, type OpenedEstimator } from '../estimators/open-estimator.js';
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
  /** Where the bridging flow computes. @default the runtime of everything else */
  readonly flowRuntime?: Runtime;
  /** Sentences worth showing, about data and prior. */
  readonly onMessage?: ((message: string) => void) | undefined;
  /** For an export, which draws no samples: the data as the run remembers them. @default those of the configuration, opened */
  readonly data?: Dataset | undefined;
  /** Ends the first pass over images and the prior's statistics. */
  readonly signal?: AbortSignal | undefined;
}

export type DataOptions = Pick<AssemblyOptions, 'onMessage' | 'signal'>;

/** @throws {ConfigError} for parts that do not fit together; what the configuration alone shows comes before the data, which may take hours to open */
export async function assemble(config: TrainingConfig, runtime: Runtime, options: AssemblyOptions = {}): Promise<Assembly> {
  const { flowRuntime = runtime, data: remembered } = options;
  const tensorflow = await loadTensorFlow({ backend: config.backend });
  if (config.provider !== 'cpu') await checkProvider(config.provider, flowRuntime);
  const release: (() => unknown)[] = [];
  try {
    const shape = knownShape(config.data);
    const estimator = shape && await openEstimator(tensorflow.tf, config.estimator, shape, config.seed);
    if (estimator) release.push(() => estimator.network.dispose());
    const dataset = remembered ?? await openData(config.data, options);
    release.push(() => dataset.close?.());
    checkSize(config.training.batch, dataset);
    const source = config.source && !remembered ? await openData(config.source, options) : null;
    release.push(() => source?.close?.());
    if (source && source.sampleShape.join() !== dataset.sampleShape.join()) {
      throw new ConfigError(`source has samples [${source.sampleShape.join(', ')}], data has [${dataset.sampleShape.join(', ')}]: both must be of one size and colour.`);
    }
    if (source) checkSize(config.training.batch, source);
    return await assembleOn(dataset, source, estimator, tensorflow, config, runtime, { ...options, flowRuntime });
  } catch (error) {
    for (const one of release) await one();
    throw error;
  }
}

/** Shape of the samples of a set that is prepared in a first pass, where the configuration tells it; others are open at once. */
export const knownShape = ({ name, size, channels = 3 }: TrainingConfig['data']): readonly number[] | null => name === 'images' ? [channels, size!, size!] : null;

/** Providers are tried at the first load: here of a graph that computes next to nothing. */
async function checkProvider(provider: TrainingConfig['provider'], runtime: Runtime): Promise<void> {
  const session = await runtime.load({ name: 'provider.onnx', model: writeModel(priorGraph({ kind: 'uniform' }, [1])) });
  await session.dispose();
  refuseWarnings(provider, runtime);
}

function refuseWarnings(provider: TrainingConfig['provider'], { warnings }: Runtime): void {
  if (warnings.length > 0) throw new ConfigError(`provider = "${provider}": ${warnings[0]!} Set that up, or train with provider=cpu.`);
}

async function assembleOn(
  dataset: Dataset, source: Dataset | null, estimator: OpenedEstimator | null, tensorflow: LoadedTensorFlow, config: TrainingConfig, runtime: Runtime,
  { prior: knownPrior, flowRuntime, onMessage, signal }: AssemblyOptions & { readonly flowRuntime: Runtime },
): Promise<Assembly> {
  const { tf } = tensorflow;
  const pairing = pairingOf(config.pairing);
  const state = knownPrior?.kind.startsWith(config.prior.kind) ? knownPrior : (await priorState(config, dataset, tensorflow, { onMessage, signal }));
  const prior = createPrior(state, dataset.sampleShape);
  const priorSession = await runtime.load({ name: 'prior.onnx', model: writeModel(priorGraph(state, dataset.sampleShape)) });
  const { network, converters } = estimator ?? await openEstimator(tf, config.estimator, dataset.sampleShape, config.seed);
  const { beta1, beta2, ema, microBatch } = config.training;
  const learner = createLearner(tf, network, { pairing, sampleShape: dataset.sampleShape, seed: config.seed, ema, beta1, beta2, microBatch });
  const bridge: Bridge = config.bridge === 'tfjs'
    ? tensorflowBridge(tf, network, dataset.sampleShape, pairing, config.flow)
    : await onnxBridge(network, dataset.sampleShape, pairing, config.flow, flowRuntime, { converters, provider: config.provider });
  // A provider that runs may compute this very graph wrongly.
  if (config.provider !== 'cpu' && flowRuntime.warnings.length > 0) {
    await bridge.dispose();
    refuseWarnings(config.provider, flowRuntime);
  }
  return {
    config, tensorflow, dataset, source, pairing, prior, priorSession, network, converters, learner, bridge,
    async dispose() {
      await bridge.dispose();
      await priorSession.dispose();
      learner.dispose();
      network.dispose();
      await dataset.close?.();
      await source?.close?.();
    },
  };
}

/** What would end badly later. */
export function checkSize(batch: number, dataset: Dataset): void {
  if (dataset.size !== null && dataset.size < batch) {
    throw new ConfigError(`training.batch = ${batch}, but ${dataset.name} has ${dataset.size} samples: take a smaller batch, or more data.`);
  }
}

/** The fields have been held against the set's name when the configuration was read. */
export function openData(data: TrainingConfig['data'], { onMessage, signal }: DataOptions = {}): Promise<Dataset> {
  const given = Object.fromEntries(Object.entries(data).filter(([, value]) => value !== undefined));
  return openDataset({ ...given, ...(data.name === 'images' && { onMessage, signal }) } as unknown as DatasetConfig);
}

async function priorState({ prior, seed }: TrainingConfig, dataset: Dataset, { tf, backend }: LoadedTensorFlow, { onMessage, signal }: DataOptions): Promise<PriorState> {
  if (prior.kind === 'gaussian') return { kind: prior.kind, ...(prior.deviation !== undefined && { deviation: prior.deviation }) };
  if (prior.kind === 'uniform' || prior.kind === 'source') return { kind: prior.kind };
  if (!hasLowRank(prior, sampleLength(dataset.sampleShape)) || !isImageDataset(dataset)) return { kind: prior.kind, ...(await ddpStatistics(dataset, { ...(backend === 'tensorflow' && { tf }), signal })) };
  const { state, rank, explained } = await lowRankStatistics(dataset, { tf, seed, rank: prior.rank, explained: prior.explained, signal });
  onMessage?.(`Prior ddp: rank ${rank} explains ${(100 * explained).toFixed(1)} % of the variance; the rest is taken as independent.`);
  return { kind: 'ddp-low-rank', ...state };
}
