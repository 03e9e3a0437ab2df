/** Evaluation from files to figures: an extractor whose features are known, images of every form, the cache, and what does not fit. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { GraphBuilder, newModel, writeModel } from '@ratioflow/export';
import { encodePng, writeNpy } from '@ratioflow/node';
import { normals, type Tensor } from '@ratioflow/sdk';
import { encodeNpy } from '@ratioflow/sdk/npy';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evaluate, type EvaluateOptions } from './evaluate.js';
import { openExtractor } from './extractor.js';
import { readNpz, writeNpz } from './npz.js';
import { openSubject } from './subject.js';

let folder: string;
const at = (...names: string[]): string => join(folder, ...names);
const count = 80;

/** Grey images 4 × 4 whose bytes are spread over the whole range. */
const bytes = (seed: number, channels = 1): Uint8Array => Uint8Array.from(normals({ seed, purpose: 4, step: 0, count, elements: channels * 16 }), (z) => Math.min(255, Math.max(0, Math.round(128 + 50 * z))));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-evaluate-'));
  // Features: the mean of each channel, [N, 3, 1, 1].
  const builder = new GraphBuilder('means');
  const image = builder.input('image', 'float32', ['N', 3, 'H', 'W']);
  builder.output('means', builder.op('GlobalAveragePool', [image]));
  builder.output('places', builder.op('Add', [image, image]));
  await writeFile(at('means.onnx'), writeModel(newModel(builder.graph)));
  await writeFile(at('means.yaml'), 'output: means\nrange: [0, 255]\nmean: [0, 10, 20]\nstd: [1, 2, 4]\n');
  await writeFile(at('places.json'), '{ "model": "means.onnx", "output": "places", "pooling": "max", "range": [-1, 1], "channels": 3 }');
  await writeNpy(at('bytes.npy'), { shape: [count, 1, 4, 4], data: bytes(1) });
  await writeNpy(at('floats.npy'), { shape: [count, 1, 4, 4], data: Float32Array.from(bytes(1), (byte) => byte / 127.5 - 1) });
  await writeNpy(at('other.npy'), { shape: [count, 1, 4, 4], data: bytes(2) });
  await writeNpy(at('colours.npy'), { shape: [count, 3, 4, 4], data: bytes(3, 3) });
  await mkdir(at('images'));
  const values = Float32Array.from(bytes(1), (byte) => byte / 127.5 - 1);
  for (let i = 0; i < count; i++) await writeFile(at('images', `${String(i).padStart(3, '0')}.png`), await encodePng({ shape: [1, 1, 4, 4], data: values.subarray(i * 16, (i + 1) * 16) }));
});
afterAll(() => rm(folder, { recursive: true }));

const judge = (options: Partial<EvaluateOptions>): ReturnType<typeof evaluate> => evaluate({ subject: at('bytes.npy'), reference: at('other.npy'), extractor: at('means.yaml'), threads: 1, cache: at('cache'), ...options });

describe('features', () => {
  it('by a description: range, mean and std of each channel, grey repeated, [N, D, 1, 1]', async () => {
    const extractor = await openExtractor(at('means.onnx'), { threads: 1 });
    const source = await openSubject(at('bytes.npy'), { channels: extractor.channels });
    const { value: images } = await source.read(0, 5).next() as { value: { shape: number[]; data: Float32Array } };
    const features = await extractor.features(images);
    expect(features.shape).toEqual([5, 3]);
    for (let n = 0; n < 5; n++) {
      const mean = bytes(1).subarray(n * 16, (n + 1) * 16).reduce((a, b) => a + b, 0) / 16;
      [mean, (mean - 10) / 2, (mean - 20) / 4].forEach((value, c) => { expect(features.data[n * 3 + c]).toBeCloseTo(value, 3); });
    }
    await source.close();
    await extractor.dispose();
  });

  it('with places, pooled; rounded to bytes unless told otherwise', async () => {
    const data = Float32Array.of(0.001, -0.5, 0.3, 0.2);
    for (const quantise of [true, false]) {
      const extractor = await openExtractor(at('places.json'), { threads: 1, quantise });
      const { shape, data: features } = await extractor.features({ shape: [1, 1, 2, 2], data });
      expect(shape).toEqual([1, 3]);
      const expected = quantise ? 2 * (Math.round((0.3 + 1) * 127.5) / 127.5 - 1) : 0.6;
      for (const value of features) expect(value).toBeCloseTo(expected, 6);
      await extractor.dispose();
    }
  });

  it('of a network with a fixed batch, whose last one is filled up; one mean for all channels', async () => {
    const builder = new GraphBuilder('fixed');
    builder.output('means', builder.op('GlobalAveragePool', [builder.input('image', 'float32', [3, 3, 4, 4])]));
    await writeFile(at('fixed.onnx'), writeModel(newModel(builder.graph)));
    await writeFile(at('fixed.yaml'), 'batch: 3\nrange: [0, 255]\nmean: 10\nstd: 2\n');
    const extractor = await openExtractor(at('fixed.onnx'), { threads: 1 });
    const data = Float32Array.from(bytes(1).subarray(0, 80), (byte) => byte / 127.5 - 1);
    const { shape, data: features } = await extractor.features({ shape: [5, 1, 4, 4], data });
    expect(shape).toEqual([5, 3]);
    for (let n = 0; n < 5; n++) expect(features[3 * n + 1]).toBeCloseTo((bytes(1).subarray(16 * n, 16 * n + 16).reduce((a, b) => a + b, 0) / 16 - 10) / 2, 3);
    await extractor.dispose();
  });

  it('are the same of bytes, floats and files', async () => {
    const [a, b, c] = await Promise.all(['bytes.npy', 'floats.npy', 'images'].map((subject) => judge({ subject: at(subject) })));
    expect(b!.figures).toEqual(a!.figures);
    expect(c!.figures).toEqual(a!.figures);
    expect(a!.figures['frechetDistance']!.mean).toBeGreaterThan(0);
  });
});

describe('figures', () => {
  it('of raw values, with moments computed by hand', async () => {
    const points = normals({ seed: 1, purpose: 4, step: 0, count: 50, elements: 1 });
    const mean = points.reduce((a, b) => a + b, 0) / 50;
    const deviation = Math.sqrt(points.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 49);
    await writeNpy(at('points.npy'), { shape: [50, 1], data: points });
    await writeNpz(at('unit.npz'), new Map([['mu', { shape: [1], data: Float64Array.of(3) }], ['sigma', { shape: [1, 1], data: Float64Array.of(4) }]]));
    const { figures, warnings, manifest } = await judge({ subject: at('points.npy'), reference: at('unit.npz'), extractor: 'raw' });
    expect(figures['frechetDistance']!.mean).toBeCloseTo((mean - 3) ** 2 + (deviation - 2) ** 2, 10);
    expect(Object.keys(figures)).toEqual(['frechetDistance']);
    expect(manifest['reference']).toEqual({ name: at('unit.npz'), dimension: 1, extractor: 'unknown', gaussian: createHash('sha256').update(Buffer.from(Float64Array.of(3, 4).buffer)).digest('hex') });
    expect(warnings.join(' ')).toMatch(/50 samples: below 2048.*no features.*which extractor/);
  });

  it('of the part of an array that a block names', async () => {
    const part = await judge({ subject: `{name: npy, path: ${at('bytes.npy')}, range: [10, 50]}` });
    const same = await judge({ first: 10, count: 40 });
    expect([part.ranges[0]!.count, part.figures]).toEqual([40, same.figures]);
  });

  it('of few samples: those for which there are enough, and why not the others', async () => {
    const four = await judge({ count: 4, subsetSize: 2 });
    expect(Object.keys(four.figures)).toEqual(['frechetDistance', 'kernelDistance', 'precision', 'recall']);
    expect(four.warnings.join(' ')).toContain('No density and coverage: their 5 neighbours need more than 5 samples of each side, 4 are compared. Take more samples.');
    const three = await judge({ count: 3, subsetSize: 2 });
    expect(Object.keys(three.figures)).toEqual(['frechetDistance', 'kernelDistance']);
    expect(three.warnings.join(' ')).toContain('No precision and recall: their 3 neighbours need more than 3 samples of each side, 3 are compared. Take more samples, or fewer neighbours.');
    expect(Object.keys((await judge({ count: 3, subsetSize: 2, neighbours: 2 })).figures)).toContain('recall');
  });

  it('over several ranges: mean, deviation, and each range as if alone', async () => {
    const { figures, ranges, manifest } = await judge({ count: 40, repeats: 2, subsetSize: 20, subsets: 4 });
    const alone = await judge({ count: 40, first: 40, subsetSize: 20, subsets: 4 });
    expect(ranges.map(({ first }) => first)).toEqual([0, 40]);
    expect(figures['frechetDistance']!.values[1]).toBe(alone.figures['frechetDistance']!.mean);
    const [a, b] = figures['precision']!.values as [number, number];
    expect(figures['precision']!.deviation).toBeCloseTo(Math.abs(a - b) / Math.SQRT2, 12);
    expect(manifest).toMatchObject({ subject: { kind: 'array', ranges: [{ first: 0, count: 40 }, { first: 40, count: 40 }] }, settings: { kernel: { subsets: 4, subsetSize: 20 } } });
    await expect(judge({ count: 50, repeats: 2 })).rejects.toThrow(/has 30 samples from number 50 on, 50 were asked for/);
  });

  it('of the second protocol: not rounded, its own extractor', async () => {
    await writeNpy(at('fine.npy'), { shape: [count, 1, 4, 4], data: normals({ seed: 5, purpose: 4, step: 0, count, elements: 16 }).map((z) => Math.tanh(z) / 200) });
    const { figures, manifest } = await judge({ subject: at('fine.npy'), reference: at('fine.npy'), fdrlCompat: at('means.yaml') });
    expect(figures['fdrl-compat']!.mean).toBeCloseTo(0, 9);
    expect(figures['frechetDistance']!.mean).toBeCloseTo(0, 9);
    const against = await judge({ subject: at('fine.npy'), fdrlCompat: at('means.yaml') });
    expect(against.figures['fdrl-compat']!.mean).not.toBe(against.figures['frechetDistance']!.mean);
    await writeNpz(at('compat.npz'), new Map([['mu', { shape: [3], data: new Float64Array(3) }], ['sigma', { shape: [3, 3], data: new Float64Array(9) }]]));
    const unknown = await judge({ fdrlCompat: at('means.yaml'), fdrlReference: at('compat.npz') });
    expect(unknown.warnings).toContain(`${at('compat.npz')} does not say which extractor made it; only its dimension could be checked against ${at('means.yaml')}.`);
    expect(manifest['fdrlCompat']).toMatchObject({ extractor: { description: { quantise: false } } });
  });

  it('takes statistics from the cache, until the data change; saved ones work like the data', async () => {
    const before = await judge({});
    const messages: string[] = [];
    const again = await judge({ onMessage: (message) => messages.push(message), save: at('saved.npz') });
    expect(messages.join()).toMatch(/Statistics of .*other\.npy taken from/);
    expect(again.figures).toEqual(before.figures);
    expect((await judge({ subject: at('other.npy'), reference: at('saved.npz') })).figures['frechetDistance']!.mean).toBeCloseTo(before.figures['frechetDistance']!.mean, 8);
    for (const name of await readdir(at('cache'))) await writeFile(at('cache', name), 'damaged');
    expect((await judge({ onMessage: (message) => messages.push(message) })).figures).toEqual(before.figures);
    expect(messages.join()).toMatch(/is no \.npz archive that can be read.*made anew/);
    await writeNpy(at('changed.npy'), { shape: [count, 1, 4, 4], data: bytes(2) });
    const first = await judge({ reference: at('changed.npy') });
    await writeNpy(at('changed.npy'), { shape: [count, 1, 4, 4], data: bytes(7) });
    expect((await judge({ reference: at('changed.npy') })).figures).not.toEqual(first.figures);
  });

  it('takes statistics of others: features in double, whatever their `about` is', async () => {
    await judge({ save: at('ours.npz') });
    const arrays = await readNpz(at('ours.npz'), ['mu', 'sigma', 'features']);
    const features = arrays.get('features')!;
    const about = { shape: [2], data: Uint8Array.of(1, 0) };
    await writeNpz(at('theirs.npz'), new Map([...arrays, ['features', { ...features, data: Float64Array.from(features.data as Float32Array) }], ['about', about]]));
    // Booleans, which we do not read: the type in the header, and the checksums.
    const [ours, theirs] = [encodeNpy(about), encodeNpy(about)].map((content, i) => Buffer.from(Buffer.from(content).toString('latin1').replace('|u1', i ? '|b1' : '|u1'), 'latin1')) as [Buffer, Buffer];
    const checksum = (content: Buffer): string => Buffer.from(Uint32Array.of(crc32(content)).buffer).toString('latin1');
    const file = (await readFile(at('theirs.npz'))).toString('latin1').replace(ours.toString('latin1'), theirs.toString('latin1')).replaceAll(checksum(ours), checksum(theirs));
    await writeFile(at('theirs.npz'), Buffer.from(file, 'latin1'));
    const { figures, manifest } = await judge({ subject: at('other.npy'), reference: at('theirs.npz') });
    expect(manifest['reference']).toMatchObject({ extractor: 'unknown' });
    expect(figures).toEqual((await judge({ subject: at('other.npy'), reference: at('ours.npz') })).figures);
  });

  it('takes nothing from the cache for other data of the same name, size and time', async () => {
    const write = async (form: string, seed: number): Promise<string> => {
      const path = form === 'array' ? at('twin.npy') : at('twins');
      const values = bytes(seed);
      if (form === 'array') await writeNpy(path, { shape: [count, 1, 4, 4], data: values });
      await mkdir(at('twins'), { recursive: true });
      // Of equal size whatever they show, being stored without compression.
      for (let i = 0; i < 4; i++) {
        const file = at('twins', `${i}.png`);
        await sharp(values.subarray(16 * i, 16 * i + 16), { raw: { width: 4, height: 4, channels: 1 } }).png({ compressionLevel: 0 }).toFile(file);
        await utimes(file, 1e9, 1e9);
      }
      if (form === 'array') await utimes(path, 1e9, 1e9);
      return path;
    };
    for (const form of ['array', 'folder']) {
      const few = { subsetSize: 2, manifoldSamples: 2 };
      const first = await judge({ reference: await write(form, 21), ...few });
      const second = await judge({ reference: await write(form, 22), ...few });
      expect(second.figures['frechetDistance']).not.toEqual(first.figures['frechetDistance']);
    }
  });
});

describe('refuses', () => {
  it.each<[string, () => Partial<EvaluateOptions>, RegExp]>([
    ['an extractor without description', () => ({ extractor: at('bare.onnx') }), /bare\.onnx has no description: write .*bare\.yaml/],
    ['an output that is not there', () => ({ extractor: at('wrong-output.yaml') }), /means\.onnx has no output "logits", which its description names; it has means, places/],
    ['an unknown field', () => ({ extractor: at('misspelt.yaml') }), /misspelt\.yaml describes no extractor: .*resise/],
    ['images of another size', () => ({ extractor: at('sized.yaml') }), /takes images of 8 × 8, these have 4 × 4/],
    ['images of another colour', () => ({ extractor: at('grey.yaml'), subject: at('colours.npy') }), /takes images of 1 channel, these have 3/],
    ['a network that does not take them', () => ({ extractor: at('grey.yaml') }), /does not take images \[32, 1, 4, 4\].*at its input image/],
    ['features with places', () => ({ extractor: at('unpooled.yaml') }), /returned features of shape \[32, 3, 4, 4\].*pooling/],
    ['weights that are missing', () => ({ extractor: at('outside.yaml') }), /outside\.onnx keeps weights in .*lost\.bin, which cannot be read: .*Put the file of that name beside it/],
    ['a network of another type', () => ({ extractor: at('whole.yaml') }), /whole\.onnx does not take images .*Extractors take float32 and return float32 or float64: convert the model/],
    ['points for an extractor of images', () => ({ subject: at('flat.npy') }), /takes images; these samples have the shape \[2\]/],
    ['statistics of another extractor', () => ({ reference: at('by-raw.npz') }), /by-raw\.npz was made with another extractor \(hash .*\) than .*means\.yaml/],
    ['statistics of another dimension', () => ({ reference: at('five.npz') }), /makes 3 features, the reference .*five\.npz has 5/],
    ['statistics that lack sigma', () => ({ reference: at('half.npz') }), /half\.npz holds no statistics: it lacks sigma/],
    ['channels that come last', () => ({ subject: at('last.npy'), extractor: 'raw' }), /last\.npy: images of shape \[6, 6, 3\] look as if their channels came last/],
    ['features that are not finite', () => ({ reference: at('nan.npz') }), /nan\.npz: feature 1 of sample 2 is NaN\. Correct its array features, or leave it out/],
    ['features of one sample', () => ({ reference: at('single.npz') }), /single\.npz: the features have the shape \[1, 3\], expected \[N, 3\] with N from 2/],
    ['a matrix that is no covariance', () => ({ reference: at('indefinite.npz') }), /sigma of .*indefinite\.npz is no covariance: it is not positive semidefinite/],
    ['what is not there', () => ({ subject: at('nowhere') }), /is no bundle, array .* there is no such file/],
    ['a folder without images', () => ({ subject: at('cache') }), /holds neither images .* nor a bundle/],
    ['images of several sizes', () => ({ subject: at('sizes') }), /b\.png has 5 × 5 pixels, the images before it 4 × 4/],
    ['more neighbours than samples', () => ({ neighbours: 80 }), /^80 neighbours were asked for; allowed: 1 to 79/],
    ['subsets larger than the reference', () => ({ count: 60, subsetSize: 70 }), /^Subsets of 70 samples were asked for; allowed: 2 to 60/],
    ['a range beyond the end', () => ({ count: 60, repeats: 2 }), /bytes\.npy has 20 samples from number 60 on, 60 were asked for/],
    ['a number of samples of statistics', () => ({ reference: at('by-raw.npz'), referenceCount: 5 }), /^referenceCount is 5, but .*by-raw\.npz holds statistics that are made already: leave it out/],
    ['a second reference without its extractor', () => ({ fdrlReference: at('other.npy') }), /other\.npy is the reference of the distance fdrl-compat, which is not asked for/],
    ['a second reference of another dimension', () => ({ fdrlCompat: at('means.yaml'), fdrlReference: at('five.npz') }), /The extractor .*means\.yaml makes 3 features, the reference .*five\.npz has 5/],
    ['to save under another ending', () => ({ save: at('other.npy') }), /The statistics cannot be written to .*other\.npy: the name must end in \.npz/],
    ['to save what is compared with', () => ({ reference: at('by-raw.npz'), save: at('images', '..', 'by-raw.npz') }), /by-raw\.npz: it is an input, which would be lost/],
    ['to save in place of a folder', () => ({ save: at('folder.npz') }), /folder\.npz: it is a folder/],
    ['neither reference nor file', () => ({ reference: undefined }), /nothing to compare with/],
  ])('%s', async (_, options, message) => {
    await writeFile(at('bare.onnx'), 'x');
    await writeFile(at('wrong-output.yaml'), 'model: means.onnx\noutput: logits');
    await writeFile(at('misspelt.yaml'), 'model: means.onnx\nresise: bilinear');
    await writeFile(at('sized.yaml'), 'model: means.onnx\noutput: means\nsize: 8');
    await writeFile(at('grey.yaml'), 'model: means.onnx\noutput: means\nchannels: 1');
    await writeFile(at('unpooled.yaml'), 'model: means.onnx\noutput: places');
    const whole = new GraphBuilder('whole');
    whole.output('y', whole.op('Flatten', [whole.input('x', 'float16', ['N', 3, 4, 4])]));
    await writeFile(at('whole.onnx'), writeModel(newModel(whole.graph)));
    await writeFile(at('whole.yaml'), '');
    const outside = new GraphBuilder('outside');
    const weights = outside.initializer('w', { dtype: 'float32', dims: [1], data: new Uint8Array(4) });
    outside.output('y', outside.op('Add', [outside.op('Flatten', [outside.input('x', 'float32', ['N', 3, 4, 4])]), weights]));
    await writeFile(at('outside.onnx'), writeModel(newModel(outside.graph), { place: () => ({ location: 'lost.bin', offset: 0, length: 4 }) }));
    await writeFile(at('outside.yaml'), '');
    await writeNpy(at('flat.npy'), { shape: [9, 2], data: new Float32Array(18) });
    await writeNpy(at('last.npy'), { shape: [3, 6, 6, 3], data: bytes(1).subarray(0, 324) });
    await mkdir(at('folder.npz'), { recursive: true });
    await mkdir(at('sizes'), { recursive: true });
    for (const [name, side] of [['a', 4], ['b', 5]] as const) await writeFile(at('sizes', `${name}.png`), await encodePng({ shape: [1, 1, side, side], data: new Float32Array(side * side) }));
    const square = (d: number): [string, Tensor][] => [['mu', { shape: [d], data: new Float64Array(d) }], ['sigma', { shape: [d, d], data: new Float64Array(d * d) }]];
    await writeNpz(at('five.npz'), new Map(square(5)));
    await writeNpz(at('nan.npz'), new Map([...square(3), ['features', { shape: [4, 3], data: Float32Array.from({ length: 12 }, (_value, i) => (i === 7 ? NaN : i)) }]]));
    await writeNpz(at('single.npz'), new Map([...square(3), ['features', { shape: [1, 3], data: new Float32Array(3) }]]));
    await writeNpz(at('indefinite.npz'), new Map([square(3)[0]!, ['sigma', { shape: [3, 3], data: Float64Array.of(1, 3, 0, 3, 1, 0, 0, 0, 1) }]]));
    await writeNpz(at('half.npz'), new Map(square(3).slice(0, 1)));
    await judge({ subject: at('flat.npy'), reference: undefined, extractor: 'raw', save: at('by-raw.npz') });
    await writeFile(at('result.npz'), 'kept');
    const given = options();
    const read: number[] = [];
    await expect(judge({ ...(!('reference' in given && given.reference === undefined) && { save: at('result.npz') }), ...given, onProgress: (done) => read.push(done) })).rejects.toThrow(message);
    // Before the first stretch: neither subject nor reference has been gone through.
    expect(read).toEqual([]);
    expect(await readFile(at('result.npz'), 'utf8')).toBe('kept');
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});
