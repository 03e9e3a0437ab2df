/** Recurrent layers and wrappers against tfjs. */
import { convertLayersModel } from '@ratioflow/export';
import type { SymbolicTensor } from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../../../trainer/src/backend/load-tensorflow.js';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { expectParity, networkOf, operators, type Layer } from './parity.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const kinds = ['lstm', 'gru', 'simpleRNN'] as const;
const flags = [false, true];
const make = (kind: (typeof kinds)[number], options: Parameters<TensorFlow['layers']['lstm']>[0]): Layer =>
  kind === 'lstm' ? tf.layers.lstm(options) : kind === 'gru' ? tf.layers.gru(options) : tf.layers.simpleRNN(options);

describe.each(kinds)('%s', (kind) => {
  it.each(flags.flatMap((returnSequences) => flags.flatMap((goBackwards) => flags.map((returnState) => ({ returnSequences, goBackwards, returnState })))))('%j', async (options) => {
    await expectParity(tf, networkOf(tf, make(kind, { units: 5, ...options }), [6, 3]));
  });

  it('without bias, with other activations', async () => {
    for (const activation of ['sigmoid', 'relu', 'elu', 'softsign', 'softplus', 'linear'] as const) {
      await expectParity(tf, networkOf(tf, make(kind, { units: 4, useBias: false, activation, recurrentActivation: 'sigmoid' }), [4, 3]));
    }
    await expect(convertLayersModel(networkOf(tf, make(kind, { name: 'memory', units: 4, activation: 'selu' }), [4, 3]))).rejects.toThrow(/Layer "memory" \(\w+\): activation = "selu" is not supported \(supported in recurrent layers: elu/);
  });

  it.each(['concat', 'sum', 'ave', 'mul', null] as const)('in both directions, merged by %s', async (mergeMode) => {
    for (const returnSequences of flags) {
      const layer = make(kind, { units: 4, returnSequences });
      await expectParity(tf, networkOf(tf, tf.layers.bidirectional({ layer: layer as never, mergeMode: mergeMode! }), [5, 3]));
    }
  });
});

it('stacked layers pass sequences on without going back and forth', async () => {
  const network = tf.sequential({ layers: [
    tf.layers.lstm({ inputShape: [6, 3], units: 4, returnSequences: true }), tf.layers.gru({ units: 5, returnSequences: true }), tf.layers.simpleRNN({ units: 2 }), tf.layers.dense({ units: 1 }),
  ] });
  expect(operators(await expectParity(tf, network)).filter((opType) => opType === 'Transpose')).toHaveLength(1);
});

it('cells in RNN, alone and stacked', async () => {
  await expectParity(tf, networkOf(tf, tf.layers.rnn({ cell: tf.layers.gruCell({ units: 4 }), returnSequences: true }), [5, 3]));
  await expectParity(tf, networkOf(tf, tf.layers.rnn({ cell: [tf.layers.lstmCell({ units: 4 }), tf.layers.lstmCell({ units: 3 })] as never }), [5, 3]));
});

it('initial states', async () => {
  const [x, h, c] = [tf.input({ shape: [5, 3] }), tf.input({ shape: [4] }), tf.input({ shape: [4] })];
  const output = tf.layers.lstm({ units: 4 }).apply([x, h, c]) as SymbolicTensor;
  await expectParity(tf, tf.model({ inputs: [x, h, c], outputs: output }));
});

it('TimeDistributed', async () => {
  const inner = tf.sequential({ layers: [tf.layers.conv2d({ inputShape: [6, 5, 2], filters: 3, kernelSize: 3, activation: 'relu' }), tf.layers.flatten(), tf.layers.dense({ units: 4 })] });
  for (const [layer, shape] of [[tf.layers.dense({ units: 4 }), [5, 3]], [tf.layers.flatten(), [3, 4, 2]], [inner, [3, 6, 5, 2]], [tf.layers.conv2d({ filters: 2, kernelSize: 2 }), [3, 6, 5, 2]]] as const) {
    await expectParity(tf, networkOf(tf, tf.layers.timeDistributed({ layer: layer }), shape));
  }
});
