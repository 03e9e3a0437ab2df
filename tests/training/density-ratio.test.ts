/**
 * Plain density-ratio estimation (K = 0): after a few hundred iterations the estimator is compared with the exact ratio of
 * two Gaussians, q = N(0, I) and p = N(m, v I): log q/p = log v + |x − m|²/2v − |x|²/2 in two dimensions.
 */
import { normals, purposes } from '@ratioflow/sdk';
import type { Tensor } from '@tensorflow/tfjs';
import { describe, expect, it, vi } from 'vitest';
import { assembleRun, iterate } from './support.js';

// Seconds, but of all cores: other work may stretch them.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

// p is wider than q, so that r is bounded.
const mean = [0.6, -0.4] as const;
const variance = 1.5;
const exact = (x: number, y: number): number => Math.log(variance) + ((x - mean[0]) ** 2 + (y - mean[1]) ** 2) / (2 * variance) - (x * x + y * y) / 2;

const yaml = `
name: pair
data: { name: gaussian, mean: [${mean.join(', ')}], variance: ${variance} }
estimator: { name: mlp }
prior: gaussian
flow: { K: 0, eta: 1 }
training: { iterations: 300, batch: 512, learningRate: 3.0e-3, decayAt: [150, 240], decayFactor: 0.3, ema: 0.98, dequantisation: 0 }
`;

describe.each(['lr-kl', 'lsif-chi2'] as const)('%s', (pairing) => {
  it('finds the exact ratio of two Gaussians', async () => {
    const run = await assembleRun(yaml, [`pairing=${pairing}`]);
    const metrics = await iterate(run, 300);
    // The bulk of both: half of the points from p, half from q.
    const count = 2000;
    const points = normals({ seed: 3, purpose: purposes.testVectors, step: 0, count, elements: 2 }).map((value, i) => (i < count ? mean[i % 2]! + Math.sqrt(variance) * value : value));
    const found = await run.learner.withAveragedWeights(() => Promise.resolve(run.tensorflow.tf.tidy(() => Float32Array.from((run.network.predict(run.tensorflow.tf.tensor2d(points, [count, 2])) as Tensor).dataSync<'float32'>()))));
    const truth = Array.from({ length: count }, (_, i) => exact(points[2 * i]!, points[2 * i + 1]!)).map((logRatio) => (pairing === 'lsif-chi2' ? Math.exp(logRatio) : logRatio));
    const average = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;
    const [meanFound, meanTruth] = [average(found), average(truth)];
    const covariance = average(truth.map((value, i) => (value - meanTruth) * (found[i]! - meanFound)));
    const spread = (values: ArrayLike<number>, centre: number): number => Math.sqrt(average(Array.from(values, (value) => (value - centre) ** 2)));
    const correlation = covariance / (spread(found, meanFound) * spread(truth, meanTruth));
    const error = average(truth.map((value, i) => Math.abs(value - found[i]!)));
    const scale = spread(truth, meanTruth);
    console.log(`${pairing}: correlation ${correlation.toFixed(4)}, mean error ${error.toFixed(3)}, spread of the truth ${scale.toFixed(3)}`);
    expect(correlation).toBeGreaterThan(0.99);
    expect(error).toBeLessThan(0.08 * scale);
    // The direction: below 0 on data, above 0 on samples of q.
    const last = metrics.at(-1)!;
    expect(last.logRatioSamples - last.logRatioData).toBeGreaterThan(0.3);
    await run.dispose();
  });
});
