/** What a run will take, before it is spent: counted from the network, and measured by a few trial steps of it. */
import { convertLayersModel, estimatorOf, gradientGraph, ratioGraph, type Model } from '@ratioflow/export';
import { createRuntime } from '@ratioflow/node';
import { normals, pairingOf, purposes } from '@ratioflow/sdk';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import { flowRuntimes } from '../bridge/flow-runtimes.js';
import { onnxBridge } from '../bridge/onnx-bridge.js';
import { tensorflowBridge } from '../bridge/tensorflow-bridge.js';
import type { TrainingConfig } from '../config/schema.js';
import { openDataset, type DatasetConfig } from '../data/open.js';
import { openEstimator } from '../estimators/open-estimator.js';
import { createLearner } from '../loop/learner.js';
import { largestFullDdp } from '../priors/ddp.js';
import { multiplyAccumulates } from './operations.js';

/** Above so many multiply-accumulates a flow step, trials take a smaller batch, and time is scaled by the number of samples. */
const largestTrial = 2e10;
const smallBatch = 8;

export interface PlanOptions {
  /** Flow steps that are timed, after one that is not; 0 measures nothing. @default 3 */
  readonly trialSteps?: number | undefined;
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
  /** Resident size of the process in bytes, network and engines loaded, without data. */
  readonly residentBytes: number;
  /** Hours of the whole run; previews, checkpoints and the first pass over the data come on top. */
  readonly hours: number;
}

export interface TrainingPlan {
  readonly sampleShape: readonly number[];
  readonly parameters: number;
  /** Multiply-accumulates of one sample through the network, and through network and input gradient. */
  readonly forwardMacs: number;
  readonly gradientMacs: number;
  /** Floating-point operations (two a multiply-accumulate) of one training iteration, and of one generated sample. */
  readonly flopsPerIteration: number;
  readonly flopsPerSample: number;
  /** Bytes of weights, gradients, moments and average, and of the values that learning keeps for its gradient. */
  readonly weightBytes: number;
  readonly activationBytes: number;
  /** Bytes on disk: checkpoints that are kept, bundle, prior. */
  readonly checkpointBytes: number;
  readonly bundleBytes: number;
  readonly measured: MeasuredSpeed | null;
}

/**
 * Plans a run. Images, CIFAR-10 and computed sets are not opened; mnist and npy are, for their size.
 * @throws {ConfigError} as the run itself would, for an estimator that does not fit the samples
 */
export async function planTraining(config: TrainingConfig, { trialSteps = 3, signal }: PlanOptions = {}): Promise<TrainingPlan> {
  const loaded = await loadTensorFlow({ backend: config.backend });
  const { tf } = loaded;
  const sampleShape = await shapeOf(config.data);
  const { network, converters } = await openEstimator(tf, config.estimator, sampleShape, config.seed);
  const pairing = pairingOf(config.pairing);
  try {
    const estimator = estimatorOf((await convertLayersModel(network, { converters })).model);
    const forward = ratioGraph(estimator, pairing);
    const [forwardMacs, gradientMacs] = [multiplyAccumulates(forward), multiplyAccumulates(gradientGraph(estimator, pairing))];
    const { batch, iterations, ema } = config.training;
    const { K, kappa } = config.flow;
    const parameters = network.countParams();
    const elements = sampleShape.reduce((a, b) => a * b, 1);
    const priorBytes = config.prior.kind !== 'ddp' ? 0 : elements <= largestFullDdp && config.prior.rank === undefined ? 4 * elements * elements : 4 * elements * (config.prior.rank ?? 256);
    const copies = ema > 0 ? 4 : 3;
    return {
      sampleShape, parameters, forwardMacs, gradientMacs,
      // Learning: both batches forward, and backward by input and by kernel, each as much again.
      flopsPerIteration: 2 * batch * (K * gradientMacs + 2 * 3 * forwardMacs),
      flopsPerSample: 2 * (K + kappa) * gradientMacs,
      weightBytes: 4 * parameters * (copies + 1),
      activationBytes: 4 * 2 * batch * valuesOf(forward),
      checkpointBytes: config.checkpoints.keep * 4 * parameters * copies,
      bundleBytes: 4 * parameters + priorBytes,
      measured: trialSteps > 0 ? await measure() : null,
    };

    async function measure(): Promise<MeasuredSpeed> {
      const trialBatch = gradientMacs * batch > largestTrial ? Math.min(batch, smallBatch) : batch;
      const scale = batch / trialBatch;
      const runtimes = flowRuntimes(trialBatch);
      const bridge = config.bridge === 'tfjs'
        ? tensorflowBridge(tf, network, sampleShape, pairing, config.flow)
        : await onnxBridge(tf, network, sampleShape, pairing, config.flow, runtimes, converters);
      const learner = createLearner(tf, network, { pairing, sampleShape, ema, beta1: config.training.beta1, beta2: config.training.beta2 });
      try {
        const draw = (step: number): Float32Array => normals({ seed: 1, purpose: purposes.testVectors, step, count: trialBatch, elements });
        const [data, x0] = [draw(0), draw(1)];
        const timed = async (work: () => unknown): Promise<number> => {
          signal?.throwIfAborted();
          const start = performance.now();
          await work();
          return performance.now() - start;
        };
        const flow = (steps: number): Promise<number> => timed(() => bridge.run(x0, { count: trialBatch, steps, seed: 1n, signal }));
        await bridge.refresh();
        // The first of each warms up.
        await flow(1);
        const millisecondsPerFlowStep = (scale * (await flow(trialSteps))) / trialSteps;
        const millisecondsPerRefresh = await timed(() => bridge.refresh());
        learner.step(data, x0, config.training.learningRate, 0);
        const millisecondsPerLearningStep = scale * (await timed(() => learner.step(data, x0, config.training.learningRate, 1)));
        const perIteration = K * millisecondsPerFlowStep + millisecondsPerRefresh + millisecondsPerLearningStep;
        return {
          learning: loaded.description, flow: bridge.engine === 'tfjs' ? loaded.description : createRuntime().name,
          trialBatch, millisecondsPerFlowStep, millisecondsPerRefresh, millisecondsPerLearningStep,
          residentBytes: process.memoryUsage().rss, hours: (iterations * perIteration) / 3_600_000,
        };
      } finally {
        learner.dispose();
        await bridge.dispose();
      }
    }
  } finally {
    network.dispose();
  }
}

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

/** Numbers that a graph makes for one sample. */
function valuesOf({ graph }: Model): number {
  const outputs = graph.nodes.flatMap((node) => node.outputs);
  return outputs.reduce((sum, value) => sum + (value?.shape?.length ? value.shape.reduce<number>((a, extent) => a * (typeof extent === 'number' ? extent : 1), 1) : 0), 0);
}
