/**
 * Figures of the digits at equal iterations, ours and the same algorithm in PyTorch: pairings × priors × seeds, each run trained, sampled
 * and evaluated against the test set in the built-in extractor. What is done is kept in runs/quality: the next call goes on.
 * `npx tsc -b && node tests/quality/digits.mjs --python <python with torch> [--iterations 640] [--count 10000] [--pairings lr-kl,lr-js] [--priors ddp,uniform]
 * [--seeds 1,2] [--sides ours,pytorch]`, then the same with `--write`: what is done joins tests/quality/digits.json,
 * and the table of it all goes into docs/evaluation.md, its pictures into docs/images.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
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
const sides = ['ours', 'pytorch'];
const folder = 'runs/quality';
mkdirSync(folder, { recursive: true });
const data = join(folder, 'mnist.npy');
/** Figures and manifests of all runs of the table. */
const kept = 'tests/quality/digits.json';

if (values.write) await write();
else {
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
}

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
    const { status } = spawnSync(values.python, ['tests/quality/pytorch_digits.py', JSON.stringify({ ...training, ...flow, data, out: `${subject}.tmp.npy`, weights: `${stem}.pt`, pairing, prior, seed: Number(seed), count })], { stdio: 'inherit' });
    if (status !== 0) throw new Error(`${values.python} ended with ${status}: give a Python with torch and numpy, with --python or RATIOFLOW_PYTHON.`);
    await writeNpy(subject, await readNpy(`${subject}.tmp.npy`));
    rmSync(`${subject}.tmp.npy`);
  }
  const { figures, manifest } = await evaluate({ subject, reference: 'mnist:test', extractor: 'digits', count, onMessage: console.log });
  await savePng(`${stem}.png`, await firstOf(side, subject, 30), { columns: 15 });
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

/**
 * Puts what is done beside what was kept before in the same extractor's features (others cannot be compared), and everything with these
 * iterations and samples into the page: the value of each seed, and the first two rows of each run of the first seed.
 */
async function write() {
  const parse = (file) => JSON.parse(readFileSync(file, 'utf8'));
  const name = ({ pairing, prior, iterations: i, count: n, seed, side }) => [pairing, prior, i, n, seed, side].join(' ');
  const results = readdirSync(folder).filter((file) => file.endsWith('.json')).map((file) => parse(join(folder, file)));
  if (results.length === 0) throw new Error(`${folder} has no results: run this without --write first.`);
  const extractors = new Set(results.map(({ manifest }) => manifest.extractor.sha256));
  if (extractors.size !== 1) throw new Error(`${folder} has results of ${extractors.size} extractors; a table has one. Move the others elsewhere.`);
  const page = readFileSync('docs/evaluation.md', 'utf8');
  const [start, end] = [`<!-- quality ${count} -->`, `<!-- /quality ${count} -->`];
  if (!page.includes(start)) throw new Error(`docs/evaluation.md has no place for ${count} samples: write ${start} and ${end} where the table belongs.`);
  const [extractor] = extractors;
  const before = existsSync(kept) ? parse(kept).filter(({ manifest }) => manifest.extractor.sha256 === extractor) : [];
  const all = new Map([...before, ...results].map((one) => [name(one), one]));
  await writeFileAtomic(kept, `[\n${[...all.keys()].sort().map((key) => JSON.stringify(all.get(key))).join(',\n')}\n]\n`);

  const done = [...all.values()].filter((one) => one.iterations === iterations && one.count === count);
  if (done.length === 0) throw new Error(`There is no run of ${iterations} iterations with ${count} samples: run this without --write first.`);
  const of = (pairing, prior, side) => done.filter((one) => one.pairing === pairing && one.prior === prior && one.side === side).sort((a, b) => Number(a.seed) - Number(b.seed));
  const cell = (runs, figure) => (runs.length === 0 ? 'not run' : runs.map(({ figures: { [figure]: { mean } } }) => (mean < 1000 ? mean.toPrecision(3) : mean.toFixed(0))).join('; '));
  const keys = values.priors.split(',').flatMap((prior) => values.pairings.split(',').map((pairing) => [pairing, prior])).filter(([pairing, prior]) => sides.some((side) => of(pairing, prior, side).length > 0));
  const rows = keys.map(([pairing, prior]) => `| ${pairing} | ${prior} | ${['frechetDistance', 'kernelDistance', 'precision', 'coverage'].flatMap((figure) => sides.map((side) => cell(of(pairing, prior, side), figure))).join(' | ')} |`);
  const pictures = keys.map(([pairing, prior]) => sides.map((side) => of(pairing, prior, side)[0]).map((run) => run && join(folder, `${run.side}-${run.pairing}-${run.prior}-${run.iterations}-${run.seed}.png`)));
  if (pictures.flat().every((file) => file === undefined || existsSync(file))) await writeFileAtomic('docs/images/quality.png', await sheet(pictures));
  else console.log('docs/images/quality.png is left as it was: the pictures of some runs are not on this machine.');
  const text = `| pairing | prior | Fréchet distance, ours | PyTorch | kernel distance, ours | PyTorch | precision, ours | PyTorch | coverage, ours | PyTorch |\n|---|---|---|---|---|---|---|---|---|---|\n${rows.join('\n')}\n\n`
    + `${iterations} iterations, ${count} samples against the 10,000 images of the test set, a value for each seed; extractor ${extractor.slice(0, 12)}.`;
  const [head, rest] = page.split(start);
  await writeFileAtomic('docs/evaluation.md', `${head}${start}\n${text}\n${end}${rest.split(end)[1]}`);
}

/** Pictures of runs under each other, ours on the left; a gap where one is missing. */
async function sheet(files) {
  const { width, height } = await sharp(files.flat().find((file) => file !== undefined)).metadata();
  const gap = 8;
  const placed = files.flatMap((row, i) => row.flatMap((input, j) => (input ? [{ input, left: j * (width + 2 * gap), top: i * (height + gap) }] : [])));
  return sharp({ create: { width: 2 * (width + gap), height: files.length * (height + gap) - gap, channels: 3, background: 'white' } }).composite(placed).png({ palette: true, colours: 32 }).toBuffer();
}
process.exit(0);
