/**
 * The training loop (arXiv 2303.03714, Algorithm 1). Everything random is a function of (seed, iteration), so a run that is
 * resumed at iteration t goes on exactly as one that was never stopped.
 */
import { trainingSeed, type Session } from '@ratioflow/sdk';
import type { Bridge } from '../bridge/bridge.js';
import type { TrainingConfig } from '../config/schema.js';
import { addDequantisation } from '../data/dequantisation.js';
import { sampleLength, type Dataset } from '../data/dataset.js';
import { DivergenceError } from '../errors.js';
import type { Prior } from '../priors/prior.js';
import type { MetricsColumns, RunMetrics } from '../run/metrics.js';
import { learningRateAt } from './adam.js';
import type { Learner, StepMetrics } from './learner.js';

/** What an iteration reports. */
export interface IterationMetrics extends RunMetrics, StepMetrics {
  /** Of the milliseconds, the bridging flow. */
  readonly flowMilliseconds: number;
}
export const iterationColumns = ['iteration', 'loss', 'logRatioData', 'logRatioSamples', 'learningRate', 'milliseconds', 'flowMilliseconds'] as const satisfies MetricsColumns<IterationMetrics>;

/** The parts that a run is put together from. */
export interface TrainingParts {
  readonly config: TrainingConfig;
  readonly dataset: Dataset;
  /** Where flows start instead of the prior: images of another domain. */
  readonly source: Dataset | null;
  readonly prior: Prior;
  /** Session of the prior's graph: the same map as in the bundle. */
  readonly priorSession: Session;
  readonly bridge: Bridge;
  readonly learner: Learner;
}

/**
 * Runs iterations `from` … `to` − 1, one `yield` each; between yields nothing runs.
 * @param stepFactor on the step size of the configuration
 * @throws {DivergenceError} when the loss is no finite number
 */
export async function* train(parts: TrainingParts, from: number, to: number, signal?: AbortSignal, stepFactor = 1): AsyncGenerator<IterationMetrics> {
  const { config, dataset, bridge, learner } = parts;
  const { training, flow } = config;
  const seed = BigInt(config.seed);
  const count = training.batch;
  const data = new Float32Array(count * sampleLength(dataset.sampleShape));
  for (let t = from; t < to; t++) {
    signal?.throwIfAborted();
    const start = performance.now();
    const iterationSeed = trainingSeed(seed, t);
    await dataset.batch(data, { seed, iteration: t, count });
    addDequantisation(data, { seed, iteration: t, count }, training.dequantisation);
    const x0 = parts.source ? await drawSource(parts.source, iterationSeed, count, training.dequantisation) : await drawPrior(parts, iterationSeed, count);
    const flowStart = performance.now();
    await bridge.refresh();
    const samples = await bridge.run(x0, { count, steps: flow.K, seed: iterationSeed, signal });
    await bridge.rest();
    const flowMilliseconds = performance.now() - flowStart;
    const learningRate = stepFactor * learningRateAt(t, training.learningRate, training.decayAt, training.decayFactor);
    const metrics = learner.step(data, samples, learningRate, t);
    if (!Number.isFinite(metrics.loss)) {
      throw new DivergenceError(`The loss became ${metrics.loss} at iteration ${t + 1}: the flow or the estimator has diverged.`);
    }
    yield { ...metrics, iteration: t + 1, learningRate, milliseconds: performance.now() - start, flowMilliseconds };
  }
}

/** x₀ of samples 0 … count − 1 under `seed`, [N, …sampleShape], through the prior's graph. */
export async function drawPrior({ prior, priorSession }: Pick<TrainingParts, 'prior' | 'priorSession'>, seed: bigint, count: number): Promise<Float32Array> {
  const length = sampleLength(prior.sampleShape);
  const z = new Float32Array(count * length);
  prior.drawLatent(z, { seed, count });
  const { x0 } = await priorSession.run({ z: { shape: [count, length], data: z } });
  return x0!.data as Float32Array;
}

/** x₀ of image-to-image translation: a batch of the source domain with the noise that data get, drawn by a seed of its own. */
export async function drawSource(source: Dataset, seed: bigint, count: number, dequantisation: number): Promise<Float32Array> {
  const x0 = new Float32Array(count * sampleLength(source.sampleShape));
  await source.batch(x0, { seed, iteration: 0, count });
  addDequantisation(x0, { seed, iteration: 0, count }, dequantisation);
  return x0;
}
