/** Composed bundles: guidance by PyTorch's classifiers against its autograd in float64, and sums of drifts against closed forms. */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compose, GraphBuilder, newModel, readModel, readModelFile, writeBundle, type ClassifierOptions, type ComposeOptions, type Model, type Value } from '@ratioflow/export';
import { createRuntime, folderSource, memorySource, open, readNpy } from '@ratioflow/node';
import { normals, openBundle, parseManifest, purposes, type FloatTensor } from '@ratioflow/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { meanAt, spread, writeGaussianBundle } from '../../runtimes/cli/src/testing/gaussian-bundle.js';

const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find(
  (command) => command !== undefined && spawnSync(command, ['-c', 'import numpy, onnx, onnxscript, torch']).status === 0,
);
if (!python) console.log('skip: no Python with torch and onnxscript (set RATIOFLOW_PYTHON): guidance is not compared with PyTorch');

const reference = createRuntime({ threads: 1 });
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-compose-'));
  await writeGaussianBundle(join(folder, 'grey'), [1, 8, 8], { K: 4, kappa: 2 });
  await writeGaussianBundle(join(folder, 'rgb'), [3, 8, 8], { K: 4, kappa: 2 });
  await writeGaussianBundle(join(folder, 'points'), [2], { K: 4, kappa: 2, valueRange: null });
}, 60_000);
afterAll(() => rm(folder, { recursive: true }));

const of = (name: string): ReturnType<typeof folderSource> => folderSource(join(folder, name));
const composed = (options: Omit<ComposeOptions, 'reference'>): ReturnType<typeof compose> => compose({ reference, ...options });

function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  const scale = Array.from(b).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0) / scale;
}

describe.skipIf(!python)('guidance', () => {
  it('is φ times PyTorch\'s gradient of log p(y|x), in every step of the flow', async () => {
    const made = join(folder, 'classifiers');
    await mkdir(made);
    const run = spawnSync(python!, [fileURLToPath(new URL('classifiers.py', import.meta.url)), made], { encoding: 'utf8', maxBuffer: 2 ** 26 });
    if (run.status !== 0) throw new Error(run.stderr);
    const cases = JSON.parse(run.stdout.trim().split('\n').at(-1)!) as Record<string, { samples: number; guide: ClassifierOptions }>;
    expect(Object.keys(cases).length).toBe(7);
    for (const [name, { samples, guide }] of Object.entries(cases)) {
      const read = async (file: string): Promise<FloatTensor> => await readNpy(join(made, name, `${file}.npy`)) as FloatTensor;
      const y = Array.from((await readNpy(join(made, name, 'y.npy'))).data as unknown as BigInt64Array, Number);
      const { files, classes } = await composed({ bundles: [of(samples === 1 ? 'grey' : 'rgb')], guide: { model: await readModelFile(join(made, name, 'classifier.onnx')), ...guide }, scale: 0.7 });
      expect(classes).toBe(7);
      const manifest = parseManifest(files.get('manifest.json')!);
      expect(manifest.guidance).toEqual({ classes: 7, scale: 0.7 });
      const [x, noise] = [await read('x'), await read('noise')];
      for (const optimization of ['disabled', 'all'] as const) {
        const session = await reference.load({ name, model: files.get('gradient.onnx')!, externalData: (file) => Promise.resolve(files.get(file)!) }, { optimization });
        const { drift } = await session.run({ x, y: { shape: [5], data: BigInt64Array.from(y, BigInt) }, phi: { shape: [], data: Float32Array.of(1) } });
        await session.dispose();
        const [base, gradient] = [(await read('drift')).data, (await read('gradient')).data];
        expect(relativeError((drift!.data as Float32Array).map((value, i) => value - base[i]!), gradient), name).toBeLessThan(1e-4);
        expect(relativeError(drift!.data as Float32Array, base), name).toBeGreaterThan(1e-3);
      }
      await using model = await openBundle(memorySource(files), reference);
      expect((await model.verify()).checks.filter(({ passed }) => !passed), name).toEqual([]);
      const { samples: flow } = await model.sample({ x0: x, noise, class: y, batch: 2 });
      const expected = (await read('flow')).data.map((value) => Math.min(1, Math.max(-1, value)));
      expect(relativeError(flow.data, expected), name).toBeLessThan(1e-4);
    }
  }, 180_000);
});

/** logits [N, 3] of points: known weights, so that everything has a closed form. */
function linear(outputs: readonly [string, 'logits' | 'softmax' | 'classes last'][] = [['l', 'logits']], shape: readonly (string | number)[] = ['batch', 2]): Model {
  const builder = new GraphBuilder('linear');
  const x = builder.input('points', 'float32', shape);
  const w = builder.initializer('w', { dtype: 'float32', dims: [2, 3], data: new Uint8Array(Float32Array.of(1, -2, 0.5, 0.25, 1, -1).buffer) });
  const l = builder.op('MatMul', [x, w]);
  for (const [name, kind] of outputs) builder.output(name, kind === 'logits' ? builder.op('Identity', [l]) : kind === 'softmax' ? builder.op('Softmax', [l], { axis: 1 }) : builder.op('Softmax', [builder.op('Unsqueeze', [l, builder.ints([1, 2])])], { axis: 3 }));
  return newModel(builder.graph);
}

/** A classifier of points [N, 2] or images, made of what `body` makes of them: logits, or images whose mean and its negative are the logits. */
function classifierOf(shape: readonly (string | number)[], body: (builder: GraphBuilder, x: Value) => Value): Model {
  const builder = new GraphBuilder('classifier');
  const made = body(builder, builder.input('x', 'float32', shape));
  builder.output('l', made.shape?.length === 2 ? made : logitsOf(builder, builder.op('ReduceMean', [builder.op('Flatten', [made]), builder.ints([1])])));
  return newModel(builder.graph);
}
const logitsOf = (builder: GraphBuilder, x: Value): Value => builder.op('Concat', [x, builder.op('Neg', [x])], { axis: 1 });

/** ∇ log p(y|x) of the linear classifier in float64: w_y − Σ p w. */
function exactGuidance([a, b]: readonly [number, number], y: number): [number, number] {
  const w = [[1, -2, 0.5], [0.25, 1, -1]] as const;
  const e = w[0].map((_, c) => Math.exp(a * w[0][c]! + b * w[1][c]!));
  const total = e.reduce((sum, value) => sum + value, 0);
  return w.map((row) => row[y]! - row.reduce((sum, value, c) => sum + value * e[c]! / total, 0)) as [number, number];
}
const exactDrift = (x: number, i: number): number => x - (x - meanAt(i, 2)) / spread ** 2;

describe('a composed bundle', () => {
  const points: FloatTensor = { shape: [4, 2], data: normals({ seed: 1, purpose: purposes.testVectors, step: 0, count: 1, elements: 8 }) };
  const xi: FloatTensor = { shape: [3, 4, 2], data: normals({ seed: 1, purpose: purposes.testVectors, step: 1, count: 1, elements: 24 }) };
  const options = { x0: points, noise: xi, K: 3, kappa: 0 };

  it('follows its formula step by step: weights, classes and φ as they are given', async () => {
    const { files } = await composed({ bundles: [of('points'), of('points')], weights: [0.75, 0.5], guide: { model: linear() }, scale: 0.2 });
    await using model = await openBundle(memorySource(files), reference);
    expect((await model.verify()).passed).toBe(true);
    const walk = (weight: number, phi: number, classes: readonly number[]): number[] => {
      const state = Array.from(points.data);
      for (let k = 0; k < 3; k++) {
        for (let n = 0; n < 4; n++) {
          const guide = classes[n]! < 0 ? [0, 0] : exactGuidance([state[2 * n]!, state[2 * n + 1]!], classes[n]!);
          for (const i of [0, 1]) state[2 * n + i] = state[2 * n + i]! + 0.1 * (weight * exactDrift(state[2 * n + i]!, i) + phi * guide[i]!) + 0.02 * xi.data[8 * k + 2 * n + i]!;
        }
      }
      return state;
    };
    for (const [settings, expected] of [
      [{}, walk(1.25, 0, [-1, -1, -1, -1])],
      [{ class: 1 }, walk(1.25, 0.2, [1, 1, 1, 1])],
      [{ class: [2, -1, 0, 1], scale: 1.5, weights: [2, -0.5] }, walk(1.5, 1.5, [2, -1, 0, 1])],
    ] as const) {
      const { samples } = await model.sample({ ...options, ...settings, batch: 3 });
      expect(relativeError(samples.data, expected)).toBeLessThan(1e-6);
    }
    const ratio = await model.score(points);
    for await (const { step, logRatio } of model.flow({ ...options, weights: [2.5, 0], logRatio: true })) {
      if (step === 0) expect(relativeError(logRatio!, ratio.map((value) => 2 * value))).toBeLessThan(1e-6);
    }
    await using single = await open(join(folder, 'points'));
    expect(relativeError(ratio, (await single.score(points)).map((value) => 1.25 * value))).toBeLessThan(1e-6);
  });

  it('keeps weights of all graphs once, and can be written, opened and listed like any other', async () => {
    const { files } = await composed({ bundles: [of('rgb'), of('rgb')], products: { unroll: 2 } });
    const names = ['ratio', 'gradient', 'step', 'sampler', 'sampler-device-noise', 'generator', 'sampler-unrolled'];
    const extra = names.map((name) => readModel(files.get(`${name}.onnx`)!).graph.inputs.map((input) => input.name));
    expect(extra).toEqual([['x', 'weights'], ['x', 'weights'], ['x', 'noise', 'eta', 'nu', 'weights'], ['x0', 'noise', 'eta', 'nu', 'weights'], ['x0', 'steps', 'eta', 'nu', 'weights'], ['z'], ['x0', 'noise', 'eta', 'nu', 'weights']]);
    // Two bundles' means of 192 floats, aligned.
    expect(files.get('weights.bin')!.byteLength).toBeLessThan(2 * 4 * 192 + 64);
    await writeBundle(join(folder, 'written'), files);
    await using model = await open(join(folder, 'written'));
    const { samples } = await model.sample({ count: 2, seed: 4, weights: [1, 0] });
    await using plain = await open(join(folder, 'rgb'));
    expect(relativeError(samples.data, (await plain.sample({ count: 2, seed: 4 })).samples.data)).toBeLessThan(1e-6);
    await expect(composed({ bundles: [of('written')], guide: { model: linear() } })).rejects.toThrow('is a composition itself');
  });

  it('guides its generator by the classes it is given', async () => {
    const builder = new GraphBuilder('brightness');
    const x = builder.input('x', 'float32', ['N', 1, 8, 8]);
    const mean = builder.op('ReduceMean', [x, builder.ints([2, 3])], { keepdims: 0 });
    builder.output('l', builder.op('Concat', [builder.op('Neg', [mean]), mean], { axis: 1 }));
    const { files } = await composed({ bundles: [of('grey')], guide: { model: newModel(builder.graph) }, scale: 500 });
    const session = await reference.load({ name: 'generator.onnx', model: files.get('generator.onnx')!, externalData: (file) => Promise.resolve(files.get(file)!) });
    const z = new Float32Array(2 * 64 * 7).map((_, i) => Math.sin(i));
    const { images } = await session.run({ z: { shape: [2, 448], data: z }, y: { shape: [2], data: BigInt64Array.of(0n, 1n) } });
    await session.dispose();
    const average = (from: number): number => (images!.data as Uint8Array).subarray(from, from + 192).reduce((sum, value) => sum + value, 0) / 192;
    expect(average(192) - average(0)).toBeGreaterThan(100);
  });

  it.each<[string, () => Promise<unknown>, RegExp]>([
    ['bundles of different shapes', () => composed({ bundles: [of('grey'), of('rgb')] }), /rgb has sampleShape \[3,8,8\], the first bundle \[1,8,8\]/],
    ['a single bundle by itself', () => composed({ bundles: [of('grey')] }), /no composition: give a classifier/],
    ['a wrong number of weights', () => composed({ bundles: [of('grey'), of('grey')], weights: [1] }), /2 finite numbers, one for each bundle/],
    ['a classifier of points for images', () => composed({ bundles: [of('grey')], guide: { model: linear() } }), /points \[batch, 2\] does not take samples of shape \[1, 8, 8\]/],
    ['probabilities called logits', () => composed({ bundles: [of('points')], guide: { model: linear([['p', 'softmax']]) } }), /p comes out of Softmax: these are probabilities/],
    ['probabilities called logits behind other operators', () => composed({ bundles: [of('points')], guide: { model: classifierOf(['N', 2], (b, x) => b.op('Identity', [b.op('Softmax', [x], { axis: 1 })])) } }), /The classifier gives 0\.\d+, 0\.\d+ for a random sample, and all of a sample add up to 1: these are probabilities/],
    ['logits called probabilities', () => composed({ bundles: [of('points')], guide: { model: linear(), kind: 'probabilities' } }), /gives .* for a random sample .*: these are no probabilities\. Leave out what says so/],
    ['log probabilities called probabilities', () => composed({ bundles: [of('points')], guide: { model: classifierOf(['N', 2], (b, x) => b.op('LogSoftmax', [x], { axis: 1 })), kind: 'probabilities' } }), /these are no probabilities/],
    ['a softmax along the wrong axis', () => composed({ bundles: [of('points')], guide: { model: classifierOf(['N', 2], (b, x) => b.op('Flatten', [b.op('Softmax', [b.op('Unsqueeze', [x, b.ints([2])])], { axis: 2 })])), kind: 'probabilities' } }), /gives every class of every random sample a probability of 1\.000, which guides nowhere: look along which axis/],
    ['classes along two axes', () => composed({ bundles: [of('grey')], guide: { model: (() => { const b = new GraphBuilder('c'); b.output('l', b.op('Identity', [b.input('x', 'float32', ['N', 1, 8, 8])])); return newModel(b.graph); })() } }), /output l is \[N, 1, 8, 8\]; allowed: \[N, classes\]/],
    ['several outputs without a name', () => composed({ bundles: [of('points')], guide: { model: linear([['l', 'logits'], ['p', 'softmax']]) } }), /several outputs: it has l float32 \[batch, 3\], p/],
    ['an output that it lacks', () => composed({ bundles: [of('points')], guide: { model: linear(), output: 'q' } }), /no output "q": it has l/],
    ['points of another dimension', () => composed({ bundles: [of('points')], guide: { model: (() => { const b = new GraphBuilder('c'); b.output('l', b.op('Identity', [b.input('x', 'float32', ['N', 3])])); return newModel(b.graph); })() } }), /takes samples of \[3\], the bundle makes \[2\]/],
    ['a mean of the wrong length', () => composed({ bundles: [of('points')], guide: { model: linear(), mean: [1, 2, 3] } }), /mean has 3 values; the classifier has 2 channels/],
    ['channels last', () => composed({ bundles: [of('grey')], guide: { model: classifierOf(['N', 8, 8, 1], (_, x) => x) } }), /x \[N, 8, 8, 1\] looks like channels last .* samples are \[N, 1, 8, 8\], channels first\. Export a wrapper/],
    ['channels last of open sizes', () => composed({ bundles: [of('rgb')], guide: { model: classifierOf(['N', 'h', 'w', 3], (_, x) => x) } }), /looks like channels last/],
    ['channels that are neither one nor three', () => composed({ bundles: [of('grey')], guide: { model: classifierOf(['N', 4, 8, 8], (_, x) => x) } }), /takes samples of \[4, 8, 8\], the bundle makes \[1, 8, 8\]: the channels must be equal, or one that is repeated to three/],
    ['normalisation in training mode', () => composed({ bundles: [of('grey')], guide: { model: classifierOf(['N', 1, 8, 8], (b, x) => {
      const one = b.initializer('one', { dtype: 'float32', dims: [1], data: new Uint8Array(Float32Array.of(1).buffer) });
      return b.ops('BatchNormalization', [x, one, one, one, one], { training_mode: 1 }, 3)[0]!;
    }) } }), /BatchNormalization node ".*" is in training mode: .* the others of its batch\. Export the classifier in evaluation mode/],
    ['dropout in training mode', () => composed({ bundles: [of('points')], guide: { model: classifierOf(['N', 2], (b, x) => logitsOf(b, b.op('Dropout', [x, b.scalar(0.5, x), b.constant({ dtype: 'bool', dims: [], data: Uint8Array.of(1) })]))) } }), /Dropout node ".*" is in training mode: .* chance/],
    ['samples that depend on each other', () => composed({ bundles: [of('points')], guide: { model: classifierOf(['N', 2], (b, x) => logitsOf(b, b.op('Sub', [x, b.op('ReduceMean', [x, b.ints([0])])]))) } }), /The classifier gives a sample .* in a batch of 5 and 0\.000, 0\.000, 0\.000, 0\.000 by itself: samples influence each other/],
    ['a classifier of NaN', () => composed({ bundles: [of('points')], guide: { model: classifierOf(['N', 2], (b, x) => logitsOf(b, b.op('Mul', [x, b.scalar(NaN, x)]))) } }), /The classifier gives NaN, NaN, NaN, NaN for a random sample: its numbers must be finite/],
    ['weights beyond float32', () => composed({ bundles: [of('points')], weights: [1e39] }), /mixture\[0\] is 1e\+39; allowed: a number/],
    ['what makes values that are not finite', () => composed({ bundles: [of('points')], weights: [3e38] }), /ratio\.onnx gives -?(Infinity|NaN) in logRatio for a draw of the prior: .* finite/],
    ['class names of another number', () => composed({ bundles: [of('points')], guide: { model: linear() }, classNames: ['a'] }), /1 class names for 3 classes/],
  ])('refuses %s', async (_, make, message) => {
    await expect(make()).rejects.toThrow(message);
  });

  it('feeds values as they are to a classifier without a range', async () => {
    /** φ = 64 times ∇ log p(0|x) of a grey pixel x = ½ of 64 alike, the logits being ± the mean of v². */
    const drift = async (inputRange: null | undefined): Promise<number> => {
      const model = classifierOf(['N', 1, 8, 8], (b, x) => logitsOf(b, b.op('ReduceMean', [b.op('Mul', [x, x]), b.ints([2, 3])], { keepdims: 0 })));
      const { files } = await composed({ bundles: [of('grey')], guide: { model, ...(inputRange === null && { inputRange }) }, scale: 64 });
      const session = await reference.load({ name: 'gradient', model: files.get('gradient.onnx')!, externalData: (file) => Promise.resolve(files.get(file)!) });
      const x = { shape: [1, 1, 8, 8], data: new Float32Array(64).fill(0.5) };
      const [plain, guided] = await Promise.all([0, 1].map(async (phi) => (await session.run({ x, y: { shape: [1], data: BigInt64Array.of(0n) }, phi: { shape: [], data: Float32Array.of(64 * phi) } }))['drift']!.data[0] as number));
      await session.dispose();
      return guided! - plain!;
    };
    // ∂ log p(0|x) / ∂x = (1 − p) · 2 · ∂ mean(v²) / ∂x, where 1 − p = 1 / (1 + exp(2 v²)), v = x or v = (x + 1) / 2.
    expect(await drift(null)).toBeCloseTo(4 * 0.5 / (1 + Math.exp(0.5)), 4);
    expect(await drift(undefined)).toBeCloseTo(4 * 0.75 / 2 / (1 + Math.exp(2 * 0.75 ** 2)), 4);
  });

  it('takes one of several outputs, probabilities, classes along any axis, and a fixed batch', async () => {
    const guides = [{ model: linear([['p', 'softmax'], ['l', 'logits']]), output: 'p', kind: 'probabilities' as const }, { model: linear([['p', 'classes last']]), kind: 'probabilities' as const }, { model: linear([['l', 'logits']], [1, 2]) }];
    for (const guide of guides) {
      const { files } = await composed({ bundles: [of('points')], guide, scale: 0.3 });
      await using model = await openBundle(memorySource(files), reference);
      const { samples } = await model.sample({ ...options, K: 1, noise: { shape: [1, 4, 2], data: new Float32Array(8) }, class: 2 });
      const expected = Array.from(points.data, (value, i) => value + 0.1 * (exactDrift(value, i % 2) + 0.3 * exactGuidance([points.data[i - i % 2]!, points.data[i - i % 2 + 1]!], 2)[i % 2]!));
      expect(relativeError(samples.data, expected)).toBeLessThan(1e-6);
    }
  });

  it.each<[object, RegExp]>([
    [{ class: 3 }, /class\[0\] is 3; allowed: an integer from -1 to 2/],
    [{ count: 3, class: [0, 1] }, /class is .*one class, or one for each of the 3 samples/],
    [{ scale: Number.NaN }, /scale is NaN/],
    [{ weights: [1, 2] }, /weights is .*no numbers for this bundle/],
  ])('refuses to sample with %o', async (settings, message) => {
    const { files } = await composed({ bundles: [of('points')], guide: { model: linear() } });
    await using model = await openBundle(memorySource(files), reference);
    await expect(model.sample(settings)).rejects.toThrow(message);
    await using plain = await open(join(folder, 'points'));
    await expect(plain.sample({ class: 0 })).rejects.toThrow('class and scale need a guided bundle');
  });
});
