/** What a run of an estimator will take, before it is spent: counted from the network, and measured by a few trial steps of it. */
import { convertLayersModel, estimatorOf, gradientGraph, ratioGraph, type Model } from '@ratioflow/export';
import { pairingOf } from '@ratioflow/sdk';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import type { TrainingConfig } from '../config/schema.js';
import { openDataset, type DatasetConfig } from '../data/open.js';
import { graphOptions } from '../estimators/layout.js';
import { openEstimator } from '../estimators/open-estimator.js';
import { parametersOf } from '../estimators/spectral.js';
import { microBatches } from '../loop/micro-batches.js';
import { bundleBytes, priorBytes } from './disk.js';
import { attempt, portableBatch, sizesOf, valuesOf, type Alternative, type NetworkPlan } from './network-plan.js';
import { multiplyAccumulates } from './operations.js';
import { trialBatch, tryOut } from './trial.js';

export interface PlanOptions {
  /** Flow steps that are timed at least, after one that is not; 0 measures nothing. @default 3 */
  readonly trialSteps?: number | undefined;
  /** Whether the other engine of the flow and the other backend are tried, too. @default true */
  readonly compare?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Speeds on this machine. */
export interface MeasuredSpeed {
  /** Where learning and flow ran. */
  readonly learning: string;
  readonly flow: string;
  /** Samples that the trials had; times are for the whole batch, in proportion. */
  readonly trialBatch: number;
  /** Of one flow step of the whole batch. */
  readonly millisecondsPerFlowStep: number;
  /** Of taking over the weights before an iteration's flow. */
  readonly millisecondsPerRefresh: number;
  /** Of one learning step. */
  readonly millisecondsPerLearningStep: number;
  /** Largest resident size of the process so far in bytes: what training takes without its data. */
  readonly residentBytes: number;
  /** Hours of the whole run; previews, checkpoints and the first pass over the data come on top. */
  readonly hours: number;
  /** The same run with other settings, by one step each of a few samples. */
  readonly alternatives: readonly Alternative[];
}

export interface TrainingPlan extends NetworkPlan {
  readonly kind: 'estimator';
  /** Multiply-accumulates of one sample through network and input gradient. */
  readonly gradientMacs: number;
  /** Floating-point operations of one generated sample. */
  readonly flopsPerSample: number;
  /** Bytes of the prior that the run keeps, and of the bundle, which has it as well; of a low rank that the data decide, the largest. */
  readonly priorBytes: number;
  readonly bundleBytes: number;
  readonly measured: MeasuredSpeed | null;
}

/**
 * Plans a run. Images, CIFAR-10 and computed sets are not opened; mnist and npy are, for their size.
 * @throws {ConfigError} as the run itself would, for an estimator that does not fit the samples
 */
export async function planTraining(config: TrainingConfig, { trialSteps = 3, compare = true, signal }: PlanOptions = {}): Promise<TrainingPlan> {
  const { tf, backend } = await loadTensorFlow({ backend: config.backend });
  const sampleShape = await shapeOf(config.data);
  const { network, converters } = await openEstimator(tf, config.estimator, sampleShape, config.seed);
  const pairing = pairingOf(config.pairing);
  try {
    const estimator = estimatorOf((await convertLayersModel(network, { converters, ...graphOptions(network, sampleShape) })).model);
    const [forward, gradient] = [ratioGraph(estimator, pairing), gradientGraph(estimator, pairing)];
    const [forwardMacs, gradientMacs] = [multiplyAccumulates(forward), multiplyAccumulates(gradient)];
    const { batch } = config.training;
    const atOnce = Math.max(...microBatches(network, batch, { sampleShape, copies: 2, size: config.training.microBatch }).map(({ count }) => count));
    const { K, kappa } = config.flow;
    const parameters = parametersOf(network);
    return {
      kind: config.kind, sampleShape, forwardMacs, gradientMacs,
      ...sizesOf(config, parameters, 4 * 2 * atOnce * valuesOf(forward)),
      // Learning: both batches forward, and backward by input and by kernel, each as much again.
      flopsPerIteration: 2 * batch * (K * gradientMacs + 2 * 3 * forwardMacs),
      flopsPerSample: 2 * (K + kappa) * gradientMacs,
      priorBytes: priorBytes(config, sampleShape.reduce((a, b) => a * b, 1)),
      bundleBytes: bundleBytes(config, { sampleShape, constants: constantBytes(gradient), nodes: gradient.graph.nodes.length }),
      measured: trialSteps > 0 ? await measure(gradientMacs) : null,
    };
  } finally {
    network.dispose();
  }

  async function measure(macs: number): Promise<MeasuredSpeed> {
    const { iterations, batch } = config.training;
    const { K } = config.flow;
    const hoursOf = (flowStep: number, refresh: number, learningStep: number): number => (iterations * (K * flowStep + refresh + learningStep)) / 3_600_000;
    const samples = trialBatch(batch, macs);
    const scale = batch / samples;
    const main = await tryOut(config, sampleShape, { steps: trialSteps, batch: samples, signal });
    const speeds = [scale * main.flowStep, main.refresh, scale * main.learningStep] as const;
    const alternatives: Alternative[] = [];
    if (compare) {
      // Where steps are short, a few samples would tell more of calls than of arithmetic.
      const few = samples < batch ? Math.min(samples, 8) : batch;
      const other = config.bridge === 'tfjs' ? 'onnxruntime' : 'tfjs';
      alternatives.push(await attempt(`bridge=${other}`, signal, async () => {
        const { flowStep, refresh } = await tryOut({ ...config, bridge: other }, sampleShape, { steps: 1, batch: few, signal });
        return hoursOf((flowStep * batch) / few, refresh, speeds[2]);
      }));
      if (backend === 'tensorflow') {
        const fewer = portableBatch(samples, macs);
        alternatives.push(await attempt('backend=portable', signal, async () => {
          const { learningStep } = await tryOut({ ...config, backend: 'portable' }, sampleShape, { steps: 0, batch: fewer, signal });
          return hoursOf(speeds[0], speeds[1], (learningStep * batch) / fewer);
        }));
        await loadTensorFlow({ backend: config.backend });
      }
    }
    return {
      learning: main.learning, flow: main.flow, trialBatch: samples,
      millisecondsPerFlowStep: speeds[0], millisecondsPerRefresh: speeds[1], millisecondsPerLearningStep: speeds[2],
      residentBytes: main.residentBytes, hours: hoursOf(...speeds), alternatives,
    };
  }
}

const constantBytes = ({ graph }: Model): number => [...graph.initializers.values()].reduce((sum, { data }) => sum + ('byteLength' in data ? data.byteLength : 0), 0);

/** Hours of the run with another number of bridging steps or another batch, by the speeds that were measured. */
export function hoursWith({ training, flow }: TrainingConfig, measured: MeasuredSpeed, { K = flow.K, batch = training.batch }: { readonly K?: number; readonly batch?: number }): number {
  const perSample = (K * measured.millisecondsPerFlowStep + measured.millisecondsPerLearningStep) / training.batch;
  return (training.iterations * (perSample * batch + measured.millisecondsPerRefresh)) / 3_600_000;
}

async function shapeOf(data: TrainingConfig['data']): Promise<readonly number[]> {
  if (data.name === 'images') return [data.channels ?? 3, data.size!, data.size!];
  if (data.name === 'cifar10') return [3, 32, 32];
  return (await openDataset(data as unknown as DatasetConfig)).sampleShape;
}
