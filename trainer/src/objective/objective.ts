/**
 * The Bregman losses of density-ratio estimation and the potentials of the flow in tfjs (arXiv 2303.03714, equations 5
 * and 8, Table 1). n is the network's output; r = q/p, so data push n down and flow samples push it up.
 */
import type { Pairing } from '@ratioflow/sdk';
import type { Scalar, Tensor, Tensor1D } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';

/**
 * Mean loss over a batch.
 * lsif: ½ n(x_p)² − n(x_K). logistic: −logσ(−n(x_p)) − logσ(n(x_K)), by softplus so that it never overflows.
 */
export function bregmanLoss(tf: TensorFlow, pairing: Pairing, onData: Tensor1D, onSamples: Tensor1D): Scalar {
  switch (pairing.loss) {
    case 'lsif':
      return tf.sub(tf.mul(tf.mean(tf.square(onData)), 0.5), tf.mean(onSamples));
    case 'logistic':
      return tf.add(tf.mean(tf.softplus(onData)), tf.mean(tf.softplus(tf.neg(onSamples))));
    default:
      return pairing.loss satisfies never;
  }
}

/** f′(r) up to a constant, as a function of n. */
export function potential<T extends Tensor>(tf: TensorFlow, pairing: Pairing, n: T): T {
  switch (pairing.potential) {
    case 'twice': return tf.mul(n, 2);
    case 'identity': return n;
    // log σ(n) by softplus: the gradient of tf.logSigmoid fails on intermediate tensors.
    case 'log-sigmoid': return tf.neg(tf.softplus(tf.neg(n)));
    case 'softplus': return tf.softplus(n);
    default: return pairing.potential satisfies never;
  }
}

/** Mean of log q/p over a batch of network outputs; where n is r itself, of log max(n, 10⁻¹²). */
export function meanLogRatio(tf: TensorFlow, pairing: Pairing, n: Tensor1D): Scalar {
  return tf.mean(pairing.output === 'log-ratio' ? n : tf.log(tf.maximum(n, 1e-12)));
}

/** The loss of an estimator that finds no difference between the two sides (r = 1 everywhere). */
export function balancedLoss(pairing: Pairing): number {
  return pairing.loss === 'lsif' ? -0.5 : 2 * Math.LN2;
}
