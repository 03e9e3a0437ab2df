/** The check of an export: a drift on either side of a kink is right there, and nowhere else. */
import { pairingOf } from '@ratioflow/sdk';
import { encodeNpy } from '@ratioflow/sdk/npy';
import { expect, it } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import { checkAgainstNetwork } from './run-bundle.js';

it('takes what rounding may do at a kink, and refuses every other difference', async () => {
  const tensorflow = await loadTensorFlow();
  const { tf } = tensorflow;
  const input = tf.input({ shape: [2] });
  const dense = tf.layers.dense({ units: 1, useBias: false });
  const network = tf.model({ inputs: input, outputs: tf.layers.leakyReLU({ alpha: 0.2 }).apply(dense.apply(input)) as typeof input });
  dense.setWeights([tf.tensor2d([[1], [1]])]);
  // n = leaky(x_1 + x_2): the first sample is at the kink, the others are far on either side of it.
  const x = Float32Array.of(0.5, -0.5, 1, 0, -1, 0);
  const check = (...slopes: number[]): void => {
    const drift = Float32Array.from({ length: 6 }, (_, i) => -slopes[Math.floor(i / 2)]!);
    checkAgainstNetwork({ tensorflow, network, pairing: pairingOf('lr-kl'), dataset: { sampleShape: [2] } }, new Map([
      ['verify/gradient.x.npy', encodeNpy({ shape: [3, 2], data: x })], ['verify/gradient.drift.npy', encodeNpy({ shape: [3, 2], data: drift })],
    ]));
  };
  check(1, 1, 0.2);
  check(0.2, 1, 0.2);
  expect(() => check(0.6, 1, 0.2)).toThrow(/differs from TensorFlow\.js's by 0\.(39|40)\d* of its size/);
  expect(() => check(1, 0.2, 0.2)).toThrow(/by 0\.(79|80)/);
  expect(() => check(1, 1, 1)).toThrow(/by 0\.(79|80)/);
  network.dispose();
});
