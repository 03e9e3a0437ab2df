/** Signs of divergence, on rows made up by hand. */
import { pairingOf } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { diagnosed, diagnoseEstimator, explosion } from './diagnose.js';
import type { IterationMetrics } from './train.js';

const rows = (count: number, values: Partial<IterationMetrics> = {}): IterationMetrics[] => Array.from({ length: count }, (_, i) => ({
  iteration: i + 1, loss: 1.2, logRatioData: -0.4, logRatioSamples: 0.5, learningRate: 1e-4, milliseconds: 1, flowMilliseconds: 1, ...values,
}));
const kl = pairingOf('lr-kl');

describe('nothing is said', () => {
  it.each<[string, IterationMetrics[]]>([
    ['of a healthy run', rows(100)],
    ['before there are enough iterations', rows(diagnosed - 1, { loss: 1e6, logRatioData: 90 })],
    ['of a single bad batch', [...rows(60), ...rows(1, { loss: 300, logRatioData: 60 })]],
    ['when trouble is over', [...rows(60, { loss: 1e3, logRatioData: 90 }), ...rows(diagnosed)]],
    // A perfect separation: large log ratios of the right sign.
    ['of a chasm', rows(60, { loss: 1e-6, logRatioData: -40, logRatioSamples: 40 })],
    ['of a loss below 0, which is no explosion upwards', rows(60, { loss: -4000, logRatioData: -2, logRatioSamples: 8 })],
  ])('%s', (_, given) => {
    expect(diagnoseEstimator(kl, given)).toBeNull();
  });
});

it('an exploding loss is measured by that of a network that knows nothing', () => {
  expect(diagnoseEstimator(kl, rows(60, { loss: 30 }))).toMatch(/explodes: 30\.0 .*knows nothing has 1\.39/);
  expect(diagnoseEstimator(kl, rows(60, { loss: 25 }))).toBeNull();
  expect(diagnoseEstimator(pairingOf('lsif-chi2'), rows(60, { loss: 11 }))).toMatch(/explodes/);
  expect(explosion(rows(60, { loss: 50 }), Math.log(10))).toMatch(/explodes/);
  expect(explosion(rows(60, { loss: 40 }), Math.log(10))).toBeNull();
});

it('a loss of lsif that falls without bound is measured by the same, with room for sets that have nothing in common', () => {
  const lsif = pairingOf('lsif-chi2');
  expect(diagnoseEstimator(lsif, rows(60, { loss: -6000 }))).toMatch(/falls without bound: -6\.00e\+3 .*knows nothing has -0\.500\. The flow carries/);
  expect(diagnoseEstimator(lsif, rows(60, { loss: -4000 }))).toBeNull();
  expect(diagnoseEstimator(lsif, [...rows(60), ...rows(1, { loss: -6000 })])).toBeNull();
});

it('means on the wrong side of 0 are no ratio\'s', () => {
  expect(diagnoseEstimator(kl, rows(60, { logRatioData: 3.5 }))).toMatch(/on the data has drifted to 3\.50 .* at most 0/);
  expect(diagnoseEstimator(kl, rows(60, { logRatioSamples: -3.5 }))).toMatch(/on the samples has drifted to -3\.50 .* at least 0/);
  // r itself, cut off at 0: says nothing.
  expect(diagnoseEstimator(pairingOf('lsif-chi2'), rows(60, { loss: -0.4, logRatioSamples: -27 }))).toBeNull();
});
