/** A few trial steps of a run, on random numbers instead of data: what flow and learning cost on this machine. */
import { availableParallelism } from 'node:os';
import { createRuntime } from '@ratioflow/node';
import { normals, pairingOf, purposes } from '@ratioflow/sdk';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import { flowRuntime } from '../bridge/flow-runtime.js';
import { onnxBridge } from '../bridge/onnx-bridge.js';
import { tensorflowBridge } from '../bridge/tensorflow-bridge.js';
import type { TrainingConfig } from '../config/schema.js';
import { openEstimator } from '../estimators/open-estimator.js';
import { createLearner } from '../loop/learner.js';

export interface TrialOptions {
  /** Flow steps that are timed; 0: learning alone. */
  readonly steps: number;
  /** Samples. */
  readonly batch: number;
  readonly signal?: AbortSignal | undefined;
}

/** Times in milliseconds for the batch of the trial. */
export interface Trial {
  readonly learning: string;
  readonly flow: string;
  readonly flowStep: number;
  readonly refresh: number;
  readonly learningStep: number;
  /** Resident size of the process in bytes at its end. */
  readonly residentBytes: number;
}

/** What takes longer than this is not done a second time to be warm. */
const longEnough = 3000;
/** Other work on the machine disturbs single steps. */
const repetitions = 7;

/** Samples that keep every core busy in a trial: as many as the run's batch, unless steps of it take long. */
export function trialBatch(batch: number, macsPerSample: number): number {
  const cores = availableParallelism();
  return macsPerSample * batch > cores * 5e10 ? Math.min(batch, 8 * cores) : batch;
}

/** Milliseconds of a piece of work. */
async function timed(work: () => unknown, signal: AbortSignal | undefined): Promise<number> {
  signal?.throwIfAborted();
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** The median of a few times when it is warm; what takes long is done once, cold. */
export async function timedWarm(work: () => unknown, signal: AbortSignal | undefined): Promise<number> {
  const first = await timed(work, signal);
  if (first > longEnough) return first;
  const times: number[] = [];
  do times.push(await timed(work, signal)); while (times.length < repetitions && times.reduce((a, b) => a + b) < longEnough / 2);
  return times.sort((a, b) => a - b)[times.length >> 1]!;
}

/** Makes the network anew and tries it. @throws as the run itself would */
export async function tryOut(config: TrainingConfig, sampleShape: readonly number[], { steps, batch, signal }: TrialOptions): Promise<Trial> {
  const { tf, description } = await loadTensorFlow({ backend: config.backend });
  const { network, converters } = await openEstimator(tf, config.estimator, sampleShape, config.seed);
  const pairing = pairingOf(config.pairing);
  const { ema, beta1, beta2, learningRate, microBatch } = config.training;
  const learner = createLearner(tf, network, { pairing, sampleShape, ema, beta1, beta2, microBatch });
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  const draw = (step: number): Float32Array => normals({ seed: 1, purpose: purposes.testVectors, step, count: batch, elements });
  const [data, x0] = [draw(0), draw(1)];
  const bridge = steps === 0 ? null : config.bridge === 'tfjs'
    ? tensorflowBridge(tf, network, sampleShape, pairing, config.flow)
    : await onnxBridge(network, sampleShape, pairing, config.flow, flowRuntime(config.provider), { converters, provider: config.provider });
  try {
    let [refresh, flowStep] = [0, 0];
    if (bridge) {
      const flow = (count: number): Promise<Float32Array> => bridge.run(x0, { count: batch, steps: count, seed: 1n, signal });
      refresh = await timedWarm(() => bridge.refresh(), signal);
      await flow(1);
      flowStep = (await timedWarm(() => flow(steps), signal)) / steps;
    }
    let t = 0;
    const learningStep = await timedWarm(() => learner.step(data, x0, learningRate, t++), signal);
    return { learning: description, flow: bridge?.engine === 'tfjs' ? description : createRuntime().name, flowStep, refresh, learningStep, residentBytes: process.memoryUsage().rss };
  } finally {
    await bridge?.dispose();
    learner.dispose();
    network.dispose();
  }
}
