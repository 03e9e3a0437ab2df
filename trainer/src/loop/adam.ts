/**
 * Adam (Kingma & Ba 2015, algorithm 1) in PyTorch's order of operations, with its whole state in plain variables: tfjs's own
 * optimizer recomputes its bias corrections on restoring, so a resumed run would differ in the last bits.
 */
import type { NamedTensorMap, Scalar, Variable } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';

export interface AdamOptions {
  readonly beta1: number;
  readonly beta2: number;
}

const epsilon = 1e-8;

export interface Adam {
  /** First and second moments, by the variables' names. */
  readonly moments: readonly { readonly name: string; readonly m: Variable; readonly v: Variable }[];
  /** One update. @param t number of updates before this one */
  step(gradients: NamedTensorMap, learningRate: number, t: number): void;
  dispose(): void;
}

export function createAdam(tf: TensorFlow, variables: readonly Variable[], { beta1, beta2 }: AdamOptions): Adam {
  const zeros = (variable: Variable): Variable => tf.tidy(() => tf.variable(tf.zerosLike(variable), false));
  const moments = variables.map((variable) => ({ name: variable.name, m: zeros(variable), v: zeros(variable) }));
  return {
    moments,
    step(gradients, learningRate, t) {
      tf.tidy(() => {
        // Scalars that all variables share: with a small network, making them anew for each takes as long as the arithmetic.
        const [decay1, rest1, decay2, rest2, scale, least, size] = [
          beta1, 1 - beta1, beta2, 1 - beta2, 1 / Math.sqrt(1 - beta2 ** (t + 1)), epsilon, learningRate / (1 - beta1 ** (t + 1)),
        ].map((value) => tf.scalar(value)) as [Scalar, Scalar, Scalar, Scalar, Scalar, Scalar, Scalar];
        variables.forEach((variable, index) => {
          const { m, v } = moments[index]!;
          tf.tidy(() => {
            const gradient = gradients[variable.name]!;
            m.assign(tf.add(tf.mul(m, decay1), tf.mul(gradient, rest1)));
            v.assign(tf.add(tf.mul(v, decay2), tf.mul(tf.square(gradient), rest2)));
            const denominator = tf.add(tf.mul(tf.sqrt(v), scale), least);
            variable.assign(tf.sub(variable, tf.mul(tf.div(m, denominator), size)));
          });
        });
      });
    },
    dispose: () => {
      for (const { m, v } of moments) tf.dispose([m, v]);
    },
  };
}

/** Step size at iteration t: `base`, times `factor` for every milestone that t has reached. */
export function learningRateAt(t: number, base: number, milestones: readonly number[], factor: number): number {
  return base * factor ** milestones.filter((milestone) => t >= milestone).length;
}

