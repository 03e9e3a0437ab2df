/** One learning step of an estimator: the loss on (x_p, x_K), its gradient, Adam, and the moving average (Algorithm 1, lines 6 and 7). */
import type { Pairing } from '@ratioflow/sdk';
import type { LayersModel, Scalar, Tensor, Tensor1D } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { sampleLength } from '../data/dataset.js';
import { toNetwork } from '../estimators/layout.js';
import { bregmanLoss, meanLogRatio } from '../objective/objective.js';
import { microBatches } from './micro-batches.js';
import { trainWeights, type TrainedWeights, type WeightsOptions } from './weights.js';

/** What one step reports. */
export interface StepMetrics {
  readonly loss: number;
  /** Mean of log q/p on the data: falls below 0 while the estimator tells the two apart. */
  readonly logRatioData: number;
  /** Mean of log q/p on the flow's samples. */
  readonly logRatioSamples: number;
}

export interface Learner extends TrainedWeights {
  /** @param t iteration, from 0; the number of steps taken before */
  step(data: Float32Array, samples: Float32Array, learningRate: number, t: number): StepMetrics;
}

export interface LearnerOptions extends WeightsOptions {
  readonly pairing: Pairing;
  readonly sampleShape: readonly number[];
  /** Samples of the data, and as many of the flow, that go through the network at once. @default as many as keep memory small */
  readonly microBatch?: number | undefined;
}

export function createLearner(tf: TensorFlow, network: LayersModel, options: LearnerOptions): Learner {
  const { pairing, sampleShape, microBatch } = options;
  const weights = trainWeights(tf, network, options);
  return {
    ...weights,
    step(data, samples, learningRate, t) {
      const elements = sampleLength(sampleShape);
      const parts = microBatches(network, data.length / elements, { sampleShape, copies: 2, size: microBatch });
      const [loss, logRatioData, logRatioSamples] = weights.step(parts.map(({ first, count, share }) => () => {
        const take = (values: Float32Array): Tensor => toNetwork(tf, values.subarray(first * elements, (first + count) * elements), sampleShape);
        const n = (network.apply(tf.concat([take(data), take(samples)]), { training: true }) as Tensor).flatten();
        const [onData, onSamples] = tf.split(n, [count, count]) as [Tensor1D, Tensor1D];
        const shared = (scalar: Scalar): Scalar => tf.mul(scalar, share);
        return [shared(bregmanLoss(tf, pairing, onData, onSamples)), shared(meanLogRatio(tf, pairing, onData)), shared(meanLogRatio(tf, pairing, onSamples))];
      }), learningRate, t);
      return { loss: loss!, logRatioData: logRatioData!, logRatioSamples: logRatioSamples! };
    },
  };
}
