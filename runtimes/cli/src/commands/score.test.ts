import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open, writeNpy } from '@ratioflow/node';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { meanAt, spread, writeGaussianBundle } from '../testing/gaussian-bundle.js';
import { ratioflow } from '../testing/run-command.js';

let folder: string;
let bundle: string;
const inFolder = (name: string): string => join(folder, name);
/** Images around a value. */
const grey = (count: number, base: number): Float32Array => Float32Array.from({ length: count * 16 }, (_, i) => base + 0.3 * Math.sin(i * i));
const exact = (x: ArrayLike<number>): number => Array.from(x).reduce((sum, value, i) => sum + (value - meanAt(i, 16)) ** 2 / (2 * spread ** 2) - value ** 2 / 2, 0);
const exactOf = (data: Float32Array): number[] => Array.from({ length: data.length / 16 }, (_, n) => exact(data.subarray(16 * n, 16 * n + 16)));
const [data, strange] = [grey(30, 0.1), grey(20, -0.2)];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-score-'));
  bundle = inFolder('bundle');
  await writeGaussianBundle(bundle, [1, 4, 4]);
  await writeNpy(inFolder('data.npy'), { shape: [30, 1, 4, 4], data });
  await writeNpy(inFolder('one.npy'), { shape: [1, 1, 4, 4], data: data.subarray(0, 16) });
  await writeNpy(inFolder('strange.npy'), { shape: [20, 1, 4, 4], data: strange });
});
afterAll(() => rm(folder, { recursive: true }));

describe('ratioflow score', () => {
  it('writes the closed form, with ranks', async () => {
    const { code, out, err } = await ratioflow(['score', bundle, inFolder('data.npy'), '-o', inFolder('s.csv'), '--ranking', inFolder('r.png')]);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('log q/p of 30 images  mean ');
    const expected = exactOf(data);
    const [below, above] = expected.toSorted((a, b) => a - b).slice(14, 16) as [number, number];
    expect(Math.abs(Number(/median (\S+)/.exec(out)![1]) - (below + above) / 2)).toBeLessThan((above - below) / 4);
    const lines = (await readFile(inFolder('s.csv'), 'utf8')).trim().split('\n').slice(1).map((line) => line.split(','));
    expect(lines.map(([index]) => Number(index))).toEqual([...expected.keys()]);
    lines.forEach(([, , , value], i) => expect(Number(value)).toBeCloseTo(expected[i]!, 4));
    const order = [...expected.keys()].sort((a, b) => expected[a]! - expected[b]!);
    expect(lines.map(([, , , , rank]) => Number(rank))).toEqual(expected.map((_, i) => order.indexOf(i) + 1));
    // Eight of the fifteen on each side, in one row: the best at the left, the worst behind the rule.
    const picture = await sharp(inFolder('r.png')).raw().toBuffer({ resolveWithObject: true });
    expect([picture.info.width, picture.info.height]).toEqual([16 * 6 - 2, 4]);
    const level = (image: number): number => Math.round(255 * Math.min(1, Math.max(0, (data[16 * image]! + 1) / 2)));
    expect(picture.data[0]).toBe(level(order[0]!));
    expect(picture.data[8 * 6 * picture.info.channels]).toBe(level(order.at(-1)!));
    expect(picture.data[46 * picture.info.channels]).toBe(255);
  });

  it('tells the strange from data as counting pairs does', async () => {
    const { code, out } = await ratioflow(['score', bundle, inFolder('strange.npy'), '--against', inFolder('data.npy'), '--roc', inFolder('roc.png'), '-o', inFolder('s.json')]);
    expect(code).toBe(0);
    const [a, b] = [exactOf(strange), exactOf(data)];
    const auc = a.reduce((sum, high) => sum + b.filter((low) => high > low).length, 0) / (a.length * b.length);
    expect(auc).toBeGreaterThan(0.05);
    expect(auc).toBeLessThan(0.999);
    const json = JSON.parse(await readFile(inFolder('s.json'), 'utf8')) as { detection: { auc: number; falsePositivesAt95: number }; scores: { logRatio: number }[]; bundle: { ratio: string } };
    expect(json.detection.auc).toBeCloseTo(auc, 9);
    const threshold = [...a].sort((x, y) => y - x)[Math.ceil(0.95 * a.length) - 1]!;
    expect(json.detection.falsePositivesAt95).toBeCloseTo(b.filter((value) => value >= threshold).length / b.length, 9);
    expect(json.scores[3]!.logRatio).toBeCloseTo(a[3]!, 4);
    expect(json.bundle.ratio).toMatch(/^[0-9a-f]{64}$/);
    expect(out).toContain(`told from data`);
    expect(await sharp(inFolder('roc.png')).metadata()).toMatchObject({ format: 'png' });
  });

  it('judges the ratio by data and as many samples', async () => {
    const { code, out } = await ratioflow(['score', bundle, inFolder('data.npy'), '--calibrate', '--seed', '4', '-o', inFolder('c.json')]);
    expect(code).toBe(0);
    for (const line of ['mean q/p on these data', 'mean p/q on samples', 'two-sample test', 'calibration error']) expect(out).toContain(line);
    const model = await open(bundle);
    const { samples } = await model.sample({ seed: 4, count: 30 });
    await model.dispose();
    const [onData, onSamples] = [exactOf(data), exactOf(samples.data)];
    const { calibration } = JSON.parse(await readFile(inFolder('c.json'), 'utf8')) as { calibration: { meanRatio: number; auc: number; bins: { data: number; samples: number }[] } };
    expect(calibration.meanRatio / (onData.reduce((sum, value) => sum + Math.exp(value), 0) / 30)).toBeCloseTo(1, 3);
    expect(calibration.auc).toBeCloseTo(onSamples.reduce((sum, high) => sum + onData.filter((low) => high > low).length, 0) / 900, 6);
    expect(calibration.bins.reduce((sum, bin) => sum + bin.data, 0)).toBe(30);
  });

  it('says what to do with a bundle that draws no samples by itself', async () => {
    const source = inFolder('source');
    await writeGaussianBundle(source, [1, 4, 4], { prior: { kind: 'source' } });
    for (const [args, message] of [
      [['score', source, inFolder('data.npy'), '--calibrate'], /draws no samples by itself to calibrate with: translate some/],
      [['neighbours', source, '--data', inFolder('data.npy'), '-o', inFolder('of-none.csv')], /draws no samples by itself: give what it made of some with --images/],
      [['evaluate', source, '--reference', inFolder('data.npy'), '--extractor', 'raw', '--no-cache'], /draws nothing by itself: translate images into a folder or an array, and evaluate those/],
    ] as const) expect(await ratioflow(args)).toEqual({ code: 1, out: '', err: expect.stringMatching(message) as string });
    expect((await ratioflow(['neighbours', source, '--images', inFolder('data.npy'), '--data', inFolder('data.npy'), '-k', '1', '-o', inFolder('of-images.csv')])).code).toBe(0);
  });

  it('feeds pixels and sets in the range of the bundle', async () => {
    const unit = inFolder('unit');
    await writeGaussianBundle(unit, [1, 4, 4], { valueRange: [0, 1] });
    const bytes = Uint8Array.from({ length: 3 * 16 }, (_, i) => (37 * i) % 256);
    const images = Float32Array.from(bytes, (byte) => byte / 255);
    await writeNpy(inFolder('unit.npy'), { shape: [3, 1, 4, 4], data: images });
    await writeNpy(inFolder('unit-bytes.npy'), { shape: [3, 1, 4, 4], data: bytes });
    await mkdir(inFolder('unit-images'));
    for (let i = 0; i < 3; i++) await sharp(bytes.subarray(16 * i, 16 * i + 16), { raw: { width: 4, height: 4, channels: 1 } }).png().toFile(inFolder(`unit-images/${i}.png`));
    for (const given of [inFolder('unit.npy'), inFolder('unit-bytes.npy'), inFolder('unit-images'), `{name: npy, path: ${inFolder('unit-bytes.npy')}}`]) {
      expect((await ratioflow(['score', unit, given, '-o', inFolder('unit.json')])).code).toBe(0);
      const { scores } = JSON.parse(await readFile(inFolder('unit.json'), 'utf8')) as { scores: { logRatio: number }[] };
      exactOf(images).forEach((value, i) => expect(scores[i]!.logRatio).toBeCloseTo(value, 4));
    }
    // Distances are those of values from -1 to 1.
    await ratioflow(['neighbours', unit, '--images', inFolder('unit-images'), '--data', inFolder('unit.npy'), '-k', '2', '-o', inFolder('unit.csv')]);
    const second = Number((await readFile(inFolder('unit.csv'), 'utf8')).split('\n')[2]!.split(',').at(-1));
    const between = (other: number): number => Math.hypot(...Array.from({ length: 16 }, (_, i) => 2 * (images[i]! - images[16 * other + i]!)));
    expect(second).toBeCloseTo(Math.min(between(1), between(2)), 4);
  });

  it('writes over no image that it reads, and into no folder', async () => {
    const unread = inFolder('own');
    await mkdir(join(unread, 'taken.csv'), { recursive: true });
    for (const name of ['a', 'b']) await sharp(Buffer.alloc(16, name), { raw: { width: 4, height: 4, channels: 1 } }).png().toFile(join(unread, `${name}.png`));
    const before = await readFile(join(unread, 'a.png'));
    for (const [command, message] of [
      [['score', bundle, unread, '--ranking', join(unread, 'a.png')], /Scores cannot be written to .*a\.png: it is an input, which would be lost/],
      [['score', bundle, unread, '-o', join(unread, 'taken.csv')], /The table cannot be written to .*taken\.csv: it is a folder/],
      [['neighbours', bundle, '--images', unread, '--data', inFolder('data.npy'), '-k', '1', '-o', join(unread, 'a.png')], /Neighbours cannot be written to .*a\.png: it is an input/],
    ] as const) {
      const { code, out, err } = await ratioflow(command);
      expect([code, out, err]).toEqual([1, '', expect.stringMatching(message)]);
    }
    expect(await readFile(join(unread, 'a.png'))).toEqual(before);
    // Endings count in any case.
    expect((await ratioflow(['score', bundle, unread, '-o', join(unread, 'T.CSV')])).code).toBe(0);
    expect(await readFile(join(unread, 'T.CSV'), 'utf8')).toMatch(/^index,name/);
  });

  it.each([
    [['absent.npy'], 'absent.npy cannot be read: there is no such file.'],
    [['mnist:test'], 'mnist (test) has samples of [1, 28, 28]; needed: [1, 4, 4].'],
    [['data.npy', '-o', 'x.txt'], 'The table cannot be written to x.txt: the name must end in .csv or .json.'],
    [['one.npy', '--ranking', 'r.png', '-o', 'one.csv'], 'one.npy holds 1 image; a ranking needs at least 2.'],
    [['one.npy', '--calibrate'], 'one.npy holds 1 image; a calibration, whose errors come from the spread of values, needs at least 2.'],
    [['data.npy', '--roc', 'x.png'], 'A ROC curve needs data to compare with'],
    [['data.npy', '--ranking', 'x.jpg'], 'The picture of the ranking cannot be written to x.jpg: the name must end in .png.'],
  ])('refuses %j, and writes nothing', async ([images, ...args], message) => {
    const before = await readdir(folder);
    const { code, out, err } = await ratioflow(['score', bundle, /^(data|one)/.test(images!) ? inFolder(images!) : images!, ...args]);
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain(message);
    expect(await readdir(folder)).toEqual(before);
  });
});

describe('ratioflow neighbours', () => {
  it('finds the samples themselves in a set that holds them', async () => {
    await ratioflow(['sample', bundle, '--seed', '8', '--count', '12', '-o', inFolder('set.npy')]);
    const { code, out } = await ratioflow(['neighbours', bundle, '--data', inFolder('set.npy'), '--seed', '8', '--first', '5', '--count', '3', '-k', '2', '--zoom', '1', '-o', inFolder('n.png'), inFolder('n.csv')]);
    expect(code).toBe(0);
    expect(out).toContain(`3 samples (seed 8) and their 2 nearest of 12 in ${inFolder('n.png')} and ${inFolder('n.csv')}`);
    const first = (await readFile(inFolder('n.csv'), 'utf8')).trim().split('\n').slice(1).map((line) => line.split(',')).filter(([, rank]) => rank === '1');
    expect(first.map(([sample, , index, , , distance]) => [sample, index, Number(distance)])).toEqual([['5', '5', 0], ['6', '6', 0], ['7', '7', 0]]);
    expect(await sharp(inFolder('n.png')).metadata()).toMatchObject({ width: 3 * 6 - 2, height: 3 * 6 - 2 });
    const refused = await ratioflow(['neighbours', bundle, '--data', inFolder('set.npy'), '-o', 'x.gif']);
    expect([refused.code, refused.err]).toEqual([1, 'error: Neighbours cannot be written to x.gif: the name must end in .png or .csv.\n']);
  });
});
