/** A 2-D set in about a minute: training, then samples, log-ratio field and drift from the bundle. */
import { join } from 'node:path';
import { open, writeFileAtomic, writeNpy } from '@ratioflow/node';
import { validateConfig } from '../config/load.js';
import { openDataset } from '../data/open.js';
import { fieldPlot, scatterPlot } from '../pictures/plane-plots.js';
import { squareAround } from '../pictures/points.js';
import { startRun } from '../run/run-training.js';
import type { DemoOptions, DemoResult } from './demo.js';
import { fieldOf } from './field.js';

/** Data sets of the demo. */
export const toyNames = ['swiss-roll', '8-gaussians', '25-gaussians'] as const;
export type ToyName = (typeof toyNames)[number];

const count = 2000;

export async function toyDemo(name: ToyName, options: DemoOptions): Promise<DemoResult> {
  const { out, seed = '42', iterations = 800, signal } = options;
  const config = validateConfig({
    name,
    seed,
    data: { name },
    estimator: { name: 'mlp' },
    pairing: 'lr-kl',
    prior: 'gaussian',
    flow: { K: 100, kappa: 0, eta: 0.1, nu: 0.01 },
    training: {
      iterations, batch: 1024, learningRate: 1e-3, ema: 0.98, dequantisation: 0,
      decayAt: [Math.ceil(0.6 * iterations), Math.ceil(0.85 * iterations)], decayFactor: 0.3,
    },
    checkpoints: { every: Math.max(1, Math.ceil(iterations / 4)), keep: 1 },
    previews: { every: 0 },
  });
  const { bundle } = await startRun(config, options);
  const model = await open(bundle);
  try {
    const { samples, statistics } = await model.sample({ count, seed, ...(signal && { signal }) });
    const data = new Float32Array(2 * count);
    await (await openDataset({ name })).batch(data, { seed: 1n, iteration: 0, count });
    const extent = squareAround(data, samples.data);
    const files = { samples: join(out, 'samples.png'), field: join(out, 'field.png'), array: join(out, 'samples.npy') };
    await writeFileAtomic(files.samples, (await scatterPlot({ title: name, subtitle: `${count} samples after ${iterations} iterations`, data, samples: samples.data, extent })).png);
    await writeFileAtomic(files.field, (await fieldPlot({ title: name, subtitle: 'log q/p and the drift', ...(await fieldOf(model, extent)), extent, data })).png);
    await writeNpy(files.array, samples);
    return {
      findings: [`${count} samples in ${statistics.milliseconds.toFixed(0)} ms on ${statistics.provider}: ${statistics.steps} steps of ${statistics.millisecondsPerStep.toFixed(2)} ms.`],
      files: [
        { path: files.samples, about: 'samples over data' },
        { path: files.field, about: 'log-ratio field and drift' },
        { path: join(out, 'curve.png'), about: 'loss and mean log ratios' },
        { path: files.array, about: 'the samples, float32 [N, 2]' },
        { path: bundle, about: 'the bundle' },
      ],
    };
  } finally {
    await model.dispose();
  }
}
