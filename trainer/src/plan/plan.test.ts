/** Plans: parameters and operations against the sums of METHOD's table by hand; the measured part runs and adds up. */
import { expect, it } from 'vitest';
import { parseConfig } from '../config/load.js';
import type { TrainingConfig } from '../config/schema.js';
import { checkpointsKept } from './network-plan.js';
import { hoursWith, planTraining } from './plan.js';

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
