/** Random GraphModels against tfjs. */
import { beforeAll, it } from 'vitest';
import { loadTensorFlow } from '../../../trainer/src/backend/load-tensorflow.js';
import type { TensorFlow } from '../../../trainer/src/backend/tensorflow.js';
import { expectGraphParity } from './graph-writer.js';
import { randomGraph } from './random-graphs.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const seeds = Array.from({ length: Number(process.env['RATIOFLOW_SEEDS'] ?? 48) }, (_, seed) => seed);

it.each(seeds)('graph %i predicts as in tfjs', async (seed) => {
  await expectGraphParity(tf, randomGraph(seed));
});
