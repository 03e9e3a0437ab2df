/** Classifiers: attacks against closed forms, runs in folders, the exported file, and data that cannot be learned. */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { classifierRecord, readModelFile } from '@ratioflow/export';
import { createRuntime } from '@ratioflow/node';
import { encodeNpy } from '@ratioflow/sdk/npy';
import type { SymbolicTensor, Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import type { TensorFlow } from '../backend/tensorflow.js';
import { parseConfig, parseRunConfig } from '../config/load.js';
import type { ClassifierConfig } from '../config/schema.js';
import { imageArray } from '../data/image-array.js';
import { ConfigError } from '../errors.js';
import { planClassifier } from '../plan/classifier-plan.js';
import { stepOfSummary } from '../report/event.js';
import { decodeRecords } from '../report/tf-record.js';
import { exportRun, resumeRun, startRun } from '../run/run-training.js';
import { attacked, crossEntropies } from './attack.js';
import { evaluateClassifier } from './evaluate.js';
import type { ClassifierResult } from './run-classifier.js';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let tf: TensorFlow;
let folder: string;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-classifier-'));
  // Dark images with a bright left (class 0), right (1) or upper (2) half: three classes that a small network tells apart.
  for (const [name, count] of [['train', 90], ['test', 30]] as const) {
    const images = Uint8Array.from({ length: count * 64 }, (_, i) => {
      const [image, row, column] = [Math.floor(i / 64), Math.floor((i % 64) / 8), i % 8];
      const bright = [column < 4, column >= 4, row < 4][image % 3]!;
      return (bright ? 200 : 30) + ((i * 7919) % 23);
    });
    await writeFile(join(folder, `${name}.npy`), encodeNpy({ shape: [count, 1, 8, 8], data: images }));
    await writeFile(join(folder, `${name}-labels.npy`), encodeNpy({ shape: [count], data: Uint8Array.from({ length: count }, (_, i) => i % 3) }));
  }
});
afterAll(() => rm(folder, { recursive: true }));

const set = (name: string): string => `{ name: npy, path: ${JSON.stringify(join(folder, `${name}.npy`))}, labels: ${JSON.stringify(join(folder, `${name}-labels.npy`))} }`;
function halves(...overrides: string[]): ClassifierConfig {
  const config = parseRunConfig(`
kind: classifier
name: halves
seed: 3
data: ${set('train')}
test: ${set('test')}
network: { name: resnet28, width: 0.5 }
training: { iterations: 30, batch: 12, learningRate: 3.0e-3, ema: 0.8 }
checkpoints: { every: 7, keep: 9 }
evaluation: { attacked: 9 }
`, 'halves', overrides);
  if (config.kind !== 'classifier') throw new Error('no classifier');
  return config;
}
let runs = 0;
const newFolder = (): string => join(folder, `run${runs++}`);

describe('an attack', () => {
  it('on a linear classifier of two classes goes straight from one to the other, up to the radius', () => {
    tf.tidy(() => {
      const w = tf.tensor2d([[1, -2], [0.5, 1], [3, 0]]);
      const x = tf.tensor2d([[0.2, -1, 0.4], [1, 2, -3]]);
      const labels: Tensor1D = tf.tensor1d([0, 1], 'int32');
      const moved = attacked(tf, (at: Tensor) => tf.matMul(at, w), x, labels, { radius: 0.7, steps: 6 });
      const delta = tf.sub(moved, x).arraySync() as number[][];
      // The loss of class 0 grows along w₁ − w₀ = (−3, 0.5, −3), that of class 1 against it.
      const length = Math.hypot(3, 0.5, 3);
      const expected = [-3, 0.5, -3].map((value) => (0.7 * value) / length);
      expected.forEach((value, i) => {
        expect(delta[0]![i]).toBeCloseTo(value, 5);
        expect(delta[1]![i]).toBeCloseTo(-value, 5);
      });
    });
  });

  it('takes steps of the length that it is told', () => {
    tf.tidy(() => {
      const labels: Tensor1D = tf.tensor1d([0], 'int32');
      const x = tf.tensor2d([[0, 0]]);
      const moved = attacked(tf, (at: Tensor) => at as Tensor2D, x, labels, { radius: 1, steps: 3, stepSize: 0.1 });
      const [a, b] = moved.dataSync();
      expect(Math.hypot(a!, b!)).toBeCloseTo(0.3, 5);
      expect([Math.sign(a!), Math.sign(b!)]).toEqual([-1, 1]);
    });
  });

  it('raises the loss, which is −log softmax of the label', () => {
    tf.tidy(() => {
      const logits = tf.tensor2d([[1, 2, 3], [-50, 0, 60]]);
      const found = crossEntropies(tf, logits, tf.tensor1d([0, 2], 'int32')).dataSync();
      expect(found[0]).toBeCloseTo(Math.log(Math.exp(1) + Math.exp(2) + Math.exp(3)) - 1, 5);
      expect(found[1]).toBeCloseTo(0, 6);
    });
  });
});

describe.each([{ name: 'plain', overrides: [] }, { name: 'robust, with spectral norms', overrides: ['attack={ radius: 2, steps: 2 }', 'network.spectralNorm=true', 'training.learningRate=5.0e-3'] }])('a $name run', ({ overrides }) => {
  let whole: string;
  let result: ClassifierResult;
  beforeAll(async () => {
    whole = newFolder();
    result = await startRun(halves(...overrides), { out: whole });
  });

  it('learns, and tells how well', async () => {
    expect(result).toMatchObject({ kind: 'classifier', out: whole, classifier: join(whole, 'classifier.onnx'), iterations: 30 });
    expect(result.evaluation).toMatchObject({ count: 30, underAttack: { count: 9 } });
    expect(result.evaluation!.accuracy).toBeGreaterThan(0.9);
    expect(result.evaluation!.underAttack!.accuracy).toBeLessThanOrEqual(1);
    expect(JSON.parse(await readFile(join(whole, 'classifier.json'), 'utf8'))).toMatchObject({ classNames: ['0', '1', '2'], evaluation: { count: 30 } });
  });

  it('leaves the record that every run leaves', async () => {
    const csv = (await readFile(join(whole, 'metrics.csv'), 'utf8')).trim().split('\n');
    expect(csv[0]).toBe('iteration,loss,accuracy,learningRate,milliseconds');
    expect(csv.slice(1).map((row) => Number(row.split(',')[0]))).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    expect((await readFile(join(whole, 'curve.png'))).subarray(1, 4).toString()).toBe('PNG');
    const html = await readFile(join(whole, 'report.html'), 'utf8');
    const { accuracy, underAttack } = result.evaluation!;
    for (const text of ['The run is complete', 'Cross entropy and accuracy', '30 samples of [1, 8, 8]', `${(100 * accuracy).toFixed(2)} %`, `${(100 * underAttack!.accuracy).toFixed(2)} %`, 'network.width', '>0, 1, 2<']) expect(html).toContain(text);
    const [file] = await readdir(join(whole, 'tensorboard'));
    const records = [...decodeRecords(await readFile(join(whole, 'tensorboard', file!)))];
    const stepsOf = (tag: string): (number | null)[] => records.filter((record) => Buffer.from(record).includes(tag)).map(stepOfSummary);
    expect(stepsOf('learning_rate')).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
    expect(stepsOf('test/accuracy_under_attack')).toEqual([30]);
  });

  it('exports logits and features, and says how it is fed', async () => {
    const model = await readModelFile(join(whole, 'classifier.onnx'));
    expect(classifierRecord(model)).toEqual({ output: 'logits', kind: 'logits', inputRange: [-1, 1], classNames: ['0', '1', '2'] });
    const session = await createRuntime().load({ name: 'classifier.onnx', model: await readFile(join(whole, 'classifier.onnx')) });
    // One image of each class, as the test set has them, without noise.
    const x = Float32Array.from({ length: 3 * 64 }, (_, i) => ([i % 8 < 4, i % 8 >= 4, Math.floor((i % 64) / 8) < 4][Math.floor(i / 64)]! ? 0.65 : -0.65));
    const { logits, features } = await session.run({ x: { shape: [3, 1, 8, 8], data: x } });
    await session.dispose();
    expect(features!.shape).toEqual([3, 32]);
    const rows = [0, 1, 2].map((n) => Array.from(logits!.data as Float32Array).slice(3 * n, 3 * n + 3));
    expect(rows.map((row) => row.indexOf(Math.max(...row)))).toEqual([0, 1, 2]);
    expect((await startRun(halves(...overrides, 'features=false', 'training.iterations=1'), { out: newFolder() })).kind).toBe('classifier');
  });

  it('ends bit for bit the same when aborted and resumed', async () => {
    const out = newFolder();
    const controller = new AbortController();
    await expect(startRun(halves(...overrides), { out, signal: controller.signal, onProgress: ({ iteration }) => iteration === 10 && controller.abort(new Error('Ctrl-C')) })).rejects.toThrow('Ctrl-C');
    await resumeRun([], { out });
    // What can be exported from the run that was resumed is what the whole one ended with.
    const path = join(newFolder(), 'again.onnx');
    await mkdir(dirname(path));
    // The data need not be there.
    await rename(join(folder, 'train.npy'), join(folder, 'moved.npy'));
    expect(await exportRun(out, path)).toEqual({ kind: 'classifier', path, iteration: 30 });
    await rename(join(folder, 'moved.npy'), join(folder, 'train.npy'));
    expect(await readFile(path)).toEqual(await readFile(join(whole, 'classifier.onnx')));
    await expect(exportRun(out, newFolder())).rejects.toThrow(/trains a classifier, whose export is a single file: .* must end in \.onnx/);
    await expect(exportRun(out, path, { float16: true })).rejects.toThrow(/belong to bundles/);
    for (const file of ['classifier.onnx', 'checkpoints/00000030.safetensors', 'classifier.json']) expect(await readFile(join(out, file)), file).toEqual(await readFile(join(whole, file)));
  });
});

describe('a test', () => {
  it('of many images counts every class, also one without images', async () => {
    // More labels than a call takes arguments. Images of one pixel; the logits are constant, so that class 1 always wins.
    const count = 130_000;
    const x = tf.input({ shape: [1, 1, 1] });
    const flat = tf.layers.flatten().apply(x) as SymbolicTensor;
    const network = tf.model({ inputs: x, outputs: tf.layers.dense({ units: 3, kernelInitializer: 'zeros' }).apply(flat) as SymbolicTensor });
    network.setWeights([tf.zeros([1, 3]), tf.tensor1d([0, 1, 0])]);
    const labels = Uint8Array.from({ length: count }, (_, i) => i % 2);
    const dataset = imageArray({ name: 'many', sampleShape: [1, 1, 1], images: new Uint8Array(count), labels });
    const { accuracy, accuracyByClass } = await evaluateClassifier(tf, network, dataset, labels, 3, { radius: 1, steps: 1 }, 0);
    expect(accuracy).toBe(0.5);
    expect(accuracyByClass).toEqual([0, 1, NaN]);
    network.dispose();
  });
});

it('a network whose last layer merges tensors has no features, and says so before it trains', async () => {
  const path = join(folder, 'merging.mjs');
  await writeFile(path, `export default (tf, [c, h, w]) => {
    const x = tf.input({ shape: [h, w, c] });
    const flat = tf.layers.flatten().apply(x);
    const heads = ['one', 'two'].map((name) => tf.layers.dense({ units: 3, name }).apply(flat));
    return tf.model({ inputs: x, outputs: tf.layers.add({ name: 'sum' }).apply(heads) });
  };`);
  const [out, messages] = [newFolder(), [] as string[]];
  await startRun(halves(`network={ name: custom, path: ${JSON.stringify(path)} }`, 'training.iterations=1'), { out, onMessage: (message) => messages.push(message) });
  expect(messages).toContain('classifier.onnx will have no output features: the last layer, sum, merges 2 inputs. A dense layer at the end would have features.');
  expect((await readModelFile(join(out, 'classifier.onnx'))).graph.outputs.map(({ name }) => name)).toEqual(['logits']);
});

describe('a plan', () => {
  it('counts what a classifier takes, with its attack', async () => {
    const plain = await planClassifier(halves(), { trialSteps: 0 });
    // Half of resnet28 on 8×8, by hand: stem, four blocks on 4², 2², 2², 1², and the head's three classes.
    const block = (size: number, inputs: number, outputs: number, shortcut: boolean): number => size * (9 * inputs * outputs + 9 * outputs * outputs + (shortcut ? inputs * outputs : 0));
    const macs = 64 * 9 * 16 + block(16, 16, 16, true) + block(4, 16, 32, true) + block(4, 32, 32, false) + block(1, 32, 32, true) + 3 * 32;
    expect(plain).toMatchObject({ kind: 'classifier', sampleShape: [1, 8, 8], classes: 3, forwardMacs: macs, flopsPerIteration: 2 * 12 * 3 * macs, measured: null });
    // After iterations 7, 14, 21, 28 and 30: fewer than would be kept.
    expect(plain.checkpointBytes).toBe(5 * 4 * 4 * plain.parameters);
    const robust = await planClassifier(halves('attack={ radius: 1, steps: 4 }'), { trialSteps: 0 });
    expect(robust.flopsPerIteration).toBe(2 * 12 * (3 + 2 * 4) * macs);
  });

  it('measures a step, and tries the portable backend beside TensorFlow', async () => {
    const { measured } = await planClassifier(halves(), { trialSteps: 1 });
    expect(measured!.hours).toBeCloseTo((30 * measured!.millisecondsPerLearningStep) / 3.6e6, 12);
    expect(measured!.hours).toBeGreaterThan(0);
    for (const other of measured!.alternatives) expect(other).toMatchObject({ setting: 'backend=portable', hours: expect.any(Number) as number });
  });

  it('says what it needs where images are not opened', async () => {
    const images = ['data={ name: images, path: nowhere, size: 16 }', 'test={ name: images, path: nowhere, size: 16 }'];
    await expect(planClassifier(halves(...images))).rejects.toThrow(/does not open the images, .*--set "classNames=/);
    expect(await planClassifier(halves(...images, 'classNames=[a, b]'), { trialSteps: 0 })).toMatchObject({ classes: 2, sampleShape: [3, 16, 16] });
    await expect(planClassifier(halves('data={ name: swiss-roll }'))).rejects.toThrow(/swiss-roll is no set of images/);
  });
});

describe('refused before the first iteration', () => {
  it.each<[string, string[], RegExp]>([
    ['labels out of the range of the names', ['classNames=[left, right]'], /sample 2 of .*train\.npy has the label 2, out of the range of classNames.*0 to 1/],
    ['a class without a sample', ['classNames=[left, right, up, down]'], /no sample of class 3 \(down\)/],
    ['no labels', ['data={ name: swiss-roll }'], /swiss-roll is no set of images/],
    ['fewer images than a batch', ['training.batch=91'], /training\.batch = 91, but .* has 90 samples/],
    ['a single class', ['data.classes=[1]', 'test.classes=[1]', 'training.batch=4'], /samples of a single class \(1\)/],
    ['a test set with other classes', ['data.classes=[0, 1]'], /test: sample 2 has the label 2, of which .* has no samples/],
    ['a range beyond the set', ['data.range=[0, 91]'], /data\.range = \[0, 91\] must lie within 0 and 90/],
    ['a network of points', ['network={ name: mlp }'], /network\.name = "mlp" takes points/],
  ])('%s', async (_, overrides, message) => {
    const refused = startRun(halves(...overrides), { out: newFolder(), onProgress: () => { throw new Error('it has begun'); } });
    await expect(refused).rejects.toThrow(message);
  });

  it('a set without labels, and one of another size for the test', async () => {
    const bare = `data={ name: npy, path: ${JSON.stringify(join(folder, 'train.npy'))} }`;
    await expect(startRun(halves(bare), { out: newFolder() })).rejects.toThrow(/has no labels\. Put the images of each class into a subfolder/);
    await writeFile(join(folder, 'wide.npy'), encodeNpy({ shape: [3, 1, 8, 16], data: new Uint8Array(384) }));
    await writeFile(join(folder, 'wide-labels.npy'), encodeNpy({ shape: [3], data: Uint8Array.of(0, 1, 2) }));
    await expect(startRun(halves(`test=${set('wide')}`), { out: newFolder() })).rejects.toThrow(/test has images \[1, 8, 16\], data has \[1, 8, 8\]/);
  });

  it('configurations of another kind where an estimator is needed, and kinds that do not exist', () => {
    expect(() => parseConfig('kind: classifier\nname: a\ndata: { name: mnist }\nnetwork: { name: resnet28 }\ntraining: { iterations: 1 }', 'a.yaml')).toThrow(ConfigError);
    expect(() => parseRunConfig('kind: regressor', 'a.yaml')).toThrow('a.yaml is not usable: kind = "regressor" (allowed: estimator, classifier)');
    expect(() => halves('attack.radius=-1')).toThrow(/attack\.radius = -1/);
    expect(() => halves('flow={ K: 3 }')).toThrow('there is no field "flow"');
  });
});
