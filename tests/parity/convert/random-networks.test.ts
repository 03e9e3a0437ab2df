/** Random networks against tfjs: what they predict, and the gradient of what they predict. */
import { convertLayersModel, gradient } from '@ratioflow/export';
import type { Tensor } from '@tensorflow/tfjs';
import { beforeAll, expect, it } from 'vitest';
import { loadTensorFlow } from '../../../trainer/src/backend/load-tensorflow.js';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { relativeError, runModel } from '../../support/run-model.js';
import { expectParity, normals, toChannelsFirst } from './parity.js';
import { randomNetwork } from './random-networks.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const seeds = Array.from({ length: 32 }, (_, seed) => seed);

it.each(seeds)('network %i predicts as in tfjs, and has its gradient', async (seed) => {
  const network = randomNetwork(tf, seed);
  await expectParity(tf, network);
  const shape = [2, ...(network.inputs[0]!.shape.slice(1) as number[])];
  const [x, weight] = [tf.tensor(normals(shape.reduce((a, b) => a * b)), shape), tf.tensor(normals(6), [2, 3])];
  const expected = tf.grad((value: Tensor) => (network.apply(value) as Tensor).mul(weight).sum())(x);
  const arranged = (tensor: Tensor): { data: Float32Array; shape: readonly number[] } => {
    const array = { data: tensor.dataSync<'float32'>(), shape: tensor.shape };
    return tensor.rank === 4 ? toChannelsFirst(array) as typeof array : array;
  };
  const { model } = await convertLayersModel(network);
  const [input, output] = [model.graph.inputs[0]!.name, model.graph.outputs[0]!.name];
  const differentiated = gradient(model, { of: output, wrt: input, seed: true });
  expect(new Set(differentiated.graph.nodes.map(({ name }) => name)).size).toBe(differentiated.graph.nodes.length);
  for (const level of ['disabled', 'all'] as const) {
    const results = await runModel(differentiated, { [input]: arranged(x), [`seed_${output}`]: arranged(weight) }, level);
    expect(relativeError(results[`grad_${input}`]!.data, arranged(expected).data), level).toBeLessThan(1e-4);
  }
  network.dispose();
});
