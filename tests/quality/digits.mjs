/**
 * Figures of the digits at equal iterations, ours and the same algorithm in PyTorch: pairings × priors × seeds, each run trained, sampled
 * and evaluated against the test set in the built-in extractor. What is done is kept in runs/quality: the next call goes on.
 * `npx tsc -b && node tests/quality/digits.mjs --python <python with torch> [--iterations 640] [--count 10000] [--pairings lr-kl,lr-js] [--priors ddp,uniform]
 * [--seeds 1,2] [--sides ours,pytorch] [--write]`; `--write` puts the table of everything that is done into docs/evaluation.md.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { open, savePng, readNpy, writeFileAtomic, writeNpy } from '../../runtimes/node/dist/index.js';
import { evaluate, loadConfig, openSampleSource, startRun } from '../../trainer/dist/index.js';

process.chdir(join(import.meta.dirname, '../..'));
const { values } = parseArgs({
  options: {
    python: { type: 'string', default: process.env.RATIOFLOW_PYTHON ?? 'python3' }, iterations: { type: 'string', default: '640' }, count: { type: 'string', default: '10000' },
    pairings: { type: 'string', default: 'lr-kl,lr-js,lr-logd,lsif-chi2' }, priors: { type: 'string', default: 'ddp,uniform' }, seeds: { type: 'string', default: '1,2' },
    sides: { type: 'string', default: 'ours,pytorch' }, write: { type: 'boolean', default: false },
  },
});
const [iterations, count] = [Number(values.iterations), Number(values.count)];
const folder = 'runs/quality';
mkdirSync(folder, { recursive: true });
const data = join(folder, 'mnist.npy');
if (!existsSync(data)) {
  const source = await openSampleSource(['mnist'], [1, 28, 28]);
  const { data: floats } = await source.read(0, source.size);
  await writeNpy(data, { shape: [source.size, 1, 28, 28], data: Uint8Array.from(floats, (value) => Math.round((value + 1) * 127.5)) });
}

for (const seed of values.seeds.split(',')) {
  for (const prior of values.priors.split(',')) {
    for (const pairing of values.pairings.split(',')) for (const side of values.sides.split(',')) await one({ side, pairing, prior, seed });
  }
}
if (values.write) await write();

async function one({ side, pairing, prior, seed }) {
  const stem = join(folder, `${side}-${pairing}-${prior}-${iterations}-${seed}`);
  const result = `${stem}-${count}.json`;
  if (existsSync(result)) return;
  const config = await loadConfig('trainer/configs/digits.yaml', [`pairing=${pairing}`, `prior=${prior}`, `seed=${seed}`, `training.iterations=${iterations}`, `training.decayAt=[${Math.ceil((iterations * 5) / 6)}]`, 'checkpoints.keep=1', 'previews.every=0']);
  let subject = `${stem}/bundle`;
  if (side === 'ours') {
    if (!existsSync(subject)) {
      rmSync(stem, { recursive: true, force: true });
      await startRun(config, { out: stem, onMessage: console.log });
    }
  } else {
    subject = `${stem}.npy`;
    const { training, flow } = config;
    const { status } = spawnSync(values.python, ['tests/quality/pytorch_digits.py', JSON.stringify({ ...training, ...flow, data, out: `${subject}.tmp.npy`, pairing, prior, seed: Number(seed), count })], { stdio: 'inherit' });
    if (status !== 0) throw new Error(`${values.python} ended with ${status}: give a Python with torch and numpy, with --python or RATIOFLOW_PYTHON.`);
    await writeNpy(subject, await readNpy(`${subject}.tmp.npy`));
    rmSync(`${subject}.tmp.npy`);
  }
  const { figures, manifest } = await evaluate({ subject, reference: 'mnist:test', extractor: 'digits', count, onMessage: console.log });
  await savePng(`${stem}.png`, await firstOf(side, subject, 30), { columns: 15, scale: 2 });
  await writeFileAtomic(result, JSON.stringify({ side, pairing, prior, seed, iterations, count, figures, manifest }, null, 1));
  console.log(`${result}: Fréchet distance ${figures.frechetDistance.mean.toFixed(3)}`);
}

async function firstOf(side, subject, images) {
  if (side !== 'ours') {
    const { shape, data: all } = await readNpy(subject);
    return { shape: [images, ...shape.slice(1)], data: all.slice(0, images * 784) };
  }
  const model = await open(subject);
  const { samples } = await model.sample({ count: images });
  await model.dispose();
  return samples;
}

/** Everything that has been done with these iterations and samples: mean and values over the seeds. */
async function write() {
  const done = readdirSync(folder).filter((name) => name.endsWith(`-${count}.json`)).map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8'))).filter((one) => one.iterations === iterations);
  const cell = (pairing, prior, side, figure) => {
    const found = done.filter((one) => one.pairing === pairing && one.prior === prior && one.side === side).map(({ figures }) => figures[figure].mean);
    return found.length === 0 ? 'not run' : found.map((value) => value.toPrecision(3)).join('; ');
  };
  const rows = [...new Set(done.map(({ prior, pairing }) => `${prior} ${pairing}`))].sort().map((key) => {
    const [prior, pairing] = key.split(' ');
    return `| ${pairing} | ${prior} | ${['frechetDistance', 'precision', 'recall'].flatMap((figure) => ['ours', 'pytorch'].map((side) => cell(pairing, prior, side, figure))).join(' | ')} |`;
  });
  const hashes = new Set(done.map(({ manifest }) => manifest.extractor.sha256.slice(0, 12)));
  const text = `| pairing | prior | Fréchet distance, ours | PyTorch | precision, ours | PyTorch | recall, ours | PyTorch |\n|---|---|---|---|---|---|---|---|\n${rows.join('\n')}\n\n${iterations} iterations, ${count} samples against the 10,000 images of the test set, a value for each seed; extractor ${[...hashes].join(', ')}.`;
  const [start, end] = ['<!-- quality -->', '<!-- /quality -->'];
  const page = readFileSync('docs/evaluation.md', 'utf8');
  const [before, rest] = page.split(start);
  await writeFileAtomic('docs/evaluation.md', `${before}${start}\n${text}\n${end}${rest.split(end)[1]}`);
}
process.exit(0);
