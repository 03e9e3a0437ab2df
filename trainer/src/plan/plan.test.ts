/** Plans: parameters and operations against the sums of METHOD's table by hand; the measured part runs and adds up. */
import { convertLayersModel, GraphBuilder, newModel } from '@ratioflow/export';
import { expect, it } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import { parseConfig } from '../config/load.js';
import type { TrainingConfig } from '../config/schema.js';
import { bundleBytes, priorBytes } from './disk.js';
import { checkpointsKept } from './network-plan.js';
import { multiplyAccumulates } from './operations.js';
import { hoursWith, planTraining } from './plan.js';
import { stepsToTime } from './trial.js';

const config = (...overrides: string[]): TrainingConfig => parseConfig(`
name: plan
data: { name: cifar10, folder: nowhere }
estimator: { name: resnet32 }
prior: ddp
flow: { K: 100, kappa: 20, eta: 3 }
training: { iterations: 1000, batch: 64 }
`, 'plan', overrides);

it('counts resnet32 as the paper does, without reading data', async () => {
  const plan = await planTraining(config(), { trialSteps: 0 });
  expect(plan.parameters).toBe(11_374_209);
  // By hand: each convolution its kernel times its output places, 32² = 1024, 16², 8², 4².
  const places = [1024, 256, 64, 16] as const;
  const stage = (inputs: number, size: number): number => size * (9 * inputs * 256 + 9 * 256 * 256 + inputs * 256 + 4 * 9 * 256 * 256);
  const forward = places[0] * (27 * 128 + 6 * 9 * 128 * 128) + stage(128, places[1]) + stage(256, places[2]) + stage(256, places[3]) + 256;
  expect(plan.forwardMacs).toBe(forward);
  // METHOD: 2.0 GMAC. The input gradient costs as much again, bar what rearranging strided adjoints adds.
  expect(forward / 1e9).toBeCloseTo(2.0, 1);
  expect(plan.gradientMacs / forward).toBeGreaterThan(1.9);
  expect(plan.gradientMacs / forward).toBeLessThan(2.6);
  expect(plan.flopsPerSample).toBe(2 * 120 * plan.gradientMacs);
  // Weights, average and two moments, after iterations 500 and 1000.
  expect(plan.checkpointBytes).toBe(2 * 4 * 4 * 11_374_209);
  expect(plan.measured).toBeNull();
});

it('counts recurrent layers: in each step a product with the input and one with the state', async () => {
  const { tf } = await loadTensorFlow();
  const network = tf.sequential({ layers: [tf.layers.lstm({ inputShape: [8, 24], units: 16 }), tf.layers.dense({ units: 1 })] });
  const { model } = await convertLayersModel(network);
  expect(multiplyAccumulates(model)).toBe(8 * 4 * 16 * (24 + 16) + 16);
  network.dispose();
});

it('counts products that are written as sums over indices', () => {
  const builder = new GraphBuilder('products');
  const [x, y, w] = [builder.input('x', 'float32', [1, 6, 2, 3]), builder.input('y', 'float32', [1, 5, 2, 3]), builder.input('w', 'float32', [3, 4])];
  builder.output('scores', builder.op('Einsum', [x, y], { equation: 'nqhd, nkhd -> nhqk' }));
  builder.output('dense', builder.op('Einsum', [y, w], { equation: '...d,de->...e' }));
  expect(multiplyAccumulates(newModel(builder.graph))).toBe(2 * 6 * 5 * 3 + 5 * 2 * 4 * 3);
});

it('does not count vectors of spectral normalisation', async () => {
  expect((await planTraining(config('estimator.spectralNorm=true'), { trialSteps: 0 })).parameters).toBe(11_374_209);
});

it.each([
  // [iterations, every, latest, keep.every] → what a run leaves, written out.
  [[10, 5, 3, 5], [5, 10]],
  [[60, 5, 2, 20], [20, 40, 55, 60]],
  [[62, 5, 1, 20], [20, 40, 60, 62]],
  [[1000, 500, 3, undefined], [500, 1000]],
  [[40, 5, 2, 20], [20, 35, 40]],
] as const)('counts the checkpoints that are kept once each: %j', ([iterations, every, latest, forGood], kept) => {
  const checkpoints = { every, keep: { latest, every: forGood } };
  expect(checkpointsKept({ checkpoints, training: { ...config().training, iterations } })).toBe(kept.length);
});

it.each([
  // Bytes of float32 arrays: mean and factor [D, D]; or mean, deviation and basis [D, rank].
  ['prior=ddp', 3072, 4 * (3072 + 3072 ** 2)],
  ['prior={ kind: ddp, explained: 0.9 }', 784, 4 * 784 * (2 + 256)],
  ['prior={ kind: ddp, rank: 300 }', 192, 4 * 192 * (2 + 192)],
  ['prior=ddp', 49_152, 4 * 49_152 * (2 + 256)],
  ['prior=uniform', 3072, 0],
] as const)('counts the prior %s of %d values as it is stored', (prior, elements, bytes) => {
  expect(priorBytes(config(prior), elements)).toBe(bytes);
});

it('counts the noise of whole flows in the bundle of images', () => {
  const of = (...overrides: string[]): number => bundleBytes(config('prior=uniform', ...overrides), { sampleShape: [3, 128, 128], constants: 4 * 5_437_377 });
  // Two samples of K + κ + 1 draws.
  expect(of() - of('flow.K=0', 'flow.kappa=0')).toBe(2 * 120 * 4 * 49_152);
});

it('times whole flows where steps are short, and few steps where they are long', () => {
  expect(stepsToTime(0.5, 3, 200)).toBe(200);
  expect(stepsToTime(15, 3, 100)).toBe(66);
  expect(stepsToTime(4000, 3, 100)).toBe(3);
  expect(stepsToTime(0.5, 3, 0)).toBe(3);
});

it('measures, tries other settings, and scales by K and batch', async () => {
  const small = config('data={ name: swiss-roll }', 'estimator={ name: mlp }', 'prior=gaussian', 'training.batch=16');
  const { measured } = await planTraining(small, { trialSteps: 2 });
  const { millisecondsPerFlowStep: step, millisecondsPerLearningStep: learning, millisecondsPerRefresh: refresh } = measured!;
  expect(Math.min(step, learning)).toBeGreaterThan(0);
  expect(measured!.hours).toBeCloseTo((1000 * (100 * step + learning + refresh)) / 3.6e6, 9);
  const { alternatives } = measured!;
  expect(alternatives.map(({ setting }) => setting)).toEqual(expect.arrayContaining(['bridge=tfjs']));
  for (const other of alternatives) expect(other, other.setting).toMatchObject({ hours: expect.any(Number) as number });
  expect((await planTraining(small, { trialSteps: 1, compare: false })).measured!.alternatives).toEqual([]);
  expect(hoursWith(small, measured!, { K: 200 })).toBeCloseTo((1000 * (200 * step + learning + refresh)) / 3.6e6, 9);
  expect(hoursWith(small, measured!, { batch: 48 })).toBeCloseTo((1000 * (3 * (100 * step + learning) + refresh)) / 3.6e6, 9);
});
