import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphBuilder, classifierModel, newModel, writeModel } from '@ratioflow/export';
import { readNpy, writeNpy } from '@ratioflow/node';
import { fillFlowNormals } from '@ratioflow/sdk';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { meanAt, spread, writeGaussianBundle } from '../testing/gaussian-bundle.js';
import { ratioflow } from '../testing/run-command.js';

let folder: string;
let bundle: string;
let images: string;
const inFolder = (name: string): string => join(folder, name);
const bytes = Uint8Array.from({ length: 5 * 64 }, (_, i) => (37 * i) % 256);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-translate-'));
  [bundle, images] = [inFolder('bundle'), inFolder('images.npy')];
  await writeGaussianBundle(bundle, [1, 8, 8], { prior: { kind: 'source' } });
  await writeNpy(images, { shape: [5, 1, 8, 8], data: bytes });
});
afterAll(() => rm(folder, { recursive: true }));

/** x_{k+1} = x_k + η (x_k − (x_k − m) / s²) + ν ξ_k in double, clamped at the end. */
function expected(seed: number): number[] {
  let x = Array.from(bytes, (byte) => byte / 127.5 - 1);
  const noise = new Float32Array(40 * bytes.length);
  fillFlowNormals(noise, { seed, step: 0, steps: 40 }, { count: 5, elements: 64 });
  for (let k = 0; k < 40; k++) x = x.map((value, i) => value + 0.1 * (value - (value - meanAt(i % 64, 64)) / spread ** 2) + 0.02 * noise[k * bytes.length + i]!);
  return x.map((value) => Math.min(1, Math.max(-1, value)));
}

describe('ratioflow translate', () => {
  it('is the flow from the images, in any batch', async () => {
    for (const batch of ['2', '64']) {
      const out = inFolder(`out-${batch}.npy`);
      expect(await ratioflow(['translate', bundle, images, '--seed', '3', '--batch', batch, '-o', out])).toEqual({ code: 0, err: '', out: `5 images of ${images} in ${out}, on cpu\n` });
      const { shape, data } = await readNpy(out);
      expect(shape).toEqual([5, 1, 8, 8]);
      const formula = expected(3);
      expect(Math.max(...(data as Float32Array).map((value, i) => Math.abs(value - formula[i]!)))).toBeLessThan(1e-4);
    }
  });

  it('fills a folder, draws pairs, and takes its own images again', async () => {
    const out = inFolder('made/');
    expect((await ratioflow(['translate', bundle, images, '--limit', '3', '--pairs', inFolder('pairs.png'), '--zoom', '1', '-o', out])).code).toBe(0);
    expect(await readdir(out)).toEqual(['000000.png', '000001.png', '000002.png']);
    expect(await sharp(inFolder('pairs.png')).metadata()).toMatchObject({ width: 6 * 10 - 2, height: 8 });
    const again = await ratioflow(['translate', bundle, join(out, '000002.png'), join(out, '000000.png'), '-o', inFolder('grid.png')]);
    expect([again.code, again.out]).toEqual([0, `2 images of 2 files in ${inFolder('grid.png')}, on cpu\n`]);
  });

  it('leaves a folder alone when an image does not fit, however late it comes', async () => {
    await sharp(Buffer.alloc(64), { raw: { width: 8, height: 8, channels: 1 } }).png().toFile(inFolder('fits.png'));
    await sharp(Buffer.alloc(81), { raw: { width: 9, height: 9, channels: 1 } }).png().toFile(inFolder('large.png'));
    const many = Array.from({ length: 300 }, () => inFolder('fits.png'));
    const { code, err } = await ratioflow(['translate', bundle, ...many, inFolder('large.png'), '--steps', '0', '--refine', '0', '-o', inFolder('untouched/')]);
    expect([code, err]).toEqual([1, expect.stringContaining('large.png has 9 × 9 pixels; needed: 8 × 8')]);
    await expect(readdir(inFolder('untouched'))).rejects.toThrow('ENOENT');
  });

  it('writes over no image that it reads', async () => {
    const own = inFolder('own/');
    expect((await ratioflow(['translate', bundle, images, '--limit', '2', '-o', own])).code).toBe(0);
    const before = await sharp(join(own, '000001.png')).raw().toBuffer();
    for (const args of [[own, '-o', own], [join(own, '000001.png'), '-o', join(own, '000001.png')], [own, '--film', '-o', join(own, '000000.png')], [images, '-o', images]]) {
      const { code, out, err } = await ratioflow(['translate', bundle, ...args]);
      expect([code, out, err]).toEqual([1, '', expect.stringMatching(/cannot be written to .*: it is an input, which would be lost/)]);
    }
    expect(await sharp(join(own, '000001.png')).raw().toBuffer()).toEqual(before);
  });

  it('takes no option that would do nothing', async () => {
    for (const [args, message] of [[['--film', '--pairs', 'p.png'], 'pairs'], [['--film', '--batch', '2'], 'batch'], [['--frames', '5'], '--frames are those of a film: give --film, too.']] as const) {
      const { code, out, err } = await ratioflow(['translate', bundle, images, ...args, '-o', inFolder('ignored.png')]);
      expect([code > 0, out, err]).toEqual([true, '', expect.stringContaining(message)]);
    }
    await expect(readdir(folder)).resolves.not.toContain('ignored.png');
  });

  it('writes no translations of which none is finite', async () => {
    for (const more of [[], ['--film']]) {
      const { code, err } = await ratioflow(['translate', bundle, images, ...more, '--eta', '1e38', '-o', inFolder('diverged.png')]);
      expect([code, err]).toEqual([1, expect.stringContaining('error: All of 5 samples hold NaN or infinite values')]);
    }
    await expect(readdir(folder)).resolves.not.toContain('diverged.png');
  });

  it('films', async () => {
    expect((await ratioflow(['translate', bundle, images, '--film', '--limit', '2', '--frames', '5', '--zoom', '1', '-o', inFolder('film.png')])).code).toBe(0);
    expect(await sharp(inFolder('film.png')).metadata()).toMatchObject({ width: 5 * 10 - 2, height: 2 * 10 - 2 });
  });

  it('lets a classifier judge, fed as its metadata say', async () => {
    // Classes by the mean of the right quarter, in values from 0 to 1: below or above one half.
    const builder = new GraphBuilder('halves');
    const x = builder.input('x', 'float32', ['N', 1, 8, 8]);
    const right = builder.op('Slice', [x, builder.ints([6]), builder.ints([8]), builder.ints([3])]);
    const mean = builder.op('Sub', [builder.op('Flatten', [builder.op('GlobalAveragePool', [right])]), builder.scalar(0.5, x)]);
    builder.output('out', builder.op('Concat', [builder.op('Neg', [mean]), mean], { axis: 1 }));
    await writeFile(inFolder('halves.onnx'), writeModel(classifierModel(newModel(builder.graph), { classNames: ['dark', 'light'], inputRange: [0, 1] })));
    const { code, out } = await ratioflow(['translate', bundle, images, '--steps', '0', '--refine', '0', '--judge', inFolder('halves.onnx'), '-o', inFolder('judged.npy')]);
    expect(code).toBe(0);
    const { data } = await readNpy(inFolder('judged.npy'));
    const light = Array.from({ length: 5 }, (_, n) => (data as Float32Array).slice(64 * n, 64 * n + 64).reduce((sum, value, i) => sum + (i % 8 < 6 ? 0 : value), 0)).filter((sum) => sum > 0).length;
    expect([1, 2, 3, 4]).toContain(light);
    const shares = [['light', light], ['dark', 5 - light]] as const;
    expect(out).toContain(`judged by ${inFolder('halves.onnx')}: ${shares.toSorted(([, a], [, b]) => b - a).map(([name, n]) => `${name} ${(20 * n).toFixed(1)} %`).join(', ')}\n`);
    // Only the largest number counts: probabilities and one of several outputs are read alike.
    const [scores] = builder.graph.outputs;
    builder.output('likely', builder.op('Softmax', [scores!], { axis: 1 }));
    await writeFile(inFolder('both.onnx'), writeModel(newModel(builder.graph)));
    const judged = async (...args: string[]): Promise<string> => (({ out: text, err }) => text.split('\n')[1] ?? err)(await ratioflow(['translate', bundle, images, '--steps', '0', '--refine', '0', ...args, '-o', inFolder('judged.npy')]));
    expect(await judged('--judge', inFolder('both.onnx'), '--judge-output', 'likely')).toBe(`judged by ${inFolder('both.onnx')}: ${shares.map(([name, n]) => [name === 'light' ? '1' : '0', n] as const).toSorted(([, a], [, b]) => b - a).map(([name, n]) => `${name} ${(20 * n).toFixed(1)} %`).join(', ')}`);
    const failed = async (...args: string[]): Promise<string> => (await ratioflow(['translate', bundle, images, ...args, '-o', inFolder('judged.npy')])).err;
    expect(await failed('--judge', inFolder('both.onnx'))).toMatch(/several outputs: .* \(--judge-output; output in the library\)/);
    expect(await failed('--judge-output', 'likely')).toMatch(/give --judge classifier\.onnx, too/);
    builder.output('nan', builder.op('Mul', [scores!, builder.scalar(NaN, scores!)]));
    await writeFile(inFolder('nan.onnx'), writeModel(newModel(builder.graph)));
    expect(await failed('--judge', inFolder('nan.onnx'), '--judge-output', 'nan')).toMatch(/The classifier gives NaN, NaN for a random sample/);
    // The logarithm of what is below 0.1 on average: of a black image, not of those that are tried first.
    builder.output('log', builder.op('Mul', [builder.op('Log', [builder.op('Add', [mean, builder.scalar(0.4, x)])]), scores!]));
    await writeFile(inFolder('log.onnx'), writeModel(newModel(builder.graph)));
    await writeNpy(inFolder('black.npy'), { shape: [2, 1, 8, 8], data: new Uint8Array(128) });
    const black = await ratioflow(['translate', bundle, inFolder('black.npy'), '--steps', '0', '--refine', '0', '--judge', inFolder('log.onnx'), '--judge-output', 'log', '-o', inFolder('judged.npy')]);
    expect([black.code, black.err]).toEqual([1, expect.stringMatching(/^error: The judge .*log\.onnx gives NaN for a sample/)]);
    const wrong = new GraphBuilder('wrong');
    wrong.output('out', wrong.op('Flatten', [wrong.input('x', 'float32', ['N', 64])]));
    await writeFile(inFolder('wrong.onnx'), writeModel(newModel(wrong.graph)));
    const refused = await ratioflow(['translate', bundle, images, '--judge', inFolder('wrong.onnx'), '-o', inFolder('none.npy')]);
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/^error: .*does not take samples of shape \[1, 8, 8\]/)]);
  });

  it.each([
    [['absent', '-o', 'x.npy'], 'absent is not there: name a folder of images'],
    [['mnist:test', '-o', 'x.npy'], 'mnist (test) has samples of [1, 28, 28]; needed: [1, 8, 8].'],
    [['images.npy', '-o', 'x.jpg'], 'The output x.jpg ends in .jpg; allowed: .png, .npy, or a folder'],
    [['images.npy', '-o', 'x.npy', '--pairs', 'y.npy'], 'The picture of pairs y.npy must end in .png.'],
    [['images.npy', '--film', '-o', 'x.mp4'], 'Frames of samples [1, 8, 8] are one file; the output x.mp4 must end in .png, .gif, .webp or .npy.'],
  ])('refuses %j, and writes nothing', async ([source, ...args], message) => {
    const before = await readdir(folder);
    const result = await ratioflow(['translate', bundle, source === 'images.npy' ? images : source!, ...args]);
    expect([result.code, result.out]).toEqual([1, '']);
    expect(result.err).toContain(message);
    expect(await readdir(folder)).toEqual(before);
  });

  it('says that a bundle with a prior does not translate', async () => {
    await writeGaussianBundle(inFolder('generating'), [1, 8, 8]);
    const { code, err } = await ratioflow(['translate', inFolder('generating'), images, '-o', inFolder('none.npy')]);
    expect([code, err]).toEqual([1, expect.stringContaining('gaussian starts from its prior (gaussian), not from images')]);
  });
});
