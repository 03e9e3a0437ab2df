/** Classification loss, and attacks on it by projected gradient ascent in the L2 norm (Madry et al. 2018). */
import type { Scalar, Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';

export interface Attack {
  /** Largest L2 norm of a sample's perturbation, in units of the values. */
  readonly radius: number;
  /** Length of a step. @default 2.5 · radius / steps: the border is reached from everywhere inside */
  readonly stepSize?: number | undefined;
  readonly steps: number;
}

/** Cross entropies −log softmax(logits)[label], [N]. @param labels int32 */
export function crossEntropies(tf: TensorFlow, logits: Tensor2D, labels: Tensor1D): Tensor1D {
  const target = tf.oneHot(labels, logits.shape[1]);
  return tf.neg(tf.sum(tf.mul(tf.logSoftmax(logits), target), 1));
}

/**
 * Samples moved from `x` within the radius so that the loss grows: δ ← Π(δ + step · g / ‖g‖), g = ∇ loss, from δ = 0; Π shortens
 * δ to the radius. Values are not clamped, so that samples of the flow, which leave the range too, are covered.
 * @param network x → logits [N, classes]
 */
export function attacked(tf: TensorFlow, network: (x: Tensor) => Tensor2D, x: Tensor, labels: Tensor1D, { radius, steps, stepSize = (2.5 * radius) / steps }: Attack): Tensor {
  return tf.tidy(() => {
    const axes = x.shape.map((_, axis) => axis).slice(1);
    const norms = (of: Tensor): Tensor => tf.maximum(tf.sqrt(tf.sum(tf.square(of), axes, true)), 1e-12);
    const gradient = tf.grad((at: Tensor): Scalar => tf.sum(crossEntropies(tf, network(at), labels)));
    let delta: Tensor = tf.zerosLike(x);
    for (let step = 0; step < steps; step++) {
      const next = tf.tidy(() => {
        const g = gradient(tf.add(x, delta));
        const moved = tf.add(delta, tf.mul(tf.div(g, norms(g)), stepSize));
        return tf.mul(moved, tf.minimum(tf.div(radius, norms(moved)), 1));
      });
      delta.dispose();
      delta = next;
    }
    return tf.add(x, delta);
  });
}
