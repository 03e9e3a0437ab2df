/**
 * What data cost on this machine: the statistics of the data-dependent priors, and the way from JPEG files to batches
 * beside the training step that waits for them. Each in a process of its own, so that its largest resident size counts.
 * `npx tsc -b && node tests/bench/data.mjs [--only statistics|low-rank|pipeline] [--dry]`; writes docs/benchmarks.md.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { createRuntime } from '../../runtimes/node/dist/index.js';
import { loadTensorFlow } from '../../trainer/dist/backend/load-tensorflow.js';
import { loadConfig } from '../../trainer/dist/config/load.js';
import { flowRuntime } from '../../trainer/dist/bridge/flow-runtime.js';
import { openDataset } from '../../trainer/dist/data/open.js';
import { train } from '../../trainer/dist/loop/train.js';
import { ddpStatistics } from '../../trainer/dist/priors/ddp.js';
import { lowRankStatistics } from '../../trainer/dist/priors/low-rank.js';
import { assemble } from '../../trainer/dist/run/assemble.js';
import { largestResident, machine, summary, table, writeSection } from './side-by-side.mjs';

/** A picture of soft blobs with some grain, [3, side, side]: neighbouring pixels are alike, as in photographs. */
function picture(index, side, layout) {
  const pixels = new Uint8Array(3 * side * side);
  const waves = Array.from({ length: 6 }, (_, k) => [index * (k + 1) * 0.37, 1 + ((index * 7 + k * 3) % 5), ((index * 5 + k) % 7) - 3]);
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) for (let c = 0; c < 3; c++) {
    let value = 128 + 10 * Math.sin(index * 91.7 + x * 12.9 + y * 78.2 + c);
    waves.forEach(([phase, u, v], k) => { value += (50 / (k + 1)) * Math.sin(phase + c * k + (2 * Math.PI * (u * x + v * y)) / side); });
    pixels[layout === 'planes' ? (c * side + y) * side + x : 3 * (y * side + x) + c] = value;
  }
  return pixels;
}

/** Files of which no two are alike: each a picture of `distinct`, with a patch of noise. */
async function makeJpegs(folder, count, side, distinct = 200) {
  mkdirSync(folder);
  const pictures = Array.from({ length: distinct }, (_, i) => picture(i, side));
  for (let first = 0; first < count; first += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, i) => {
      const pixels = Uint8Array.from(pictures[(first + i) % distinct]);
      crypto.getRandomValues(pixels.subarray(0, 3 * side * 8));
      return sharp(pixels, { raw: { width: side, height: side, channels: 3 } }).jpeg({ quality: 90 }).toFile(join(folder, `${first + i}.jpg`));
    }));
  }
}

const seconds = async (work) => {
  const start = performance.now();
  const result = await work();
  return [(performance.now() - start) / 1000, result];
};

const large = (folder) => ({ name: 'images', path: join(folder, 'jpegs'), size: 128, cache: join(folder, 'cache') });

const figures = {
  /** CIFAR-10 as its binary files, then mean and Cholesky factor. */
  async statistics(folder) {
    const distinct = Array.from({ length: 500 }, (_, i) => picture(i, 32, 'planes'));
    for (let part = 1; part <= 5; part++) {
      const file = openSync(join(folder, `data_batch_${part}.bin`), 'w');
      for (let i = 0; i < 10_000; i++) {
        const image = Uint8Array.from(distinct[i % 500]);
        // No two alike: a stretch of each is noise.
        crypto.getRandomValues(image.subarray(0, 512));
        writeSync(file, Uint8Array.of(i % 10));
        writeSync(file, image);
      }
    }
    const { tf } = await loadTensorFlow();
    const dataset = await openDataset({ name: 'cifar10', folder });
    const [time] = await seconds(() => ddpStatistics(dataset, { tf }));
    return { time };
  },
  /** The images as JPEG files, prepared by a process of its own: the statistics alone count. */
  async 'low-rank'(folder) {
    child('prepare', folder);
    const { tf } = await loadTensorFlow();
    const dataset = await openDataset(large(folder));
    const [time, { rank, explained }] = await seconds(() => lowRankStatistics(dataset, { tf, seed: 1n }));
    return { time, rank, explained };
  },
  async prepare(folder) {
    await makeJpegs(large(folder).path, 10_000, 128);
    await openDataset(large(folder));
    return {};
  },
  /** First pass, batches, and what an iteration of resnet64 takes beside them: two and four flow steps, scaled to K. */
  async pipeline(folder) {
    const path = join(folder, 'jpegs');
    await makeJpegs(path, 10_000, 64);
    const data = { name: 'images', path, size: 64, cache: join(folder, 'cache') };
    const [firstPass, dataset] = await seconds(() => openDataset(data));
    const [again] = await seconds(() => openDataset(data));
    const out = new Float32Array(64 * 3 * 64 * 64);
    const batches = [];
    for (let iteration = 0; iteration < 200; iteration++) batches.push((await seconds(() => dataset.batch(out, { seed: 1n, iteration, count: 64 })))[0] * 1000);
    await dataset.close();
    const config = await loadConfig(join(import.meta.dirname, '../../trainer/configs/celeba.yaml'), [`data=${JSON.stringify(data)}`, 'prior=uniform']);
    const run = await assemble(config, createRuntime(), { flowRuntime: flowRuntime('cpu') });
    const iteration = async (K) => (await train({ ...run, config: { ...config, flow: { ...config.flow, K } } }, 0, 1).next()).value.milliseconds;
    await iteration(1);
    const [two, four] = [await iteration(2), await iteration(4)];
    await run.dispose();
    return { firstPass, again, batch: summary(batches), iteration: two + ((config.flow.K - 2) * (four - two)) / 2 };
  },
};

/** A figure in a process of its own, with its largest resident size. */
function child(name, folder = '') {
  const { output, status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), '--child', name, '--folder', folder], { stdio: ['ignore', 'inherit', 'inherit', 'pipe'] });
  if (status !== 0) process.exit(1);
  return JSON.parse(output[3].toString());
}

const { values } = parseArgs({ options: { only: { type: 'string' }, child: { type: 'string' }, folder: { type: 'string', default: '' }, dry: { type: 'boolean', default: false } } });
if (values.child) {
  const folder = values.folder || mkdtempSync(join(tmpdir(), 'ratioflow-data-'));
  try {
    const result = await figures[values.child](folder);
    writeFileSync(3, JSON.stringify({ ...result, peak: largestResident() / 1e9 }));
  } finally {
    if (!values.folder) rmSync(folder, { recursive: true });
  }
  process.exit(0);
}
const results = {};
for (const name of values.only ? [values.only] : ['statistics', 'low-rank', 'pipeline']) {
  results[name] = child(name);
  console.log(name, results[name]);
}
if (values.only) process.exit(0);
const { statistics, 'low-rank': lowRank, pipeline } = results;
const gigabytes = ({ peak }) => `${peak.toFixed(2)} GB`;
const text = `${table(['what', 'time', 'largest resident size', 'aim'], [
  ['full-rank statistics, 50,000 × 3,072 (CIFAR-10\'s binary files)', `${statistics.time.toFixed(1)} s`, gigabytes(statistics), 'under 60 s'],
  [`low rank (${lowRank.rank}, ${(100 * lowRank.explained).toFixed(0)} % of the variance), 10,000 images of 3 × 128²`, `${lowRank.time.toFixed(0)} s`, gigabytes(lowRank), 'under 2 GB'],
  ['first pass over 10,000 JPEG files of 64², once', `${pipeline.firstPass.toFixed(1)} s (${(10_000 / pipeline.firstPass).toFixed(0)} images a second)`, '', ''],
  ['the same set when it is opened again', `${(1000 * pipeline.again).toFixed(0)} ms`, '', ''],
  ['a batch of 64 from it, median / largest of 200', `${pipeline.batch.median.toFixed(1)} / ${pipeline.batch.max.toFixed(1)} ms`, '', ''],
  ['an iteration of resnet64 (batch 64, K = 100, from 2 and 4 steps)', `${(pipeline.iteration / 1000).toFixed(1)} s: a batch is ${((100 * pipeline.batch.median) / pipeline.iteration).toFixed(3)} % of it`, gigabytes(pipeline), 'batches never waited for'],
])}

${machine(null).replace('; no PyTorch here', '')}.`;
console.log(`\n${text}`);
if (!values.dry) await writeSection('data', text);
