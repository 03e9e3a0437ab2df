/** The flow on tfjs's own automatic differentiation: the second engine, and the check on the first. */
import { fillFlowNormals, type Pairing } from '@ratioflow/sdk';
import type { LayersModel, Tensor } from '@tensorflow/tfjs';
import type { TensorFlow } from '../backend/tensorflow.js';
import { fromNetwork, toNetwork } from '../estimators/layout.js';
import { potential } from '../objective/objective.js';
import type { Bridge, FlowRequest, FlowSettings } from './bridge.js';

export function tensorflowBridge(
  tf: TensorFlow, network: LayersModel, sampleShape: readonly number[], pairing: Pairing, { eta, nu }: FlowSettings,
): Bridge {
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  const gradient = tf.grad((x: Tensor) => tf.sum(potential(tf, pairing, (network.apply(x) as Tensor).flatten())));
  return {
    engine: 'tfjs',
    // The network itself is used: its weights are always the present ones.
    refresh: () => Promise.resolve(),
    async run(x0, { count, steps, seed, signal }: FlowRequest) {
      let x: Tensor = tf.tidy(() => toNetwork(tf, x0, sampleShape));
      try {
        for (let k = 0; k < steps; k++) {
          // tfjs computes on this thread: without a pause no interrupt would be heard before the last step.
          await new Promise(setImmediate);
          signal?.throwIfAborted();
          const next = tf.tidy(() => {
            const noise = new Float32Array(count * elements);
            fillFlowNormals(noise, { seed, step: k, steps: 1 }, { count, elements });
            return tf.add(tf.sub(x, tf.mul(gradient(x), eta)), tf.mul(toNetwork(tf, noise, sampleShape), nu));
          });
          x.dispose();
          x = next;
        }
        return tf.tidy(() => fromNetwork(tf, x));
      } finally {
        x.dispose();
      }
    },
    rest: () => Promise.resolve(),
    dispose: () => Promise.resolve(),
  };
}
