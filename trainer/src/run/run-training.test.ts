/** Runs in a folder: an interrupted one ends as an uninterrupted one, bit for bit; what goes wrong is said and loses nothing. */
import { mkdir, mkdtemp, readFile, readdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { priorGraph, writeModel } from '@ratioflow/export';
import { createRuntime, encodePng, readPixels } from '@ratioflow/node';
import { ArgumentError, FormatError } from '@ratioflow/sdk';
import { encodeNpy } from '@ratioflow/sdk/npy';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeIdxImages } from '../../../tests/support/idx-images.js';
import { parseConfig } from '../config/load.js';
import type { TrainingConfig } from '../config/schema.js';
import { ConfigError, TrainingError } from '../errors.js';
import { planTraining } from '../plan/plan.js';
import { stepOfSummary, tagsOfSummary } from '../report/event.js';
import { decodeRecords } from '../report/tf-record.js';
import { readCheckpoint } from './checkpoint.js';
import { decodeSafetensors, encodeSafetensors } from './safetensors.js';
import { exportRun, resumeRun, startRun } from './run-training.js';

// Seconds, but of all cores: other work may stretch them.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let folder: string;
let images: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-runs-'));
  images = join(folder, 'images');
  writeIdxImages(images, 40, 8);
});
afterAll(() => rm(folder, { recursive: true }));

let runs = 0;
const newFolder = (): string => join(folder, `run${runs++}`);

const toy = (...overrides: string[]): TrainingConfig => parseConfig(`
name: tiny
seed: 5
data: { name: swiss-roll }
estimator: { name: mlp }
prior: gaussian
flow: { K: 3, eta: 0.5, nu: 0.02 }
training: { iterations: 10, batch: 16, learningRate: 1.0e-3, ema: 0.9, dequantisation: 0.01, decayAt: [6] }
checkpoints: { every: 4, keep: 5 }
previews: { every: 0 }
`, 'tiny', overrides);

const digits = (): TrainingConfig => toy(`data={ name: mnist, folder: ${JSON.stringify(images)} }`, 'estimator.name=resnet28', 'prior=ddp', 'training.batch=3', 'training.iterations=3', 'checkpoints.every=2');

const translation = (): TrainingConfig => toy(`data={ name: mnist, folder: ${JSON.stringify(images)} }`, `source={ name: mnist, folder: ${JSON.stringify(images)} }`, 'prior=source',
  'estimator={ name: resnet64-shallow, width: 0.25, spectralNorm: true }', 'training.batch=3', 'training.iterations=3', 'checkpoints.every=1', 'previews={ every: 2, count: 4 }');

const checkpoint = (out: string, iteration: number): Promise<Buffer> => readFile(join(out, 'checkpoints', `${String(iteration).padStart(8, '0')}.safetensors`));
/** metrics.csv without the columns of time. */
const metrics = async (out: string): Promise<string[][]> => (await readFile(join(out, 'metrics.csv'), 'utf8')).trim().split('\n').map((line) => line.split(',').slice(0, 5));

/** Iterations in the event file, those of metrics. */
const recorded = async (out: string): Promise<number[]> => {
  const [file, ...others] = await readdir(join(out, 'tensorboard'));
  expect(others).toEqual([]);
  return [...decodeRecords(await readFile(join(out, 'tensorboard', file!)))].filter((record) => Buffer.from(record).includes('loss')).map((record) => stepOfSummary(record)!);
};

/** Runs until `after` iterations are done, and aborts. */
async function interrupted(config: TrainingConfig, out: string, after: number): Promise<string[]> {
  const controller = new AbortController();
  const messages: string[] = [];
  const running = startRun(config, {
    out, signal: controller.signal, onMessage: (message) => messages.push(message),
    onProgress: ({ iteration }) => iteration === after && controller.abort(new Error('Ctrl-C')),
  });
  await expect(running).rejects.toThrow('Ctrl-C');
  return messages;
}

describe.each([
  { name: 'mlp on ONNX Runtime', config: () => toy(), last: 10, stops: [1, 5, 9] },
  { name: 'mlp on tfjs', config: () => toy('bridge=tfjs'), last: 10, stops: [6] },
  { name: 'resnet28 on ONNX Runtime, prior ddp', config: digits, last: 3, stops: [1] },
  // Spectral norms, attention, images of a source: everything that a checkpoint could forget.
  { name: 'translation with spectral norms', config: translation, last: 3, stops: [2] },
])('$name', ({ config, last, stops }) => {
  let whole: string;
  beforeAll(async () => {
    whole = newFolder();
    const result = await startRun(config(), { out: whole });
    expect(result).toEqual({ kind: 'estimator', out: whole, bundle: join(whole, 'bundle'), iterations: last });
  });

  it('leaves configuration, metrics, checkpoints, curve and bundle', async () => {
    expect(parseConfig(await readFile(join(whole, 'config.yaml'), 'utf8'), 'written')).toEqual(config());
    expect((await metrics(whole)).map(([iteration]) => iteration)).toEqual(['iteration', ...Array.from({ length: last }, (_, i) => String(i + 1))]);
    expect((await readdir(join(whole, 'bundle'))).sort()).toEqual(expect.arrayContaining(['manifest.json', 'sampler.onnx', 'weights.bin']) as string[]);
    expect(await readdir(whole)).toEqual(expect.arrayContaining(['curve.png', 'report.html']) as string[]);
    expect(await recorded(whole)).toEqual(Array.from({ length: last }, (_, i) => i + 1));
  });

  it.each(stops)('ends bit for bit the same when aborted after iteration %d and resumed', async (after) => {
    const out = newFolder();
    const messages = await interrupted(config(), out, after);
    expect(messages.at(-1)).toContain(`Stopped after iteration ${after}; a checkpoint was written. Go on with --resume ${out}`);
    expect(await readdir(out)).not.toContain('bundle');
    await resumeRun([], { out, onMessage: (message) => messages.push(message) });
    expect(messages).toContain(`Going on after iteration ${after} of ${last}.`);
    expect(await checkpoint(out, last)).toEqual(await checkpoint(whole, last));
    expect(await metrics(out)).toEqual(await metrics(whole));
    expect(await recorded(out)).toEqual(await recorded(whole));
    for (const file of ['weights.bin', 'sampler.onnx', 'prior.onnx']) {
      expect(await readFile(join(out, 'bundle', file)), file).toEqual(await readFile(join(whole, 'bundle', file)));
    }
  });
});

describe('an interrupt', () => {
  it('at any moment loses nothing: three of them at random, then the end', async () => {
    const [whole, out] = [newFolder(), newFolder()];
    await startRun(toy(), { out: whole });
    const abortIn = (milliseconds: number): AbortSignal => AbortSignal.timeout(Math.ceil(milliseconds));
    let attempts = 0;
    for (let done = false; !done && attempts < 40; attempts++) {
      // The last attempts are left alone, so that the test ends on any machine.
      const signal = attempts < 3 ? abortIn(20 + Math.random() * 400) : undefined;
      const started = await readdir(join(out, 'checkpoints')).then(() => true, () => false);
      if (!started) await rm(out, { recursive: true, force: true });
      done = await (started ? resumeRun([], { out, signal }) : startRun(toy(), { out, signal })).then(() => true, (error: unknown) => {
        expect(error).toMatchObject({ name: 'TimeoutError' });
        return false;
      });
    }
    expect(await checkpoint(out, 10)).toEqual(await checkpoint(whole, 10));
    expect(await metrics(out)).toEqual(await metrics(whole));
  });
});

const pictures = (...overrides: string[]): TrainingConfig => toy(`data={ name: images, path: ${JSON.stringify(join(folder, 'pictures'))}, size: 8, cache: ${JSON.stringify(join(folder, 'cache'))} }`, 'estimator.name=resnet28', ...overrides);
/** What was prepared of `pictures`. */
const prepared = (): Promise<string[]> => readdir(join(folder, 'cache')).catch(() => []);

describe('an interrupt before the first iteration', () => {
  it.each([
    ['the first pass over images', pictures],
    ['the statistics of a prior', digits],
    ['those of a low rank', () => ({ ...digits(), prior: { kind: 'ddp' as const, rank: 3 } })],
  ])('ends %s', async (_, config) => {
    await mkdir(join(folder, 'pictures'), { recursive: true });
    await writeFile(join(folder, 'pictures', '0.png'), await encodePng({ shape: [1, 3, 8, 8], data: new Float32Array(192) }));
    const out = newFolder();
    await expect(startRun(config(), { out, signal: AbortSignal.abort(new Error('Ctrl-C')) })).rejects.toThrow('Ctrl-C');
    // Neither a prior nor a configuration was written: the run can be started again.
    expect(await readdir(out)).toEqual([]);
    expect(await prepared()).toEqual([]);
  });
});

describe('refused before the images are gone through', () => {
  it.each<[string, () => TrainingConfig, RegExp]>([
    ['an estimator that is not there', () => pictures('estimator={ name: custom, path: nofile.mjs }'), /estimator\.path = "nofile\.mjs" cannot be read/],
    ['an estimator of points', () => pictures('estimator.name=mlp'), /estimator\.name = "mlp" takes points/],
    ['samples larger than the images that they are cut out of', () => pictures('data.resize=8', 'data.size=16'), /data\.resize = 8 \(at least as large as size: samples are cut out/],
  ])('%s', async (_, config, message) => {
    await expect((async () => startRun(config(), { out: newFolder() }))()).rejects.toThrow(message);
    expect(await prepared()).toEqual([]);
  });

  it('a folder that cannot be written into', async () => {
    if (process.getuid?.() === 0 || process.platform === 'win32') {
      console.log('skip: this user may write into every folder');
      return;
    }
    const out = newFolder();
    await mkdir(out, { mode: 0o555 });
    await expect(startRun(pictures(), { out })).rejects.toThrow(/cannot be written into: EACCES.* Choose another folder\./);
    expect(await prepared()).toEqual([]);
  });
});

describe('divergence', () => {
  // From iteration 9 on steps are 2¹⁰⁰ times too large; a rollback whose factor undoes that leaves the run that never diverged.
  const [tooLarge, undone] = [2 ** 100, 2 ** -100];
  const diverging = (...overrides: string[]): TrainingConfig => toy('training.decayAt=[8]', `training.decayFactor=${tooLarge}`, ...overrides);
  const arrays = async (out: string): Promise<object> => Object.fromEntries((await readCheckpoint(out, 10)).arrays);

  it('ends the run with what to do, the last checkpoint intact', async () => {
    const out = newFolder();
    await expect(startRun(diverging(), { out })).rejects.toThrow(/loss became NaN at iteration 1\d: .*smaller training\.learningRate or flow\.eta.*divergence\.action = rollback/);
    expect((await readdir(join(out, 'checkpoints'))).sort()).toEqual(['00000004.safetensors', '00000008.safetensors']);
  });

  it('rolls back to the last checkpoint, with smaller steps from there, also when interrupted afterwards', async () => {
    const [steady, out, stopped] = [newFolder(), newFolder(), newFolder()];
    await startRun(toy('training.decayAt=[]'), { out: steady });
    const rolling = diverging(`divergence={ action: rollback, factor: ${undone} }`);
    const messages: string[] = [];
    await startRun(rolling, { out, onMessage: (message) => messages.push(message) });
    expect(messages.filter((message) => message.includes('Rolled back'))).toEqual([expect.stringMatching(/loss became NaN at iteration 1\d.* Rolled back to iteration 8; .*1 of at most 3 rollbacks/)]);
    expect(await arrays(out)).toEqual(await arrays(steady));
    expect(await metrics(out)).toEqual(await metrics(steady));
    expect(await recorded(out)).toEqual(await recorded(steady));
    const controller = new AbortController();
    let rolledBack = false;
    await expect(startRun(rolling, {
      out: stopped, signal: controller.signal, onMessage: (message) => { rolledBack ||= message.includes('Rolled back'); },
      onProgress: ({ iteration }) => rolledBack && iteration === 9 && controller.abort(new Error('Ctrl-C')),
    })).rejects.toThrow('Ctrl-C');
    await resumeRun([], { out: stopped });
    expect(await arrays(stopped)).toEqual(await arrays(steady));
  });

  it('rolls back to the initial weights where no checkpoint is from before', async () => {
    const [steady, out] = [newFolder(), newFolder()];
    await startRun(toy('training.decayAt=[]'), { out: steady });
    const messages: string[] = [];
    const early = (...overrides: string[]): TrainingConfig => diverging('training.decayAt=[2]', ...overrides);
    await startRun(early(`divergence={ action: rollback, factor: ${undone} }`, 'training.learningRate=1.0e-3'), { out, onMessage: (message) => messages.push(message) });
    expect(messages.filter((message) => message.includes('Rolled back'))).toEqual([expect.stringMatching(/Rolled back to iteration 0; /)]);
    // Steps before the change of size were smaller now, so only the number of iterations is the same.
    expect((await metrics(out)).map(([iteration]) => iteration)).toEqual((await metrics(steady)).map(([iteration]) => iteration));
    await expect(startRun(early(), { out: newFolder() })).rejects.toThrow(/loss became NaN at iteration \d: .* Start again with a smaller training\.learningRate or flow\.eta; divergence\.action = rollback/);
  });

  it('passes over checkpoints that the loss had exploded before', async () => {
    const messages: string[] = [];
    // Steps as large as weights: losses of 10¹⁷ within a few iterations, judged by 25 of them.
    const wild = toy('training.learningRate=3', 'training.iterations=30', 'checkpoints={ every: 10, keep: 5 }', 'divergence={ action: rollback, factor: 1.0e-4 }');
    await startRun(wild, { out: newFolder(), onMessage: (message) => messages.push(message) });
    expect(messages.filter((message) => message.includes('Rolled back'))).toEqual([expect.stringMatching(/^Iteration 25: The loss explodes: .* Rolled back to iteration 0; .*1 of at most 3 rollbacks/)]);
  });

  it('ends the run when the rollbacks are used up', async () => {
    await expect(startRun(diverging('divergence={ action: rollback, factor: 0.5, attempts: 2 }'), { out: newFolder() })).rejects.toThrow(/loss became NaN .* it was rolled back 2 of at most 2 times\./);
  });
});

describe('a provider that does not run here', () => {
  const cuda = createRuntime({ providers: ['cuda'] });
  it('is refused before the data are opened, with what it takes', async () => {
    const [out, session] = [newFolder(), await cuda.load({ name: 'probe', model: writeModel(priorGraph({ kind: 'uniform' }, [2])) })];
    await session.dispose();
    if (session.provider === 'cuda') {
      console.log('skip: CUDA runs here, so nothing is refused');
      return;
    }
    await expect(startRun(pictures('provider=cuda'), { out })).rejects.toThrow(/^provider = "cuda": cuda does not run here: .*NVIDIA driver.*train with provider=cpu\.$/);
    expect(await prepared()).toEqual([]);
    expect(await readdir(out)).toEqual([]);
    expect(() => toy('provider=cuda', 'bridge=tfjs')).toThrow('provider = "cuda" belongs to bridge = "onnxruntime"');
  });
});

describe('a damaged checkpoint', () => {
  it('is passed over with a warning, and the run ends the same', async () => {
    const [whole, out] = [newFolder(), newFolder()];
    await startRun(toy(), { out: whole });
    await interrupted(toy(), out, 9);
    await truncate(join(out, 'checkpoints', '00000009.safetensors'), 1000);
    const messages: string[] = [];
    await resumeRun([], { out, onMessage: (message) => messages.push(message) });
    expect(messages[0]).toMatch(/00000009\.safetensors is no intact checkpoint/);
    expect(messages).toContain('Going on after iteration 8 of 10.');
    expect(await checkpoint(out, 10)).toEqual(await checkpoint(whole, 10));
    expect(await metrics(out)).toEqual(await metrics(whole));
  });

  it('and no other: an error that names it', async () => {
    const out = newFolder();
    await interrupted(toy(), out, 2);
    await writeFile(join(out, 'checkpoints', '00000002.safetensors'), 'gone');
    await expect(resumeRun([], { out })).rejects.toThrow(TrainingError);
    await expect(resumeRun([], { out })).rejects.toThrow(/no usable checkpoint \(.*00000002\.safetensors/);
    await expect(exportRun(out, newFolder())).rejects.toThrow(TrainingError);
  });
});

it('a resumption that does not fit its checkpoint leaves the run as it was', async () => {
  const out = newFolder();
  await startRun(digits(), { out });
  await rm(join(out, 'prior.safetensors'));
  const before = await readdir(out, { recursive: true });
  await expect(resumeRun(['estimator.width=2', 'training.iterations=4'], { out })).rejects.toThrow(/does not fit the configuration/);
  await expect(resumeRun(['pairing=lsif-chi2', 'training.iterations=4'], { out })).rejects.toThrow(/pairing = lsif-chi2, but .* was trained with lr-kl/);
  expect(await readdir(out, { recursive: true })).toEqual(before);
});

describe('a run that was killed', () => {
  it('before its first checkpoint starts at the beginning when it is resumed, without what it left', async () => {
    const [whole, out] = [newFolder(), newFolder()];
    await startRun(toy(), { out: whole });
    await interrupted(toy(), out, 3);
    // As if it had been killed, while it wrote the first one.
    await rm(join(out, 'checkpoints'), { recursive: true });
    for (const left of ['checkpoints/.00000004.safetensors.0123456789ab.tmp', '.metrics.csv.0123456789ab.tmp']) {
      await mkdir(join(out, 'checkpoints'), { recursive: true });
      await writeFile(join(out, left), 'half');
    }
    await writeFile(join(out, '.notes.tmp'), 'mine');
    const messages: string[] = [];
    await resumeRun([], { out, onMessage: (message) => messages.push(message) });
    expect(messages).toContain(`${out} has no checkpoint yet: starting at the beginning.`);
    expect(await checkpoint(out, 10)).toEqual(await checkpoint(whole, 10));
    expect(await metrics(out)).toEqual(await metrics(whole));
    expect(await recorded(out)).toEqual(await recorded(whole));
    expect((await readdir(out, { recursive: true })).filter((name) => name.endsWith('.tmp'))).toEqual(['.notes.tmp']);
  });
});

describe('an export where the data are gone', () => {
  it.each([['digits, prior ddp', digits], ['a translation', translation]])('is that of the run: %s', async (_, config) => {
    const [out, bundle] = [newFolder(), newFolder()];
    await startRun(config(), { out });
    const moved = join(folder, 'moved');
    await rename(images, moved);
    try {
      await exportRun(out, bundle);
      for (const file of ['weights.bin', 'sampler.onnx', 'prior.onnx']) expect(await readFile(join(bundle, file)), file).toEqual(await readFile(join(out, 'bundle', file)));
      const manifests = await Promise.all([bundle, join(out, 'bundle')].map(async (where) => JSON.parse(await readFile(join(where, 'manifest.json'), 'utf8')) as Record<string, unknown>));
      expect(manifests[0]!['classNames']).toEqual(manifests[1]!['classNames']);
      expect(manifests[0]!['training']).toEqual(manifests[1]!['training']);
    } finally {
      await rename(moved, images);
    }
  });
});

describe('resuming', () => {
  it('goes on longer, and from another schedule, when told', async () => {
    const [whole, out] = [newFolder(), newFolder()];
    await startRun(toy('training.iterations=14'), { out: whole });
    await startRun(toy(), { out });
    const { iterations } = await resumeRun(['training.iterations=14'], { out });
    expect(iterations).toBe(14);
    expect(await checkpoint(out, 14)).toEqual(await checkpoint(whole, 14));
    expect(parseConfig(await readFile(join(out, 'config.yaml'), 'utf8'), 'written').training.iterations).toBe(14);
  });

  it('a run that is complete records its last preview once', async () => {
    const out = newFolder();
    await startRun(toy('previews={ every: 5, count: 4 }'), { out });
    const previews = async (): Promise<(number | null)[]> => {
      const [file] = await readdir(join(out, 'tensorboard'));
      return [...decodeRecords(await readFile(join(out, 'tensorboard', file!)))].filter((record) => tagsOfSummary(record).join() === 'preview').map(stepOfSummary);
    };
    expect(await previews()).toEqual([5, 10]);
    await resumeRun([], { out });
    expect(await previews()).toEqual([5, 10]);
    expect(await recorded(out)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    await resumeRun(['training.iterations=12'], { out });
    expect(await previews()).toEqual([5, 10, 12]);
  });

  it('of overrides that do not fit leaves the run as it was', async () => {
    const out = newFolder();
    await interrupted(toy('training.ema=0'), out, 3);
    const before = await readFile(join(out, 'config.yaml'));
    await expect(resumeRun(['training.ema=0.9'], { out })).rejects.toThrow(/checkpoint of iteration 3 does not fit the configuration: ema\/\S+ should have the shape .*found nothing/);
    await expect(resumeRun(['flow.K=x'], { out })).rejects.toThrow(ConfigError);
    await expect(resumeRun(['training.iterations=2'], { out })).rejects.toThrow(/training\.iterations = 2, but .* has done 3 already/);
    expect(await readFile(join(out, 'config.yaml'))).toEqual(before);
    await resumeRun([], { out });
    expect((await metrics(out)).length).toBe(11);
  });

  it('with other data than the prior was computed from is refused, unless the prior is to be computed anew', async () => {
    const [out, others] = [newFolder(), join(folder, 'others')];
    writeIdxImages(others, 30, 8);
    const config = { ...digits(), estimator: { name: 'resnet28' as const, width: 0.25 }, training: { ...digits().training, iterations: 2 } };
    await startRun(config, { out });
    const elsewhere = [`data.folder=${JSON.stringify(others)}`, 'training.iterations=3'];
    await expect(resumeRun(elsewhere, { out })).rejects.toThrow(/prior\.safetensors was computed from .*images".*; the configuration has .*others".* start a new run\..* remove that file/);
    await expect(resumeRun(['prior.rank=2'], { out })).rejects.toThrow(ConfigError);
    expect(parseConfig(await readFile(join(out, 'config.yaml'), 'utf8'), 'written')).toEqual(config);
    const prior = join(out, 'prior.safetensors');
    const before = await readFile(prior);
    // Earlier versions did not write what it was computed from.
    const { arrays } = decodeSafetensors(before, prior);
    await writeFile(prior, encodeSafetensors({ arrays, metadata: { kind: 'ddp' } }));
    await resumeRun(['training.iterations=3'], { out });
    await rm(prior);
    await resumeRun(elsewhere, { out });
    expect(decodeSafetensors(await readFile(prior), prior).arrays).not.toEqual(arrays);
  });

  it('of a folder that is no run says how to start one', async () => {
    const out = newFolder();
    await expect(resumeRun([], { out })).rejects.toThrow(ConfigError);
    await expect(resumeRun([], { out })).rejects.toThrow(/is no run: .*config\.yaml cannot be read\. Start one with `ratioflow train/);
    await expect(exportRun(out, newFolder())).rejects.toThrow(ConfigError);
  });
});

it('a folder that holds something is not overwritten', async () => {
  const out = newFolder();
  await mkdir(out);
  await writeFile(join(out, 'thesis.tex'), 'mine');
  await expect(startRun(toy(), { out })).rejects.toThrow(/is not empty \(it holds thesis\.tex\): choose another folder, or go on with --resume/);
  expect(await readdir(out)).toEqual(['thesis.tex']);
});

it('two at once are refused: the second one to start or to go on', async () => {
  const out = newFolder();
  let refused: Promise<unknown>[] = [];
  await startRun(toy(), { out, onProgress: ({ iteration }) => {
    if (iteration === 5) refused = [resumeRun([], { out }), startRun(toy(), { out })].map((second) => second.then(() => null, (error: unknown) => error));
  } });
  expect(await Promise.all(refused)).toMatchObject([{ message: expect.stringMatching(/^The run is in use: .*run\.lock is held by process/) as string }, { message: expect.stringContaining('is not empty') as string }]);
  expect(await readdir(out)).not.toContain('run.lock');
});

it('a disk without room for the checkpoints, and a folder that cannot be made, are said before the first iteration', async () => {
  const out = newFolder();
  await expect(startRun(toy('checkpoints={ every: 1, keep: 1000000000000 }', 'training.iterations=1000000000000'), { out })).rejects.toThrow(/checkpoints of this run and what comes out of it take 2\.04e\+11 MB, but the disk has .* MB left\. Make room, choose another folder, or keep fewer/);
  expect(await readdir(out)).toEqual([]);
  await writeFile(join(folder, 'a-file'), '');
  await expect(startRun(toy(), { out: join(folder, 'a-file', 'run') })).rejects.toThrow(/a-file\/run cannot be made: ENOTDIR.* Choose another folder\./);
});

it('divergence ends with the iteration, and the last good checkpoint stays', async () => {
  const out = newFolder();
  const attempt = startRun(toy('training.learningRate=1e30', 'checkpoints.every=1'), { out });
  await expect(attempt).rejects.toThrow(TrainingError);
  await expect(attempt).rejects.toThrow(/iteration \d+: .*diverged.*smaller training\.learningRate or flow\.eta/s);
  const done = await readdir(join(out, 'checkpoints'));
  expect(done.length).toBeGreaterThan(0);
  for (const name of done) {
    const bytes = await readFile(join(out, 'checkpoints', name));
    const weights = new Float32Array(Uint8Array.from(bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)))).buffer);
    expect(weights.every(Number.isFinite)).toBe(true);
  }
});

it.each([[2, 1], [4, 3]])('images of %d channels are previewed by their first %d', async (channels, shown) => {
  const path = join(folder, `channels${channels}.npy`);
  await writeFile(path, encodeNpy({ shape: [8, channels, 8, 8], data: Uint8Array.from({ length: 8 * channels * 64 }, (_, i) => (i * 37) % 256) }));
  const out = newFolder();
  await startRun(toy(`data={ name: npy, path: ${JSON.stringify(path)} }`, 'estimator={ name: resnet28, width: 0.5 }', 'training={ iterations: 1, batch: 2 }', 'previews={ every: 1, count: 4 }'), { out });
  const [preview] = await readdir(join(out, 'previews'));
  expect((await readPixels(join(out, 'previews', preview!), { channels: shown as 1 | 3, name: 'preview', needed: '' })).shape[0]).toBe(shown);
  expect(await readdir(out)).toContain('bundle');
});

it.each([['points', toy], ['images', digits]] as const)('takes the disk space that its plan says, of %s', async (_, configOf) => {
  const config = configOf();
  const out = newFolder();
  await startRun(config, { out });
  const plan = await planTraining(config, { trialSteps: 0 });
  const sizeOf = async (name: string): Promise<number> => {
    const found = await readdir(join(out, name), { recursive: true, withFileTypes: true }).catch(() => null);
    if (!found) return (await stat(join(out, name))).size;
    return (await Promise.all(found.filter((entry) => entry.isFile()).map((entry) => stat(join(entry.parentPath, entry.name))))).reduce((sum, { size }) => sum + size, 0);
  };
  // What graphs hold beside weights is estimated.
  expect(Math.abs(await sizeOf('bundle') / plan.bundleBytes - 1)).toBeLessThan(0.2);
  expect(await sizeOf('checkpoints') / plan.checkpointBytes).toBeCloseTo(1, 1);
  if (plan.priorBytes > 0) expect(await sizeOf('prior.safetensors') / plan.priorBytes).toBeCloseTo(1, 1);
});

it('only the latest checkpoints are kept', async () => {
  const out = newFolder();
  await startRun(toy('checkpoints={ every: 2, keep: 2 }'), { out });
  expect((await readdir(join(out, 'checkpoints'))).sort()).toEqual(['00000008.safetensors', '00000010.safetensors']);
});

describe('a network of the user\'s own', () => {
  const custom = async (name: string, body: string): Promise<TrainingConfig> => {
    const path = join(folder, `${name}.mjs`);
    await writeFile(path, `export default (tf, [c, h, w]) => { ${body} };`);
    return { ...digits(), estimator: { name: 'custom', path } };
  };
  const head = `const mean = (y) => tf.layers.globalAveragePooling2d({}).apply(y), one = (y) => tf.layers.dense({ units: 1, name: 'head' }).apply(y);`;

  it.each([
    ['leaves the size of images open', `const x = tf.input({ shape: [null, null, c] });
      return tf.model({ inputs: x, outputs: one(mean(tf.layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: 'same', activation: 'elu', name: 'conv' }).apply(x))) });`],
    ['uses a layer at two resolutions', `const x = tf.input({ shape: [h, w, c] }), conv = tf.layers.conv2d({ filters: c, kernelSize: 3, padding: 'same', name: 'conv' });
      const large = conv.apply(x), small = conv.apply(tf.layers.averagePooling2d({ poolSize: 2 }).apply(large));
      return tf.model({ inputs: x, outputs: one(tf.layers.concatenate().apply([mean(large), mean(small)])) });`],
    ['computes channels first inside', `const x = tf.input({ shape: [h, w, c] }), dataFormat = 'channelsFirst';
      const y = tf.layers.conv2d({ filters: 4, kernelSize: 3, dataFormat, name: 'conv' }).apply(tf.layers.permute({ dims: [3, 1, 2] }).apply(x));
      return tf.model({ inputs: x, outputs: one(tf.layers.flatten({ dataFormat }).apply(y)) });`],
  ])('that %s is trained and exported', async (name, body) => {
    const config = await custom(name.replaceAll(' ', '-'), head + body);
    const out = newFolder();
    await startRun(config, { out });
    expect(await readdir(join(out, 'bundle'))).toContain('sampler.onnx');
    expect((await planTraining(config, { trialSteps: 0 })).forwardMacs).toBeGreaterThan(0);
  });

  it('whose layers have no names is resumed in the process that has made it before', async () => {
    const config = await custom('nameless', `return tf.sequential({ layers: [tf.layers.conv2d({ inputShape: [h, w, c], filters: 4, kernelSize: 3 }), tf.layers.batchNormalization(),
      tf.layers.flatten(), tf.layers.dense({ units: 4 }), tf.layers.dense({ units: 1 })] });`);
    const [out, part] = [newFolder(), newFolder()];
    await startRun(config, { out });
    await interrupted(config, part, 2);
    await resumeRun([], { out: part });
    expect(await checkpoint(part, 3)).toEqual(await checkpoint(out, 3));
    expect([...decodeSafetensors(await checkpoint(out, 3), 'it').arrays.keys()]).toContain('weights/dense_Dense2/kernel');
  });

  it('of which nothing can be trained is refused', async () => {
    const config = await custom('frozen', `return tf.sequential({ layers: [tf.layers.flatten({ inputShape: [h, w, c] }), tf.layers.dense({ units: 1, trainable: false })] });`);
    await expect(startRun(config, { out: newFolder() })).rejects.toThrow(/frozen\.mjs": none of the network's weights is trainable/);
  });
});

describe('data files', () => {
  const withFolder = (where: string): TrainingConfig => ({ ...digits(), data: { name: 'mnist', folder: where } });

  it('that are missing: the folder and the names looked for', async () => {
    const empty = join(folder, 'empty');
    await mkdir(empty);
    const attempt = startRun(withFolder(empty), { out: newFolder() });
    await expect(attempt).rejects.toThrow(ArgumentError);
    await expect(attempt).rejects.toThrow(/empty lacks train-images-idx3-ubyte/);
    await expect(startRun(withFolder(join(folder, 'nowhere')), { out: newFolder() })).rejects.toThrow(/nowhere lacks train-images-idx3-ubyte/);
  });

  it('that are truncated: the file', async () => {
    const short = join(folder, 'short');
    writeIdxImages(short, 40, 8);
    await truncate(join(short, 'train-images-idx3-ubyte'), 1000);
    const attempt = startRun(withFolder(short), { out: newFolder() });
    await expect(attempt).rejects.toThrow(FormatError);
    await expect(attempt).rejects.toThrow(/train-images-idx3-ubyte/);
  });

  it('that do not suit the estimator: both', async () => {
    await expect(startRun(toy('estimator.name=resnet28'), { out: newFolder() })).rejects.toThrow('estimator.name = "resnet28" takes images');
  });
});
