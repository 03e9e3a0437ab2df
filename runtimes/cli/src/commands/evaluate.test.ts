/** `ratioflow evaluate` from files to figures, with an extractor whose one feature, the mean of an image, has a distance in closed form. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphBuilder, newModel, writeModel } from '@ratioflow/export';
import { open, writeNpy } from '@ratioflow/node';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeGaussianBundle } from '../testing/gaussian-bundle.js';
import { ratioflow } from '../testing/run-command.js';

let folder: string;
let bundle: string;
const at = (...names: string[]): string => join(folder, ...names);
const count = 40;
const grey = (images: number, base: number, pixels = 16): Float32Array => Float32Array.from({ length: images * pixels }, (_, i) => base + 0.3 * Math.sin(i * i));
const data = grey(50, -0.2);

/** Means of images as 256 levels, from black 0 to white 1. */
const meansOf = (values: ArrayLike<number>, pixels = 16): number[] => Array.from({ length: values.length / pixels }, (_, n) => {
  let sum = 0;
  for (let i = 0; i < pixels; i++) sum += Math.min(255, Math.max(0, Math.round((values[n * pixels + i]! + 1) * 127.5))) / 255;
  return sum / pixels;
});
/** Between two sets of numbers: (m₁ − m₂)² + (s₁ − s₂)². */
const distanceOf = (a: number[], b: number[]): number => {
  const moments = (values: number[]): [number, number] => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return [mean, Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1))];
  };
  const [[m, s], [n, t]] = [moments(a), moments(b)];
  return (m - n) ** 2 + (s - t) ** 2;
};

async function writeExtractor(name: string, shape: readonly (string | number)[], description: string, inputs = 1): Promise<void> {
  const builder = new GraphBuilder('means');
  const [first, ...others] = Array.from({ length: inputs }, (_, i) => builder.input(`x${i || ''}`, 'float32', [...shape]));
  builder.output('mean', builder.op('Flatten', [builder.op('GlobalAveragePool', [others.reduce((sum, other) => builder.op('Add', [sum, other]), first!)])]));
  await writeFile(at(`${name}.onnx`), writeModel(newModel(builder.graph)));
  await writeFile(at(`${name}.yaml`), description);
}

interface Result { readonly figures: Record<string, { mean: number; deviation: number | null; values: number[] }>; readonly manifest: { subject: Record<string, unknown>; extractor: { sha256: string }; reference: { count: number; extractor: string } } }
const resultOf = async (file: string): Promise<Result> => JSON.parse(await readFile(file, 'utf8')) as Result;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-evaluate-command-'));
  bundle = at('bundle');
  await writeGaussianBundle(bundle, [1, 4, 4]);
  await writeNpy(at('data.npy'), { shape: [50, 1, 4, 4], data });
  await writeExtractor('mean', ['N', 1, 4, 4], 'channels: 1\nsize: 4\n');
});
afterAll(() => rm(folder, { recursive: true }));

const evaluate = (subject: string, ...args: string[]): ReturnType<typeof ratioflow> => ratioflow(['evaluate', subject, '--cache', at('cache'), '--threads', '1', '--subset-size', '10', ...args]);

describe('ratioflow evaluate', () => {
  it('gives a bundle the distance in closed form, and says what it depends on', async () => {
    const { code, out, err } = await evaluate(bundle, '--reference', at('data.npy'), '--extractor', at('mean.onnx'), '--count', String(count), '--seed', '6', '-o', at('result.json'));
    expect([code, out.split('\n')[0]]).toEqual([0, `${count} samples from number 0`]);
    expect(err).toMatch(/40 samples: below 2048/);
    const model = await open(bundle);
    const { samples } = await model.sample({ seed: 6, count });
    await model.dispose();
    const { figures, manifest } = await resultOf(at('result.json'));
    const expected = distanceOf(meansOf(samples.data), meansOf(data));
    expect(expected).toBeGreaterThan(1e-4);
    expect(figures['frechetDistance']!.mean).toBeCloseTo(expected, 6);
    expect(Object.keys(figures).sort()).toEqual(['coverage', 'density', 'frechetDistance', 'kernelDistance', 'precision', 'recall']);
    const hash = createHash('sha256').update(await readFile(join(bundle, 'manifest.json'))).digest('hex');
    expect(manifest.subject).toMatchObject({ kind: 'bundle', seed: '6', manifestSha256: hash, ranges: [{ first: 0, count }] });
    expect(manifest.reference).toMatchObject({ count: 50, extractor: manifest.extractor.sha256 });
  });

  it('draws a guided bundle\'s samples by class, in turn, and says where they have none', async () => {
    const builder = new GraphBuilder('classifier');
    const pixels = builder.op('Flatten', [builder.input('x', 'float32', ['N', 1, 4, 4])], { axis: 1 });
    const towards = Float32Array.from({ length: 48 }, (_, i) => 3 * Math.cos(i * i));
    builder.output('logits', builder.op('MatMul', [pixels, builder.initializer('w', { dtype: 'float32', dims: [16, 3], data: new Uint8Array(towards.buffer) })]));
    await writeFile(at('guide.onnx'), writeModel(newModel(builder.graph)));
    expect((await ratioflow(['compose', bundle, '--guide', at('guide.onnx'), '--guide-range', 'none', '--scale', '2', '-o', at('guided')])).code).toBe(0);
    const evaluated = async (...args: string[]): Promise<{ distance: number; err: string; subject: Record<string, unknown> }> => {
      const { code, err } = await evaluate(at('guided'), '--reference', at('data.npy'), '--extractor', at('mean.onnx'), '--count', '20', '--first', '4', '-o', at('guided.json'), ...args);
      expect(code, err).toBe(0);
      const { figures, manifest } = await resultOf(at('guided.json'));
      return { distance: figures['frechetDistance']!.mean, err, subject: manifest.subject };
    };
    const none = await evaluated();
    expect(none.err).toContain('guided is guided by a classifier, and its samples are drawn without a class, as if it were not; --class gives them classes.');
    const beside = async (...args: string[]): Promise<string> => (await ratioflow(args)).err;
    expect(await beside('neighbours', at('guided'), '--data', at('data.npy'), '--count', '2', '-k', '1', '-o', at('near.csv'))).toContain('guided by a classifier, and its samples are drawn without a class');
    expect(await beside('score', at('guided'), at('data.npy'), '--calibrate')).toContain('guided by a classifier, and its samples to calibrate with are drawn without a class');
    expect(await beside('score', at('guided'), at('data.npy'))).not.toContain('without a class');
    const inTurn = await evaluated('--class', '2,0,1', '--scale', '1');
    expect(inTurn.err).not.toContain('without a class');
    expect(inTurn.subject).toMatchObject({ classes: [2, 0, 1], scale: 1 });
    await using model = await open(at('guided'));
    const { samples } = await model.sample({ first: 4, scale: 1, class: Array.from({ length: 20 }, (_, i) => [2, 0, 1][(4 + i) % 3]!) });
    expect(inTurn.distance).toBeCloseTo(distanceOf(meansOf(samples.data), meansOf(data)), 6);
    expect(Math.abs(inTurn.distance - none.distance)).toBeGreaterThan(1e-4);
    const { code, err } = await evaluate(bundle, '--reference', at('data.npy'), '--extractor', at('mean.onnx'), '--count', '20', '--class', '1');
    expect([code, err]).toEqual([1, expect.stringContaining('class and scale need a guided bundle')]);
  });

  it('takes the files that sample writes, grey ones and those with equal red, green and blue', async () => {
    expect((await ratioflow(['sample', bundle, '--count', String(count), '--seed', '6', '-o', `${at('samples')}/`])).code).toBe(0);
    const files = await readdir(at('samples'));
    expect([files.length, (await sharp(at('samples', files[0]!)).metadata()).channels]).toEqual([count, 1]);
    await sharp(at('samples', files[0]!)).toColourspace('srgb').png().toFile(at('rgb.png'));
    expect((await sharp(at('rgb.png')).metadata()).channels).toBe(3);
    await rename(at('rgb.png'), at('samples', files[0]!));
    const { code } = await evaluate(at('samples'), '--reference', at('data.npy'), '--extractor', at('mean.onnx'), '-o', at('files.json'));
    expect(code).toBe(0);
    expect((await resultOf(at('files.json'))).figures).toEqual((await resultOf(at('result.json'))).figures);
  });

  it('repeats on the next samples; prints JSON; compares with statistics that it saved', async () => {
    const saved = await evaluate(at('data.npy'), '--extractor', at('mean.yaml'), '--save', at('data.npz'));
    expect([saved.code, saved.out]).toEqual([0, `statistics in ${at('data.npz')}\n`]);
    const both = await evaluate(bundle, '--reference', at('data.npz'), '--extractor', at('mean.yaml'), '--count', '20', '--repeats', '2', '--json');
    expect(both.code).toBe(0);
    const { figures } = JSON.parse(both.out) as Result;
    const second = await evaluate(bundle, '--reference', at('data.npz'), '--extractor', at('mean.yaml'), '--count', '20', '--first', '20', '-o', at('second.json'));
    expect(second.code).toBe(0);
    const [a, b] = figures['frechetDistance']!.values as [number, number];
    expect((await resultOf(at('second.json'))).figures['frechetDistance']!.mean).toBe(b);
    expect(figures['frechetDistance']!.deviation).toBeCloseTo(Math.abs(a - b) / Math.SQRT2, 12);
    const shown = await evaluate(bundle, '--reference', at('data.npz'), '--extractor', at('mean.yaml'), '--count', '20', '--repeats', '2');
    expect(shown.out).toContain(`Fréchet distance  ${((a + b) / 2).toPrecision(6)} ± ${figures['frechetDistance']!.deviation!.toPrecision(2)}`);
  });

  it('shows the effect of refinement: each number of steps as if asked for alone, and a picture', async () => {
    const curve = ['--reference', at('data.npy'), '--extractor', at('mean.yaml'), '--count', '20'];
    const { code, out } = await evaluate(bundle, ...curve, '--refine-curve', '0,3,10', '--steps', '5', '-o', at('curve.json'), '--plot', at('curve.png'));
    expect(code).toBe(0);
    const points = JSON.parse(await readFile(at('curve.json'), 'utf8')) as { kappa: number; evaluation: Result }[];
    expect(points.map(({ kappa }) => kappa)).toEqual([0, 3, 10]);
    await evaluate(bundle, ...curve, '--steps', '5', '--refine', '3', '-o', at('three.json'));
    const three = await resultOf(at('three.json'));
    expect(points[1]!.evaluation.figures).toEqual(three.figures);
    expect(points[1]!.evaluation.manifest.subject).toEqual(three.manifest.subject);
    expect(three.manifest.subject).toMatchObject({ K: 5, kappa: 3 });
    const model = await open(bundle);
    const { samples } = await model.sample({ count: 20, K: 5, kappa: 10 });
    await model.dispose();
    expect(points[2]!.evaluation.figures['frechetDistance']!.mean).toBeCloseTo(distanceOf(meansOf(samples.data), meansOf(data)), 6);
    expect(out.split('\n')[2]).toMatch(new RegExp(`^3 +${three.figures['frechetDistance']!.mean.toPrecision(6)} `));
    expect((await readFile(at('curve.png'))).subarray(1, 4).toString()).toBe('PNG');
  });

  it.each<[string, string[], string | RegExp]>([
    ['steps for what has no flow', ['data.npy', '--reference', 'data.npy', '--extractor', 'mean.onnx', '--refine', '3'], /data\.npy is no bundle, so it has no flow whose steps could be set/],
    ['a curve that falls', ['bundle.dir', '--reference', 'data.npy', '--extractor', 'mean.onnx', '--refine-curve', '5,3'], 'The refinement steps of a curve are 5, 3; allowed: two or more integers from 0, rising.'],
    ['a plot without a curve', ['data.npy', '--reference', 'data.npy', '--extractor', 'mean.onnx', '--plot', 'x.png'], 'A plot is one of a curve'],
    ['two inputs', ['data.npy', '--reference', 'data.npy', '--extractor', 'two.onnx'], /two\.onnx has 2 inputs \(x, x1\); an extractor takes images alone/],
    ['an extractor for other images', ['data.npy', '--reference', 'data.npy', '--extractor', 'wide.onnx'], /wide\.onnx does not take images \[32, 1, 4, 4\], prepared as \[32, 1, 4, 4\], at its input x/],
    ['a model that is none', ['data.npy', '--reference', 'data.npy', '--extractor', 'broken.onnx'], /broken\.onnx/],
    ['a model without description', ['data.npy', '--reference', 'data.npy', '--extractor', 'alone.onnx'], /alone\.onnx has no description: write .*alone\.yaml/],
    ['images of another size', ['large.npy', '--reference', 'data.npy', '--extractor', 'mean.onnx'], /mean\.onnx takes images of 4 × 4, these have 8 × 8/],
    ['a reference of another size', ['data.npy', '--reference', 'large.npy', '--extractor', 'mean.onnx'], /mean\.onnx takes images of 4 × 4, these have 8 × 8/],
    ['images in colours', ['colours.npy', '--reference', 'data.npy', '--extractor', 'mean.onnx'], /mean\.onnx takes images of 1 channel, these have 3: \[3, 4, 4\]/],
    ['digits by an extractor for others', ['mnist:test', '--count', '4', '--reference', 'data.npy', '--extractor', 'mean.onnx'], /mean\.onnx takes images of 4 × 4, these have 28 × 28/],
    ['statistics of another dimension', ['large.npy', '--reference', 'raw.npz', '--extractor', 'raw'], /raw makes 64 features, the reference .*raw\.npz has 16/],
    ['one reference for two extractors', ['data.npy', '--reference', 'raw.npz', '--extractor', 'raw', '--fdrl-compat', 'mean.yaml'], /raw\.npz was made with another extractor \(hash [0-9a-f]{12}\) than .*mean\.yaml \([0-9a-f]{12}\)/],
    ['statistics of another extractor', ['data.npy', '--reference', 'raw.npz', '--extractor', 'mean.yaml'], /raw\.npz was made with another extractor \(hash [0-9a-f]{12}\) than .*mean\.yaml \([0-9a-f]{12}\)/],
    ['statistics that are none', ['data.npy', '--reference', 'broken.npz', '--extractor', 'mean.yaml'], /broken\.npz is no \.npz archive that can be read: .*[^.]\.\n$/],
    ['fewer samples than asked for', ['data.npy', '--reference', 'data.npy', '--extractor', 'mean.yaml', '--count', '60'], 'has 50 samples from number 0 on, 60 were asked for'],
    ['files that are no images', ['damaged.dir', '--reference', 'data.npy', '--extractor', 'mean.onnx'], /damaged: 0\.png is no image that can be read/],
    ['files in colours', ['colours.dir', '--reference', 'data.npy', '--extractor', 'mean.onnx'], /colours: red\.png has colours; needed: grey images of 1 channel, which the extractor takes/],
    ['what is not there', ['nothing.npy', '--reference', 'data.npy', '--extractor', 'mean.yaml'], /nothing\.npy cannot be read: there is no such file/],
    ['figures in place of a folder', ['data.npy', '--reference', 'data.npy', '--extractor', 'mean.yaml', '-o', 'cache.dir'], /Figures and manifest cannot be written to .*cache: the name must end in \.json/],
    ['figures in place of an extractor', ['data.npy', '--reference', 'data.npy', '--extractor', 'described.json', '-o', 'described.json'], /Figures and manifest cannot be written to .*described\.json: it is an input, which would be lost/],
    ['no reference', ['data.npy', '--extractor', 'mean.yaml'], 'Without a reference there is nothing to compare with'],
  ])('refuses %s, naming both sides; nothing is overwritten', async (_, [subject, ...args], message) => {
    await writeExtractor('two', ['N', 1, 4, 4], 'channels: 1\n', 2);
    await writeExtractor('wide', ['N', 1, 8, 8], 'channels: 1\n');
    for (const name of ['broken.onnx', 'alone.onnx', 'broken.npz']) await writeFile(at(name), 'x');
    await writeFile(at('broken.yaml'), 'channels: 1\n');
    for (const name of ['damaged', 'colours']) await mkdir(at(name), { recursive: true });
    await writeFile(at('damaged', '0.png'), 'x');
    await sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } }).png().toFile(at('colours', 'red.png'));
    await writeNpy(at('large.npy'), { shape: [9, 1, 8, 8], data: grey(9, 0, 64) });
    await writeNpy(at('colours.npy'), { shape: [9, 3, 4, 4], data: grey(9, 0, 48) });
    await evaluate(at('data.npy'), '--extractor', 'raw', '--save', at('raw.npz'));
    await writeFile(at('described.json'), '{ "model": "mean.onnx", "channels": 1, "size": 4 }');
    await writeFile(at('kept.json'), 'kept');
    await writeFile(at('kept.npz'), 'kept');
    const before = await readdir(folder);
    const path = (arg: string): string => (/^[a-z]+\.(npy|npz|onnx|yaml|json)$/.test(arg) ? at(arg) : arg === 'bundle.dir' ? bundle : arg.endsWith('.dir') ? at(arg.slice(0, -4)) : arg);
    const { code, out, err } = await evaluate(path(subject!), '-o', at('kept.json'), ...args.map(path), ...(args.includes('--reference') && !args.includes('--refine-curve') ? ['--save', at('kept.npz')] : []));
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/\n\s+at /);
    expect([await readFile(at('kept.json'), 'utf8'), await readFile(at('kept.npz'), 'utf8')]).toEqual(['kept', 'kept']);
    expect(await readdir(folder)).toEqual(before);
  });
});
