/** One learning step: the loss on (x_p, x_K), its gradient, Adam, and the moving average (Algorithm 1, lines 6 and 7). */
import type { Pairing } from '@ratioflow/sdk';
import type { LayersModel, Scalar, Tensor, Tensor1D, Variable } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { TrainingError } from '../errors.js';
import { toNetwork } from '../estimators/layout.js';
import { spectralLayersOf } from '../estimators/spectral.js';
import { bregmanLoss, meanLogRatio } from '../objective/objective.js';
import { createAdam, type AdamOptions } from './adam.js';

/** What one step reports. */
export interface StepMetrics {
  readonly loss: number;
  /** Mean of log q/p on the data: falls below 0 while the estimator tells the two apart. */
  readonly logRatioData: number;
  /** Mean of log q/p on the flow's samples. */
  readonly logRatioSamples: number;
}

export interface Learner {
  /** @param t iteration, from 0; the number of steps taken before */
  step(data: Float32Array, samples: Float32Array, learningRate: number, t: number): StepMetrics;
  /** Everything that a resumed run needs, by name: weights, EMA, moments. Float32 copies. */
  state(): Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** Takes a state over. @throws when a name or a shape does not fit */
  restore(state: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>): void;
  /** Runs `work` while the network is as it ships: averaged weights, spectral norms converged. */
  withAveragedWeights<T>(work: () => Promise<T>): Promise<T>;
  dispose(): void;
}

export interface LearnerOptions extends AdamOptions {
  readonly pairing: Pairing;
  readonly sampleShape: readonly number[];
  /** Rate μ of the average e ← μ e + (1 − μ) w, from the first step, e starting at the initial weights; 0: none. */
  readonly ema: number;
}

export function createLearner(tf: TensorFlow, network: LayersModel, options: LearnerOptions): Learner {
  const { pairing, sampleShape, ema } = options;
  const weights = network.trainableWeights;
  const variableOf = (weight: (typeof weights)[number]): Variable => {
    const variable = weight.read();
    if (!(variable instanceof tf.Variable)) throw new TrainingError(`Weight ${weight.originalName} is no variable and cannot be trained.`);
    return variable as Variable;
  };
  const variables = weights.map(variableOf);
  const adam = createAdam(tf, variables, options);
  const averages = ema > 0 ? variables.map((variable) => tf.tidy(() => tf.variable(variable.clone(), false))) : variables;
  // What moves without a gradient: vectors of spectral normalisation, moving moments of a user's network.
  const buffers = network.nonTrainableWeights.map((weight): [string, Variable] => [`buffers/${weight.originalName}`, variableOf(weight)]);
  const spectral = spectralLayersOf(network);
  const named = (): [string, Variable][] => [...weights.flatMap((weight, index): [string, Variable][] => [
    [`weights/${weight.originalName}`, variables[index]!],
    ...(ema > 0 ? [[`ema/${weight.originalName}`, averages[index]!] as [string, Variable]] : []),
    [`adam.m/${weight.originalName}`, adam.moments[index]!.m],
    [`adam.v/${weight.originalName}`, adam.moments[index]!.v],
  ]), ...buffers];

  return {
    step(data, samples, learningRate, t) {
      for (const layer of spectral) layer.iteratePower(1);
      const report = tf.tidy(() => {
        const count = data.length / sampleShape.reduce((a, b) => a * b, 1);
        const x = tf.concat([toNetwork(tf, data, sampleShape), toNetwork(tf, samples, sampleShape)]);
        let onData!: Scalar;
        let onSamples!: Scalar;
        const { value, grads } = tf.variableGrads(() => {
          const n = (network.apply(x, { training: true }) as Tensor).flatten();
          const [nData, nSamples] = tf.split(n, [count, count]) as [Tensor1D, Tensor1D];
          onData = tf.keep(meanLogRatio(tf, pairing, nData));
          onSamples = tf.keep(meanLogRatio(tf, pairing, nSamples));
          return bregmanLoss(tf, pairing, nData, nSamples);
        }, variables);
        adam.step(grads, learningRate, t);
        if (ema > 0) averages.forEach((average, index) => average.assign(tf.add(tf.mul(average, ema), tf.mul(variables[index]!, 1 - ema))));
        const stacked = tf.stack([value, onData, onSamples]);
        tf.dispose([onData, onSamples]);
        return stacked.dataSync<'float32'>();
      });
      return { loss: report[0]!, logRatioData: report[1]!, logRatioSamples: report[2]! };
    },
    state: () => new Map(named().map(([name, variable]) => [name, { shape: variable.shape, data: Float32Array.from(variable.dataSync<'float32'>()) }])),
    restore(state) {
      for (const [name, variable] of named()) {
        const entry = state.get(name);
        if (!entry || entry.shape.join() !== variable.shape.join()) {
          throw new Error(`${name} should have the shape [${variable.shape.join(', ')}], found ${entry ? `[${entry.shape.join(', ')}]` : 'nothing'}`);
        }
        tf.tidy(() => variable.assign(tf.tensor(entry.data, variable.shape)));
      }
    },
    async withAveragedWeights(work) {
      if (ema === 0 && spectral.length === 0) return work();
      const all = [...variables, ...buffers.map(([, variable]) => variable)];
      const saved = tf.tidy(() => all.map((variable) => tf.keep(variable.clone())));
      const assign = (sources: readonly Tensor[]): void => tf.tidy(() => sources.forEach((source, index) => all[index]!.assign(source.clone())));
      if (ema > 0) assign(averages);
      for (const layer of spectral) layer.converge();
      try {
        return await work();
      } finally {
        assign(saved);
        tf.dispose(saved);
      }
    },
    dispose() {
      adam.dispose();
      if (ema > 0) tf.dispose(averages);
    },
  };
}
