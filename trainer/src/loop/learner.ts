/** One learning step of an estimator: the loss on (x_p, x_K), its gradient, Adam, and the moving average (Algorithm 1, lines 6 and 7). */
import type { Pairing } from '@ratioflow/sdk';
import type { LayersModel, Tensor, Tensor1D } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { toNetwork } from '../estimators/layout.js';
import { bregmanLoss, meanLogRatio } from '../objective/objective.js';
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
}

export function createLearner(tf: TensorFlow, network: LayersModel, options: LearnerOptions): Learner {
  const { pairing, sampleShape } = options;
  const weights = trainWeights(tf, network, options);
  return {
    ...weights,
    step(data, samples, learningRate, t) {
      const [loss, logRatioData, logRatioSamples] = weights.step(() => {
        const count = data.length / sampleShape.reduce((a, b) => a * b, 1);
        const x = tf.concat([toNetwork(tf, data, sampleShape), toNetwork(tf, samples, sampleShape)]);
        const n = (network.apply(x, { training: true }) as Tensor).flatten();
        const [onData, onSamples] = tf.split(n, [count, count]) as [Tensor1D, Tensor1D];
        return [bregmanLoss(tf, pairing, onData, onSamples), meanLogRatio(tf, pairing, onData), meanLogRatio(tf, pairing, onSamples)];
      }, learningRate, t);
      return { loss: loss!, logRatioData: logRatioData!, logRatioSamples: logRatioSamples! };
    },
  };
}
