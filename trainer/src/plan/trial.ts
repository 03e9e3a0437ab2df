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
  /** Flow steps that are timed at least; 0: learning alone. */
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
  /** Largest resident size of the process so far in bytes. */
  readonly residentBytes: number;
}

/** What takes longer than this is not done a second time to be warm. */
const longEnough = 3000;
/** Other work on the machine disturbs single steps. */
const repetitions = 7;
/** Short work is repeated for so long, because code is compiled while it runs. */
const warmAfter = 500;

/** Samples that keep every core busy in a trial: as many as the run's batch, unless steps of it take long. */
export function trialBatch(batch: number, macsPerSample: number): number {
  const cores = availableParallelism();
  return macsPerSample * batch > cores * 5e10 ? Math.min(batch, 8 * cores) : batch;
}

/**
 * Steps of the flow that are timed together: where they are short, as many as fill a second, because what a flow costs to start would count as
 * theirs. @param milliseconds of a step, roughly @param least steps @param most those of the run
 */
export const stepsToTime = (milliseconds: number, least: number, most: number): number => Math.max(least, Math.min(most, Math.floor(1000 / milliseconds)));

/** Largest resident size of this process so far. */
export const peakBytes = (): number => 1024 * process.resourceUsage().maxRSS;

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
  let spent = 0;
  do {
    times.push(await timed(work, signal));
    spent += times.at(-1)!;
  } while (spent < (times.length < repetitions ? longEnough / 2 : warmAfter));
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
      const rough = (await timed(() => flow(steps), signal)) / steps;
      const count = stepsToTime(rough, steps, config.flow.K);
      flowStep = (await timedWarm(() => flow(count), signal)) / count;
      await bridge.rest();
    }
    let t = 0;
    const learningStep = await timedWarm(() => learner.step(data, x0, learningRate, t++), signal);
    if (bridge) {
      // The next iteration: engines are loaded beside what learning holds on to.
      await bridge.refresh();
      await bridge.run(x0, { count: batch, steps: 1, seed: 1n, signal });
    }
    return { learning: description, flow: bridge?.engine === 'tfjs' ? description : createRuntime().name, flowStep, refresh, learningStep, residentBytes: peakBytes() };
  } finally {
    await bridge?.dispose();
    learner.dispose();
    network.dispose();
  }
}
