/** The training loop of classifiers: cross entropy on batches, which an attack has moved first where the run is a robust one. */
import type { LayersModel, Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import type { ClassifierConfig } from '../config/schema.js';
import { addDequantisation } from '../data/dequantisation.js';
import { sampleLength, type ImageDataset } from '../data/dataset.js';
import { batchLabels } from '../data/order.js';
import { DivergenceError } from '../errors.js';
import { toNetwork } from '../estimators/layout.js';
import { learningRateAt } from '../loop/adam.js';
import { microBatches } from '../loop/micro-batches.js';
import { trainWeights, type TrainedWeights, type WeightsOptions } from '../loop/weights.js';
import type { MetricsColumns, RunMetrics } from '../run/metrics.js';
import { attacked, crossEntropies, type Attack } from './attack.js';

/** What an iteration reports. */
export interface ClassifierMetrics extends RunMetrics {
  /** Part of the batch that is classified rightly, under attack where there is one. */
  readonly accuracy: number;
}
export const classifierColumns = ['iteration', 'loss', 'accuracy', 'learningRate', 'milliseconds'] as const satisfies MetricsColumns<ClassifierMetrics>;

export interface ClassifierLearner extends TrainedWeights {
  /** @param x samples in C order @param classes the right outputs @param t steps before this one */
  step(x: Float32Array, classes: Uint8Array, learningRate: number, t: number): { readonly loss: number; readonly accuracy: number };
}

export interface ClassifierLearnerOptions extends WeightsOptions {
  readonly sampleShape: readonly number[];
  readonly attack?: Attack | undefined;
  /** Samples that go through the network at once. @default as many as keep memory small */
  readonly microBatch?: number | undefined;
}

export function createClassifierLearner(tf: TensorFlow, network: LayersModel, options: ClassifierLearnerOptions): ClassifierLearner {
  const { sampleShape, attack, microBatch } = options;
  const weights = trainWeights(tf, network, options);
  return {
    ...weights,
    step: (x, classes, learningRate, t) => tf.tidy(() => {
      const elements = sampleLength(sampleShape);
      const parts = microBatches(network, classes.length, { sampleShape, size: microBatch }).map(({ first, count, share }) => {
        const labels = tf.tensor1d(Int32Array.from(classes.subarray(first, first + count)), 'int32');
        const clean = toNetwork(tf, x.subarray(first * elements, (first + count) * elements), sampleShape);
        return { share, labels, input: attack ? attacked(tf, (at) => network.apply(at) as Tensor2D, clean, labels, attack) : clean };
      });
      const [loss, accuracy] = weights.step(parts.map(({ share, labels, input }) => () => {
        const logits = network.apply(input, { training: true }) as Tensor2D;
        return [tf.mul(tf.mean(crossEntropies(tf, logits, labels)), share), tf.mul(tf.mean(isRight(tf, logits, labels)), share)];
      }), learningRate, t);
      return { loss: loss!, accuracy: accuracy! };
    }),
  };
}

/** 1 where the largest logit is the label's, else 0. */
export const isRight = (tf: TensorFlow, logits: Tensor, labels: Tensor1D): Tensor1D => tf.cast(tf.equal(tf.argMax(logits, 1), labels), 'float32');

/** The parts of a classifier's run. */
export interface ClassifierParts {
  readonly config: ClassifierConfig;
  readonly dataset: ImageDataset;
  /** The right output for each of its samples. */
  readonly classes: Uint8Array;
  readonly learner: ClassifierLearner;
}

/** Runs iterations `from` … `to` − 1; everything random is a function of (seed, iteration). */
export async function* trainClassifier({ config, dataset, classes, learner }: ClassifierParts, from: number, to: number, signal?: AbortSignal, stepFactor = 1): AsyncGenerator<ClassifierMetrics> {
  const { training, seed } = config;
  const x = new Float32Array(training.batch * sampleLength(dataset.sampleShape));
  for (let t = from; t < to; t++) {
    signal?.throwIfAborted();
    const start = performance.now();
    const draw = { seed, iteration: t, count: training.batch };
    await dataset.batch(x, draw);
    addDequantisation(x, draw, training.dequantisation);
    const learningRate = stepFactor * learningRateAt(t, training.learningRate, training.decayAt, training.decayFactor);
    const metrics = learner.step(x, batchLabels(classes, draw), learningRate, t);
    if (!Number.isFinite(metrics.loss)) {
      throw new DivergenceError(`The loss became ${metrics.loss} at iteration ${t + 1}: the classifier has diverged.`);
    }
    yield { ...metrics, iteration: t + 1, learningRate, milliseconds: performance.now() - start };
    // Learning never waits for anything: without this, an interrupt would not be heard.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
