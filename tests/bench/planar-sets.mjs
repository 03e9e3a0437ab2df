/**
 * How near samples come to the data in the plane, ours and those of the same training in PyTorch: the same number of
 * iterations, the same settings, seeds of their own. Distances to fresh data: sliced Wasserstein-2, and maximum mean
 * discrepancy with Gaussian kernels; beside them that of data to data, which is what the number of samples allows.
 * `npx tsc -b && node tests/bench/planar-sets.mjs --python <python with torch> [--rounds 3] [--dry]`; writes docs/benchmarks.md.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from '../../runtimes/node/dist/index.js';
import { normals, purposes } from '../../sdk/dist/index.js';
import { decodeNpy } from '../../sdk/dist/npy.js';
import { validateConfig } from '../../trainer/dist/config/load.js';
import { openDataset } from '../../trainer/dist/data/open.js';
import { startRun } from '../../trainer/dist/run/run-training.js';
import { machine, options, summary, table, writeSection } from './side-by-side.mjs';

const sets = ['swiss-roll', '8-gaussians', '25-gaussians'];
const [count, projections, kernelPoints] = [10_000, 200, 2000];
const iterations = 500;
const training = { iterations, batch: 512, learningRate: 1e-3, decayAt: [300, 425], decayFactor: 0.3, ema: 0.98, dequantisation: 0 };
const flow = { K: 60, eta: 0.1, nu: 0.01 };
const { python, rounds, dry } = options(3);

/** √ of the mean over directions of the squared Wasserstein-2 distance of the projections. */
function slicedWasserstein(a, b) {
  const directions = normals({ seed: 5, purpose: purposes.testVectors, step: 0, count: projections, elements: 2 });
  let sum = 0;
  for (let p = 0; p < projections; p++) {
    const length = Math.hypot(directions[2 * p], directions[2 * p + 1]);
    const project = (x) => Float64Array.from({ length: x.length / 2 }, (_, i) => (x[2 * i] * directions[2 * p] + x[2 * i + 1] * directions[2 * p + 1]) / length).sort();
    const [u, v] = [project(a), project(b)];
    for (let i = 0; i < u.length; i++) sum += (u[i] - v[i]) ** 2 / u.length;
  }
  return Math.sqrt(sum / projections);
}

/** Unbiased estimate of the squared discrepancy, kernels of widths 0.05 … 0.8 added up, of the first points. */
function discrepancy(a, b) {
  const widths = [0.05, 0.1, 0.2, 0.4, 0.8];
  const mean = (x, y, same) => {
    let sum = 0;
    for (let i = 0; i < kernelPoints; i++) for (let j = 0; j < kernelPoints; j++) {
      if (same && i === j) continue;
      const square = (x[2 * i] - y[2 * j]) ** 2 + (x[2 * i + 1] - y[2 * j + 1]) ** 2;
      for (const width of widths) sum += Math.exp(-square / (2 * width * width));
    }
    return sum / (kernelPoints * (same ? kernelPoints - 1 : kernelPoints));
  };
  return mean(a, a, true) + mean(b, b, true) - 2 * mean(a, b, false);
}

const folder = mkdtempSync(join(tmpdir(), 'ratioflow-planar-'));
const rows = [];
for (const set of sets) {
  const dataset = await openDataset({ name: set });
  const fresh = async (seed) => {
    const data = new Float32Array(2 * count);
    await dataset.batch(data, { seed, iteration: 0, count });
    return data;
  };
  const data = await fresh(1n);
  const found = { ours: [], PyTorch: [], data: [] };
  for (let seed = 1; seed <= rounds; seed++) {
    const out = join(folder, `${set}-${seed}`);
    const config = validateConfig({ name: set, seed: String(seed), data: { name: set }, estimator: { name: 'mlp' }, prior: 'gaussian', flow, training, checkpoints: { every: iterations, keep: 1 }, previews: { every: 0 } });
    const model = await open((await startRun(config, { out })).bundle);
    found.ours.push((await model.sample({ count, seed: 1000 + seed })).samples.data);
    await model.dispose();
    const job = { set, seed, pairing: 'lr-kl', ...training, ...flow, count, out: `${out}.npy` };
    if (spawnSync(python, [join(import.meta.dirname, 'planar_sets.py'), JSON.stringify(job)], { stdio: 'inherit' }).status !== 0) process.exit(1);
    found.PyTorch.push(decodeNpy(readFileSync(job.out), job.out).data);
    found.data.push(await fresh(BigInt(100 + seed)));
  }
  for (const [name, distance, digits] of [['sliced Wasserstein-2', slicedWasserstein, 3], ['maximum mean discrepancy², ×1000', (a, b) => 1000 * discrepancy(a, b), 2]]) {
    const shown = (key) => {
      const { min, median, max } = summary(found[key].map((samples) => distance(samples, data)));
      return [min, median, max].map((value) => value.toFixed(digits)).join(' / ');
    };
    rows.push([set, name, shown('ours'), shown('PyTorch'), shown('data')]);
    console.log(rows.at(-1).join(' | '));
  }
}
rmSync(folder, { recursive: true });
const text = `${table(['set', 'distance to data', 'ours', 'PyTorch', 'other data'], rows)}

Smallest / median / largest of ${rounds} seeds; ${iterations} iterations of batch ${training.batch}, K = ${flow.K}, lr-kl, ${count} samples. ${machine(null).replace('; no PyTorch here', '')}.`;
console.log(`\n${text}`);
if (!dry) await writeSection('planar-sets', text);
process.exit(0);
