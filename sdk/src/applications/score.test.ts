import { describe, expect, it } from 'vitest';
import { openBundle } from '../model.js';
import type { Model } from '../model.js';
import { fillUniforms } from '../noise/fill.js';
import { exactLogRatio, fakeManifest, fakeRuntime, fakeSource } from '../testing/fake-bundle.js';
import { rank, score } from './score.js';
import { selectSamples } from './select.js';

const open = async (changes: Record<string, unknown> = {}): Promise<Model> => openBundle(await fakeSource({ ...fakeManifest([2]), valueRange: null, ...changes }), fakeRuntime());
const points = (count: number): { shape: number[]; data: Float32Array } => ({ shape: [count, 2], data: Float32Array.from({ length: 2 * count }, (_, i) => Math.sin(i)) });

describe('score', () => {
  it('is the closed form, in any parts', async () => {
    const model = await open();
    const expected = Array.from({ length: 9 }, (_, n) => exactLogRatio(points(9).data.subarray(2 * n, 2 * n + 2)));
    let done = 0;
    for (const given of [points(9), [points(9)]]) (await score(model, given, { batch: 4, onProgress: (n) => { done = n; } })).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 4));
    expect(done).toBe(9);
    await expect(score(model, points(2), { batch: 0 })).rejects.toThrow('batch is 0; allowed: an integer from 1');
    await expect(score(model, points(2), { batchs: 3 } as never)).rejects.toThrow('Unknown option "batchs"; allowed: batch, signal, onProgress.');
    for (const nothing of [undefined, null, 'abc', {}]) await expect(score(model, nothing as never)).rejects.toThrow(expect.objectContaining({ name: 'ArgumentError', message: expect.stringMatching(/^samples is .*; allowed: a tensor \{ shape, data \}, or tensors part by part/) as string }));
  });

  it('ranks from data to samples, nonsense last', () => {
    expect(rank([2, NaN, -1, 2, -Infinity])).toEqual([4, 2, 0, 3, 1]);
  });
});

describe('selectSamples', () => {
  it('keeps the best part of those drawn', async () => {
    const model = await open();
    const all = (await model.sample({ seed: 3, first: 5, count: 40 })).samples;
    const ratios = await score(model, all);
    const { samples, indices, logRatio, drawn, statistics } = await selectSamples(model, { count: 10, by: { keep: 0.25 }, seed: 3, first: 5 });
    const best = Array.from(ratios, (value, i) => [value, i] as const).sort((a, b) => a[0] - b[0]).slice(0, 10).map(([, i]) => i).sort((a, b) => a - b);
    expect([drawn, indices, statistics.evaluations]).toEqual([40, best.map((i) => i + 5), 40 * 17]);
    expect(Array.from(samples.data)).toEqual(best.flatMap((i) => Array.from(all.data.subarray(2 * i, 2 * i + 2))));
    expect(Array.from(logRatio)).toEqual(best.map((i) => ratios[i]));
  });

  it('accepts with probability (p/q) / M, by a uniform number of each sample', async () => {
    const model = await open();
    const { indices, drawn } = await selectSamples(model, { count: 300, by: { reject: 0.9 }, seed: 3 });
    const ratios = await score(model, (await model.sample({ seed: 3, count: drawn })).samples);
    const bound = Math.max(...Array.from(ratios.slice(0, 256), (value) => -value).sort((a, b) => a - b).slice(0, Math.ceil(0.9 * 256)));
    const uniforms = new Float64Array(drawn);
    fillUniforms(uniforms, { seed: 3, purpose: 6, step: 0 }, { count: drawn, elements: 1 });
    const accepted = Array.from(ratios.keys()).filter((i) => Math.log(uniforms[i]!) < -ratios[i]! - bound);
    expect(indices.length).toBe(300);
    // One neighbour of the quantile either way.
    expect(accepted.filter((i) => indices.includes(i)).length).toBeGreaterThan(0.97 * Math.min(accepted.length, 300));
  });

  it('moves samples of q towards p', async () => {
    // One step of no drift: q = N(0, 1/4) I stays, while p/q of the fake is that of N(1.5, 1) to N(0, 4); the accepted must have a higher mean.
    const model = await open({ K: 0, kappa: 0 });
    const mean = (data: Float32Array): number => data.reduce((a, b) => a + b, 0) / data.length;
    const plain = mean((await model.sample({ count: 400 })).samples.data);
    const { samples } = await selectSamples(model, { count: 400, by: { reject: 1 } });
    // Accepted density ∝ N(x; 0, ¼) · N(x; 1.5, 1) / N(x; 0, 4): precision 4 + 1 − ¼, mean 1.5 / 4.75.
    expect(Math.abs(plain)).toBeLessThan(0.06);
    expect(Math.abs(mean(samples.data) - 1.5 / 4.75)).toBeLessThan(0.06);
  });

  it('says what cannot be', async () => {
    const model = await open();
    await expect(selectSamples(model, { count: 1, by: { keep: 2 } })).rejects.toThrow('keep is 2; allowed: a number above 0, at most 1');
    await expect(selectSamples(model, { count: 1, by: { reject: 0 } })).rejects.toThrow('reject is 0; allowed');
    for (const by of [undefined, null, {}, { keep: 0.5, reject: 0.5 }, 'keep']) await expect(selectSamples(model, { count: 1, by } as never)).rejects.toThrow(expect.objectContaining({ name: 'ArgumentError', message: expect.stringMatching(/^by is /) as string }));
    await expect(selectSamples(model, { count: 1, by: { keep: 1 }, class: 3 } as never)).rejects.toThrow('Unknown option "class"; allowed: count, by, first');
    await expect(selectSamples(model, { count: 0, by: { keep: 1 } })).rejects.toThrow('count is 0');
  });
});
