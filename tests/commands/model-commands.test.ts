/**
 * `gradient`, `convert` and `compose` at the command line: what they write, and that bad input ends in one line of error
 * that names the culprit, with nothing written.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { GraphBuilder, newModel, writeModel } from '@ratioflow/export';
import { open, readNpy } from '@ratioflow/node';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ModelProtoSchema } from '../../export/src/onnx/generated/onnx_pb.js';
import { ratioflow } from '../../runtimes/cli/src/testing/run-command.js';
import { meanAt, spread, writeGaussianBundle } from '../../runtimes/cli/src/testing/gaussian-bundle.js';

let root: string;
let folder: string;
let points: string;
let round = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'ratioflow-commands-'));
  points = join(root, 'points');
  await writeGaussianBundle(points, [2], { K: 4, kappa: 1, valueRange: null });
});
beforeEach(async () => {
  folder = join(root, `case${round++}`);
  await mkdir(folder);
});
afterAll(() => rm(root, { recursive: true }));

/** The command fails with a message of one line, and the folder holds what it held before. */
async function refuses(args: readonly string[], message: RegExp): Promise<void> {
  const before = await readdir(folder);
  const { code, out, err } = await ratioflow(args);
  expect([code, out], err).toEqual([1, '']);
  expect(err).toMatch(/^error: [^\n]+\n$/);
  expect(err).toMatch(message);
  expect(await readdir(folder)).toEqual(before);
}

type GraphInit = NonNullable<MessageInitShape<typeof ModelProtoSchema>['graph']>;
type NodeInit = NonNullable<GraphInit['node']>[number];
const float = (...dims: (number | string)[]): object => ({
  value: { case: 'tensorType', value: { elemType: 1, shape: { dim: dims.map((dim) => ({ value: typeof dim === 'string' ? { case: 'dimParam', value: dim } : { case: 'dimValue', value: BigInt(dim) } })) } } },
});
const node = (opType: string, input: string[], output: string[], more: object = {}): NodeInit => ({ name: `the ${opType}`, opType, input, output, ...more });
const tensor = (name: string, dims: number[], more: object = {}): object => ({ name, dims: dims.map(BigInt), dataType: 1, ...more });
const raw = (count: number): object => ({ rawData: new Uint8Array(4 * count) });

/** A model of x [N, 4] and y, and whatever else a case says. */
const proto = (nodes: NodeInit[], graph: object = {}, model: object = {}): Uint8Array => toBinary(ModelProtoSchema, create(ModelProtoSchema, {
  irVersion: 8n, opsetImport: [{ domain: '', version: 18n }],
  graph: { name: 'g', node: nodes, input: [{ name: 'x', type: float('N', 4) }], output: [{ name: 'y', type: float('N', 4) }], ...graph } as GraphInit, ...model,
}));

const tanh = node('Tanh', ['x'], ['y']);
const external = (location: string, more: [string, string][] = []): object => ({
  dataLocation: 1, externalData: [['location', location], ...more].map(([key, value]) => ({ key: key!, value: value! })),
});
const withWeight = (dims: number[], more: object): Uint8Array => proto([node('Mul', ['x', 'w'], ['y'])], { initializer: [tensor('w', dims, more)] });
/** A model of subgraphs within each other, written as bytes, for protobuf libraries recurse when they write. */
function nested(depth: number): Uint8Array {
  const field = (number: number, ...parts: Uint8Array[]): Uint8Array => {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const head = [(number << 3) | 2];
    for (let rest = length; ; rest >>>= 7) {
      if (rest < 128) { head.push(rest); break; }
      head.push((rest & 127) | 128);
    }
    return Buffer.concat([Uint8Array.from(head), ...parts]);
  };
  const text = (number: number, value: string): Uint8Array => field(number, Buffer.from(value));
  let graph: Uint8Array = Buffer.concat([field(1, text(1, 'x'), text(2, 'y'), text(4, 'Tanh')), field(12, text(1, 'y'))]);
  for (let i = 0; i < depth; i++) graph = Buffer.concat([field(1, text(1, 'c'), text(2, 'y'), text(4, 'If'), field(5, text(1, 'then_branch'), Uint8Array.of(0xa0, 1, 5), field(6, graph))), field(12, text(1, 'y'))]);
  return Buffer.concat([proto([]).slice(0, 2), field(7, graph), field(8, Uint8Array.of(0x10, 18))]);
}
const call = (name: string): NodeInit => node(name, ['x'], ['y'], { domain: 'mine' });
const functions = (...bodies: [string, NodeInit][]): object => ({
  opsetImport: [{ domain: '', version: 18n }, { domain: 'mine', version: 1n }],
  functions: bodies.map(([name, body]) => ({ name, domain: 'mine', input: ['x'], output: ['y'], node: [body], opsetImport: [{ domain: '', version: 18n }, { domain: 'mine', version: 1n }] })),
});

describe('ratioflow gradient', () => {
  const [input, output] = [(): string => join(folder, 'model.onnx'), (): string => join(folder, 'gradient.onnx')];

  it('adds the gradient', async () => {
    await writeFile(input(), proto([tanh]));
    const { code, out, err } = await ratioflow(['gradient', input(), '-o', output()]);
    expect([code, err, out]).toEqual([0, '', `${output()}: y [N, 4], grad_x [N, 4]\n`]);
    const session = await ort.InferenceSession.create(output());
    const { grad_x: gradient } = await session.run({ x: new ort.Tensor('float32', Float32Array.of(0, 0.5, -1, 2), [1, 4]) });
    [0, 0.5, -1, 2].forEach((x, i) => expect(Number(gradient!.data[i])).toBeCloseTo(1 / Math.cosh(x) ** 2, 5));
    expect((await readdir(folder)).sort()).toEqual(['gradient.onnx', 'model.onnx']);
  });

  const whole = proto([node('MatMul', ['x', 'w'], ['y'])], { initializer: [tensor('w', [4, 4], raw(16))] });
  const cases: [string, Uint8Array, RegExp][] = [
    ['an empty file', new Uint8Array(), /model\.onnx/],
    ['text', new TextEncoder().encode('{"format": "layers-model"}'), /model\.onnx/],
    ['a truncated model', whole.slice(0, whole.length - 20), /model\.onnx/],
    ['a model cut in its nodes', whole.slice(0, 30), /model\.onnx/],
    ['a length of 2^60', Uint8Array.of(0x3a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 1), /model\.onnx/],
    ['weights outside the folder', withWeight([4], external('../secret.bin')), /"\.\.\/secret\.bin".*outside/],
    ['weights at an absolute path', withWeight([4], external('/etc/hostname')), /"\/etc\/hostname".*outside/],
    ['weights behind a link', withWeight([4], external('link.bin')), /"link\.bin", a link that leads out of the model's folder: refused/],
    ['weights that are missing', withWeight([4], external('gone.bin')), /gone\.bin/],
    ['weights that are cut short', withWeight([4], external('short.bin', [['offset', '96']])), /short\.bin/],
    ['weights that begin after their end', withWeight([4], external('short.bin', [['offset', '100000']])), /short\.bin/],
    ['weights that begin before their file', withWeight([4], external('short.bin', [['offset', '-8']])), /w/],
    ['weights whose size says otherwise', withWeight([4], raw(3)), /"w"/],
    ['weights of 2^80 elements', withWeight([2 ** 40, 2 ** 40], raw(1)), /"w"/],
    ['weights of a negative extent', withWeight([-4], raw(4)), /"w"/],
    ['a cycle', proto([node('Add', ['x', 'b'], ['a']), node('Neg', ['a'], ['b']), node('Neg', ['b'], ['y'])]), /the Add.*"b"|"b".*the Add/],
    ['a node that reads itself', proto([node('Add', ['x', 'y'], ['y'])]), /the Add/],
    ['a value made twice', proto([node('Tanh', ['x'], ['y']), node('Neg', ['x'], ['y'])]), /the Neg.*"y"|"y".*the Neg/],
    ['a node that makes an input', proto([node('Neg', ['x'], ['x']), tanh]), /the Neg.*"x"|"x".*the Neg/],
    ['two inputs of one name', proto([tanh], { input: [{ name: 'x', type: float('N', 4) }, { name: 'x', type: float('N', 4) }] }), /"x"/],
    ['an input that nobody declares', proto([node('Add', ['x', 'bias'], ['y'])]), /the Add.*"bias"|"bias".*the Add/],
    ['an output that nobody makes', proto([node('Tanh', ['x'], ['z'])]), /"y"/],
    ['an unknown operator', proto([node('Frobnicate', ['x'], ['y'])]), /the Frobnicate|Frobnicate/],
    ['an operator of another domain', proto([node('FusedMatMul', ['x', 'x'], ['y'], { domain: 'com.microsoft' })], {}, { opsetImport: [{ domain: '', version: 18n }, { domain: 'com.microsoft', version: 1n }] }), /com\.microsoft/],
    ['shapes that contradict', proto([node('MatMul', ['x', 'w'], ['y'])], { initializer: [tensor('w', [5, 4], raw(20))] }), /the MatMul/],
    ['a declared shape that contradicts', proto([node('Concat', ['x', 'x'], ['y'], { attribute: [{ name: 'axis', type: 2, i: 1n }] })], { output: [{ name: 'y', type: float('N', 7) }] }), /the Concat.*\[N, 8\].*\[N, 7\]/],
    ['a constant of 2^50 elements', proto([node('ConstantOfShape', ['s'], ['c']), node('Mul', ['x', 'c'], ['y'])], { initializer: [{ name: 's', dims: [2n], dataType: 7, int64Data: [2n ** 25n, 2n ** 25n] }] }), /ConstantOfShape|Mul/],
    ['a missing input', proto([node('MatMul', ['x'], ['y'])]), /the MatMul/],
    ['an attribute of another type', proto([node('Softmax', ['x'], ['y'], { attribute: [{ name: 'axis', type: 3, s: new Uint8Array([65]) }] })]), /the Softmax/],
    ['functions that call each other', proto([call('F')], {}, functions(['F', call('G')], ['G', call('F')])), /F|G/],
    ['subgraphs 3000 deep', nested(3000), /model\.onnx|If/],
    ['an old opset', proto([tanh], {}, { opsetImport: [{ domain: '', version: 6n }] }), /opset 6/],
    ['no opset at all', proto([tanh], {}, { opsetImport: [] }), /opset/],
    ['no path from the output', proto([node('Shape', ['x'], ['s']), node('Cast', ['s'], ['y'], { attribute: [{ name: 'to', type: 2, i: 1n }] })], { output: [{ name: 'y', type: float(2) }] }), /"x".*"y"/],
  ];
  it.each(cases)('refuses %s', async (_, bytes, message) => {
    await writeFile(join(root, 'secret.bin'), new Uint8Array(16));
    await writeFile(join(folder, 'short.bin'), new Uint8Array(100));
    await symlink(join(root, 'secret.bin'), join(folder, 'link.bin'));
    await writeFile(input(), bytes);
    const before = process.memoryUsage().rss;
    await refuses(['gradient', input(), '-o', output()], message);
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 28);
  });

  it('refuses names that are not there, and what is no file', async () => {
    await writeFile(input(), proto([tanh]));
    await refuses(['gradient', input(), '-o', output(), '--of', 'z'], /"z".*y/);
    await refuses(['gradient', input(), '-o', output(), '--wrt', 'z'], /"z".*x/);
    await refuses(['gradient', join(folder, 'nothing.onnx'), '-o', output()], /nothing\.onnx/);
    await refuses(['gradient', folder, '-o', output()], /case\d+/);
    await refuses(['gradient', input(), '-o', join(input(), 'where.onnx')], /where\.onnx|model\.onnx/);
  });

  it('leaves an older file alone when it fails', async () => {
    await writeFile(input(), proto([node('Frobnicate', ['x'], ['y'])]));
    await writeFile(output(), 'older');
    await refuses(['gradient', input(), '-o', output()], /Frobnicate/);
    expect(await readFile(output(), 'utf8')).toBe('older');
  });
});

describe('ratioflow convert', () => {
  const topology = (layers: object[]): object => ({ format: 'layers-model', modelTopology: { class_name: 'Sequential', keras_version: '2.15.0', backend: 'tensorflow', config: { name: 'net', layers } } });
  const dense = { class_name: 'Dense', config: { name: 'dense', units: 3, batch_input_shape: [null, 2], activation: 'linear' } };
  const weights = [{ name: 'dense/kernel', shape: [2, 3], dtype: 'float32' }, { name: 'dense/bias', shape: [3], dtype: 'float32' }];
  const write = async (json: object | string, bytes = 36): Promise<string> => {
    await writeFile(join(folder, 'model.json'), typeof json === 'string' ? json : JSON.stringify(json));
    await writeFile(join(folder, 'w.bin'), new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6, 0.5, -0.5, 0.25).buffer).subarray(0, bytes));
    return join(folder, 'model.json');
  };
  const manifest = (paths: string[]): object => ({ weightsManifest: [{ paths, weights }] });

  it('writes the model', async () => {
    const out = join(folder, 'model.onnx');
    const { code, out: text, err } = await ratioflow(['convert', await write({ ...topology([dense]), ...manifest(['w.bin']) }), '-o', out]);
    expect([code, err]).toEqual([0, '']);
    expect(text).toBe(`${out}: dense_input [N, 2] → dense [N, 3]\n`);
    const session = await ort.InferenceSession.create(out);
    const { dense: result } = await session.run({ dense_input: new ort.Tensor('float32', Float32Array.of(1, 10), [1, 2]) });
    expect(Array.from(result!.data as Float32Array)).toEqual([41.5, 51.5, 63.25]);
  });

  const cases: [string, () => Promise<string>, RegExp][] = [
    ['a truncated model.json', () => write(JSON.stringify({ ...topology([dense]), ...manifest(['w.bin']) }).slice(0, 200)), /model\.json: is not JSON/],
    ['weights that are cut short', () => write({ ...topology([dense]), ...manifest(['w.bin']) }, 20), /take 36 bytes, w\.bin \(20\)/],
    ['weights elsewhere', () => write({ ...topology([dense]), ...manifest(['../w.bin']) }), /outside the model's folder/],
    ['a layer that cannot be converted', () => write({ ...topology([{ class_name: 'Masking', config: { name: 'gaps', mask_value: 0, batch_input_shape: [null, 3, 4] } }, { class_name: 'Softmax', config: { name: 'shares', axis: 2 } }]), weightsManifest: [] }), /"gaps" \(Masking\): its mask reaches layer "shares" \(Softmax\)/],
    ['a layer that tfjs does not know', () => write({ ...topology([{ class_name: 'Frobnicate', config: { name: 'odd', batch_input_shape: [null, 2] } }]), weightsManifest: [] }), /Frobnicate/],
    ['an operator that cannot be converted', () => write({ format: 'graph-model', modelTopology: { node: [{ name: 'x', op: 'Placeholder', attr: { dtype: { type: 'DT_FLOAT' }, shape: { shape: { dim: [{ size: '-1' }, { size: '2' }] } } } }, { name: 'odd', op: 'Frobnicate', input: ['x'] }] }, weightsManifest: [] }), /"odd" \(Frobnicate\)/],
    ['another format', () => write({ format: 'onnx', modelTopology: {} }), /format is "onnx"/],
    ['nothing there', () => Promise.resolve(join(folder, 'none')), /there is no such file or folder/],
  ];
  it.each(cases)('refuses %s', async (_, make, message) => {
    await refuses(['convert', await make(), '-o', join(folder, 'model.onnx')], message);
  });
});

describe('ratioflow compose', () => {
  /** log p(y|x) = x · w_y on points. */
  const classifier = async (classes = 3, dims = 2): Promise<string> => {
    const builder = new GraphBuilder('classifier');
    const x = builder.input('x', 'float32', ['N', dims]);
    const weights = builder.initializer('w', { dtype: 'float32', dims: [dims, classes], data: new Uint8Array(Float32Array.from({ length: dims * classes }, (_, i) => Math.sin(i)).buffer) });
    builder.output('logits', builder.op('MatMul', [x, weights]));
    const path = join(folder, 'classifier.onnx');
    await writeFile(path, writeModel(newModel(builder.graph)));
    return path;
  };

  it('sums drifts: twice a bundle is the bundle with twice the step', async () => {
    const out = join(folder, 'twice');
    const { code, out: text, err } = await ratioflow(['compose', points, points, '--weight', '0.5', '--weight', '1.5', '--refine', '3', '--name', 'twice', '-o', out]);
    expect([code, err, text]).toEqual([0, '', `bundle of 2 flows in ${out}\n`]);
    expect((await ratioflow(['verify', out, '--provider', 'cpu'])).code).toBe(0);
    const model = await open(out);
    expect([model.manifest.name, model.manifest.K, model.manifest.kappa]).toEqual(['twice', 4, 3]);
    const { drift } = await model.gradient({ shape: [1, 2], data: Float32Array.of(0.3, -0.4) });
    [0.3, -0.4].forEach((x, i) => expect(Number(drift.data[i])).toBeCloseTo(2 * (x - (x - meanAt(i, 2)) / spread ** 2), 4));
    await model.dispose();
    expect((await ratioflow(['inspect', out])).out).toMatch(/^estimators +2, of weights 0\.5, 1\.5$/m);
  });

  it('guides by a classifier', async () => {
    const out = join(folder, 'guided');
    const { code, out: text, err } = await ratioflow(['compose', points, '--guide', await classifier(), '--scale', '0.7', '-o', out]);
    expect([code, err, text]).toEqual([0, '', `bundle of 1 flow, guided to 3 classes, in ${out}\n`]);
    const samples = async (c: string): Promise<ArrayLike<number | bigint>> => {
      expect((await ratioflow(['sample', out, '--class', c, '--count', '2', '-o', join(folder, 'samples.npy')])).err).toBe('');
      return (await readNpy(join(folder, 'samples.npy'))).data;
    };
    expect(await samples('0')).not.toEqual(await samples('2'));
    await refuses(['sample', out, '--class', '3', '-o', join(folder, 'more.npy')], /class|3/);
    for (const given of ['', '0x1', '1e0', '1,', '-2', '0.5']) {
      const { code: refused, err: message } = await ratioflow(['sample', out, '--class', given, '-o', join(folder, 'more.npy')]);
      expect([refused, message]).toEqual([2, expect.stringContaining('Allowed: an integer from -1.')]);
    }
    expect((await ratioflow(['inspect', out])).out).toMatch(/^guidance +by a classifier, classes 0 to \d, scale phi 0\.7$/m);
  });

  it('feeds values as they are with --guide-range none', async () => {
    const grey = join(folder, 'grey');
    await writeGaussianBundle(grey, [1, 4, 4], { K: 1, kappa: 0 });
    const builder = new GraphBuilder('classifier');
    const x = builder.input('x', 'float32', ['N', 1, 4, 4]);
    const square = builder.op('ReduceMean', [builder.op('Mul', [x, x]), builder.ints([2, 3])], { keepdims: 0 });
    builder.output('l', builder.op('Concat', [square, builder.op('Neg', [square])], { axis: 1 }));
    const path = join(folder, 'squares.onnx');
    await writeFile(path, writeModel(newModel(builder.graph)));
    // log p(0|x) rises with v²: from x = −½ downwards where v is x itself, upwards where v is x in values from 0 to 1, ¼.
    for (const [args, direction] of [[['--guide-range', 'none'], -1], [[], 1]] as const) {
      expect((await ratioflow(['compose', grey, '--guide', path, '--scale', '16', ...args, '-o', out()])).code).toBe(0);
      await using model = await open(out());
      const at = async (y: number): Promise<number> => (await model.sample({ x0: { shape: [1, 1, 4, 4], data: new Float32Array(16).fill(-0.5) }, nu: 0, class: y })).samples.data[5]!;
      expect(Math.sign(await at(0) - await at(-1))).toBe(direction);
    }
  });

  it('ignores no option of a guide', async () => {
    const more = ['--count', '1', '-o', join(folder, 'more.npy')];
    for (const given of [['--probabilities'], ['--guide-size', '2,2'], ['--guide-range', 'none'], ['--mean', '0'], ['--std', '1'], ['--guide-output', 'l']]) {
      for (const command of [['sample', points, ...more], ['compose', points, points, '-o', out()]]) await refuses([...command, ...given], new RegExp(`^error: ${given[0]!} says how a classifier is read or fed: give --guide`));
    }
    await refuses(['compose', points, points, '--scale', '1', '-o', out()], /scale is that of the guidance, and there is no classifier/);
    await refuses(['sample', points, '--guide', await classifier(), ...more], /none is given: add --class/);
    await refuses(['sample', points, '--guide', await classifier(), '--keep', '0.5', ...more], /--keep and --reject choose among plain samples of a seed: leave out .* and --guide/);
    expect((await ratioflow(['sample', points, '--guide', await classifier(), '--class', '-1', ...more])).code).toBe(0);
  });

  const out = (): string => join(folder, 'composed');
  it('refuses bundles and classifiers that do not fit', async () => {
    const images = join(root, 'images');
    await writeGaussianBundle(images, [1, 4, 4], { K: 2, kappa: 0 });
    await refuses(['compose', points, images, '-o', out()], /images has sampleShape \[1,4,4\], the first bundle \[2\]/);
    await refuses(['compose', points, points, '--weight', '1', '-o', out()], /weight/);
    await refuses(['compose', points, points, '-o', join(points, '.')], /The bundle cannot be written to .*: it is an input, which would be lost/);
    await refuses(['compose', join(root, 'none'), '-o', out()], /none/);
    await refuses(['compose', points, '--guide', join(folder, 'none.onnx'), '-o', out()], /none\.onnx/);
    await refuses(['compose', points, '--guide', await classifier(3, 5), '-o', out()], /classifier|shape/);
    await writeFile(join(folder, 'classifier.onnx'), proto([tanh]).slice(0, 40));
    await refuses(['compose', points, '--guide', join(folder, 'classifier.onnx'), '-o', out()], /classifier\.onnx/);
    expect((await ratioflow(['compose', '-o', out()])).code).toBe(2);
    expect((await ratioflow(['compose', points, '--weight', 'much', '-o', out()])).code).toBe(2);
  });

  it('refuses a damaged bundle', async () => {
    const damaged = join(folder, 'damaged');
    await mkdir(damaged);
    for (const name of await readdir(points)) {
      if (name !== 'verify') await writeFile(join(damaged, name), (await readFile(join(points, name))).subarray(0, name === 'gradient.onnx' ? 100 : undefined));
    }
    await refuses(['compose', damaged, '-o', out()], /gradient\.onnx/);
  });
});
