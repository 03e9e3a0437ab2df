/** The weights of a network in training: gradient, Adam, moving average, spectral norms; and all of it as a state that a run resumes from. */
import type { Seed } from '@ratioflow/sdk';
import type { LayersModel, NamedTensorMap, Scalar, Tensor, Variable } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { TrainingError } from '../errors.js';
import { spectralLayersOf } from '../estimators/spectral.js';
import { createAdam, type AdamOptions } from './adam.js';
import { withLayerNoise } from './layer-noise.js';

/** Everything that a resumed run needs, by name: weights, EMA, moments. */
export type LearnerState = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/** What every learner offers, whatever it learns. */
export interface TrainedWeights {
  /** Float32 copies. */
  state(): Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** Takes a state over. @throws when a name or a shape does not fit */
  restore(state: LearnerState): void;
  /** Runs `work` while the network is as it ships: averaged weights, spectral norms converged. */
  withAveragedWeights<T>(work: () => Promise<T>): Promise<T>;
  dispose(): void;
}

export interface WeightsOptions extends AdamOptions {
  /** Rate μ of the average e ← μ e + (1 − μ) w, from the first step, e starting at the initial weights; 0: none. */
  readonly ema: number;
  /** What layers draw in learning follows from it and the number of the step. @default 0 */
  readonly seed?: Seed | undefined;
}

export interface Weights extends TrainedWeights {
  /**
   * One step down the gradient of the loss.
   * @param objectives their sum, one scalar after the other, is what is minimised (the first) and reported; computed one after the other
   * @param t number of steps before this one
   * @returns the sums
   */
  step(objectives: readonly (() => readonly [loss: Scalar, ...others: Scalar[]])[], learningRate: number, t: number): Float32Array;
}

export function trainWeights(tf: TensorFlow, network: LayersModel, options: WeightsOptions): Weights {
  const { ema, seed = 0 } = options;
  // Once each: a layer that two sub-models share is listed by both.
  const weights = [...new Set(network.trainableWeights)];
  const names = uniqueNames(weights);
  const variableOf = (weight: (typeof weights)[number]): Variable => {
    const variable = weight.read();
    if (!(variable instanceof tf.Variable)) throw new TrainingError(`Weight ${weight.originalName} is no variable and cannot be trained.`);
    return variable as Variable;
  };
  const variables = weights.map(variableOf);
  const adam = createAdam(tf, variables, options);
  const averages = ema > 0 ? variables.map((variable) => tf.tidy(() => tf.variable(variable.clone(), false))) : variables;
  // What moves without a gradient: vectors of spectral normalisation, moving moments of a user's network.
  const fixed = [...new Set(network.nonTrainableWeights)];
  const fixedNames = uniqueNames(fixed);
  const buffers = fixed.map((weight, index): [string, Variable] => [`buffers/${fixedNames[index]!}`, variableOf(weight)]);
  const spectral = spectralLayersOf(network);
  const named = (): [string, Variable][] => [...names.flatMap((name, index): [string, Variable][] => [
    [`weights/${name}`, variables[index]!],
    ...(ema > 0 ? [[`ema/${name}`, averages[index]!] as [string, Variable]] : []),
    [`adam.m/${name}`, adam.moments[index]!.m],
    [`adam.v/${name}`, adam.moments[index]!.v],
  ]), ...buffers];

  /** Values that are kept for the gradient are gone when it returns. */
  const differentiate = (objective: () => readonly [loss: Scalar, ...others: Scalar[]]): { scalars: Tensor; gradients: NamedTensorMap } => tf.tidy(() => {
    let reported: Tensor[] = [];
    const { value, grads } = tf.variableGrads(() => {
      const [loss, ...others] = objective();
      reported = others.map((one) => tf.keep(one));
      return loss;
    }, variables);
    const scalars = tf.stack([value, ...reported]);
    tf.dispose(reported);
    return { scalars, gradients: grads };
  });

  return {
    step(objectives, learningRate, t) {
      for (const layer of spectral) layer.iteratePower(1);
      return withLayerNoise(seed, t, () => tf.tidy(() => {
        let sum = differentiate(objectives[0]!);
        for (const objective of objectives.slice(1)) {
          const [before, one] = [sum, differentiate(objective)];
          sum = {
            scalars: tf.add(before.scalars, one.scalars),
            gradients: Object.fromEntries(Object.entries(before.gradients).map(([name, gradient]) => [name, tf.add(gradient, one.gradients[name]!)])),
          };
          for (const { scalars, gradients } of [before, one]) tf.dispose([scalars, ...Object.values(gradients)]);
        }
        adam.step(sum.gradients, learningRate, t);
        if (ema > 0) averages.forEach((average, index) => average.assign(tf.add(tf.mul(average, ema), tf.mul(variables[index]!, 1 - ema))));
        return sum.scalars.dataSync<'float32'>();
      }));
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

/**
 * Names of weights in a checkpoint: as their layers call them, with a number where sub-models have layers of one name. Layers that were
 * given no name are counted by tfjs through the whole process (dense_Dense7): here from the first one of the network.
 */
function uniqueNames(weights: readonly { readonly originalName: string }[]): string[] {
  const first = new Map<string, number>();
  for (const { originalName } of weights) {
    for (const [, kind, number] of originalName.matchAll(counted)) first.set(kind!, Math.min(first.get(kind!) ?? Infinity, Number(number)));
  }
  const taken = new Set<string>();
  for (const { originalName } of weights) {
    const own = originalName.replace(counted, (_, kind: string, number: string) => `${kind}${Number(number) - first.get(kind)! + 1}`);
    let name = own;
    for (let number = 2; taken.has(name); number++) name = `${own}~${number}`;
    taken.add(name);
  }
  return [...taken];
}

/** Name and number that tfjs gives a layer of a class, as a part of a path. */
const counted = /(?<=^|\/)([a-z0-9_]+_[A-Z]\w*?)(\d+)(?=\/)/g;
