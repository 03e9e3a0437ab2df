/** Losses and potentials against the table's formulas, written out again in double precision. */
import { pairingNames, pairingOf, type PairingName } from '@ratioflow/sdk';
import type { Tensor, Tensor1D } from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import type { TensorFlow } from '../backend/tensorflow.js';
import { balancedLoss, bregmanLoss, meanLogRatio, potential } from './objective.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const sigmoid = (n: number): number => 1 / (1 + Math.exp(-n));
const [onData, onSamples] = [[-2.5, -0.3, 0, 0.7, 3.1], [2.2, 0.4, -0.9, 1.5, -4]];

/** −logσ(−n(x_p)) − logσ(n(x_K)) as written, without softplus. */
const logistic = (p: readonly number[], q: readonly number[]): number => mean(p.map((n) => -Math.log(sigmoid(-n)))) + mean(q.map((n) => -Math.log(sigmoid(n))));
/** ½ n(x_p)² − n(x_K). */
const lsif = (p: readonly number[], q: readonly number[]): number => mean(p.map((n) => 0.5 * n * n)) - mean(q);

const losses: Record<PairingName, typeof lsif> = { 'lsif-chi2': lsif, 'lr-kl': logistic, 'lr-js': logistic, 'lr-logd': logistic };
const potentials: Record<PairingName, (n: number) => number> = {
  'lsif-chi2': (n) => 2 * n,
  'lr-kl': (n) => n,
  'lr-js': (n) => Math.log(sigmoid(n)),
  'lr-logd': (n) => -Math.log(sigmoid(-n)),
};

const lossOf = (pairing: PairingName, p: readonly number[], q: readonly number[]): number =>
  tf.tidy(() => bregmanLoss(tf, pairingOf(pairing), tf.tensor1d([...p]), tf.tensor1d([...q])).dataSync()[0]!);

describe.each(pairingNames)('%s', (name) => {
  const pairing = pairingOf(name);

  it('has the loss of the table', () => {
    expect(lossOf(name, onData, onSamples)).toBeCloseTo(losses[name](onData, onSamples), 5);
  });

  it('has the loss gradient of central differences in double precision', () => {
    const [forData, forSamples] = tf.tidy(() => {
      const gradients = tf.grads((p: Tensor, q: Tensor) => bregmanLoss(tf, pairing, p as Tensor1D, q as Tensor1D));
      return gradients([tf.tensor1d(onData), tf.tensor1d(onSamples)]).map((gradient) => Array.from(gradient.dataSync())) as [number[], number[]];
    });
    const nudged = (values: readonly number[], at: number, by: number): number[] => values.map((value, i) => (i === at ? value + by : value));
    const h = 1e-5;
    onData.forEach((_, i) => {
      const p = (losses[name](nudged(onData, i, h), onSamples) - losses[name](nudged(onData, i, -h), onSamples)) / (2 * h);
      const q = (losses[name](onData, nudged(onSamples, i, h)) - losses[name](onData, nudged(onSamples, i, -h))) / (2 * h);
      expect(forData[i]).toBeCloseTo(p, 6);
      expect(forSamples[i]).toBeCloseTo(q, 6);
      // r = q/p: samples always push n up; data push it down, towards r = 0.
      expect(forSamples[i]).toBeLessThan(0);
      if (name !== 'lsif-chi2' || onData[i]! > 0) expect(forData[i]).toBeGreaterThan(0);
    });
  });

  it('has the potential of the table, and its slope', () => {
    const n = [-30, -2, -0.5, 0, 0.5, 2, 30];
    const values = tf.tidy(() => potential(tf, pairing, tf.tensor1d(n)).dataSync());
    const slopes = tf.tidy(() => tf.grad((x: Tensor) => tf.sum(potential(tf, pairing, x)))(tf.tensor1d(n)).dataSync());
    const slope: Record<PairingName, (x: number) => number> = {
      'lsif-chi2': () => 2, 'lr-kl': () => 1, 'lr-js': (x) => sigmoid(-x), 'lr-logd': (x) => sigmoid(x),
    };
    n.forEach((x, i) => {
      // logσ(30) is the difference of two doubles near 1; log1p says it exactly.
      const exact = name === 'lr-js' ? -Math.log1p(Math.exp(-x)) : name === 'lr-logd' ? Math.log1p(Math.exp(x)) : potentials[name](x);
      expect(values[i]!).toBeCloseTo(exact, 5);
      expect(slopes[i]!).toBeCloseTo(slope[name](x), 5);
    });
  });

  it('is balanced where r = 1 everywhere', () => {
    const ones = [1, 1, 1].map(() => (pairing.output === 'ratio' ? 1 : 0));
    expect(lossOf(name, ones, ones)).toBeCloseTo(balancedLoss(pairing), 6);
    expect(balancedLoss(pairing)).toBeCloseTo(losses[name](ones, ones), 12);
  });

  it('has its expected loss smallest at the true ratio', () => {
    // Two points with p = (0.8, 0.2) and q = (0.3, 0.7), as a batch of ten of each side.
    const batch = (n: readonly [number, number], first: number): number[] => Array.from({ length: 10 }, (_, i) => n[i < first ? 0 : 1]);
    const at = (n: readonly [number, number]): number => lossOf(name, batch(n, 8), batch(n, 3));
    const ratio = [0.3 / 0.8, 0.7 / 0.2] as const;
    const best: [number, number] = pairing.output === 'ratio' ? [...ratio] : [Math.log(ratio[0]), Math.log(ratio[1])];
    for (const offset of [[0.2, 0], [-0.2, 0], [0, 0.2], [0, -0.2]] as const) {
      expect(at(best)).toBeLessThan(at([best[0] + offset[0], best[1] + offset[1]]));
    }
  });

  it('reports the mean of log q/p', () => {
    const n = [0.5, 2, 4, -1];
    const value = tf.tidy(() => meanLogRatio(tf, pairing, tf.tensor1d(n)).dataSync()[0]!);
    expect(value).toBeCloseTo(pairing.output === 'ratio' ? mean([Math.log(0.5), Math.log(2), Math.log(4), Math.log(1e-12)]) : mean(n), 5);
  });
});

it('stays finite at outputs where exp overflows', () => {
  expect(lossOf('lr-kl', [200, -200], [200, -200])).toBeCloseTo(200, 3);
});
