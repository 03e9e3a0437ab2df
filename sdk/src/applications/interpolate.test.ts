import { describe, expect, it } from 'vitest';
import { openBundle } from '../model.js';
import type { Model } from '../model.js';
import { normals, purposes } from '../index.js';
import { exactDrift, fakeManifest, fakeRuntime, fakeSource } from '../testing/fake-bundle.js';
import { interpolate } from './interpolate.js';
import type { InterpolationOptions } from './interpolate.js';
import { latentBetween, latentOf, normalDistribution, slerp } from './latent.js';

const shape = [1, 2, 3];
const open = async (changes: Record<string, unknown> = {}): Promise<Model> => openBundle(await fakeSource({ ...fakeManifest(shape), valueRange: null, ...changes }), fakeRuntime());
const [a, b] = [{ seed: 3, index: 4 }, { seed: 9n, index: 1 }];
const row = (data: Float32Array, i: number): number[] => Array.from(data.subarray(6 * i, 6 * i + 6));
const draw = (purpose: number, step: number, { seed, index }: { seed: number | bigint; index: number }): number[] =>
  Array.from(normals({ seed, purpose, step, firstSample: index, count: 1, elements: 6 }));

describe('slerp', () => {
  it('turns one unit vector into another along the circle', () => {
    for (const t of [0, 0.25, 0.5, 1]) {
      const [x, y, z] = slerp(Float32Array.of(1, 0, 0), Float32Array.of(0, 0, 1), t);
      expect(x).toBeCloseTo(Math.cos(t * Math.PI / 2), 6);
      expect(y).toBe(0);
      expect(z).toBeCloseTo(Math.sin(t * Math.PI / 2), 6);
    }
  });

  it('is straight along one line, and refuses other lengths', () => {
    expect(Array.from(slerp(Float32Array.of(1, 2), Float32Array.of(3, 6), 0.5))).toEqual([2, 4]);
    expect(Array.from(slerp(Float32Array.of(0, 0), Float32Array.of(0, 2), 0.25))).toEqual([0, 0.5]);
    expect(() => slerp(new Float32Array(2), new Float32Array(3), 0.5)).toThrow('Interpolation between 2 and 3 values; both ends need the same number.');
  });
});

describe('the latent of a uniform prior', () => {
  it('stays uniform along the path', () => {
    const manifest = { sampleShape: [3, 64, 64], prior: { kind: 'uniform', z: 'uniform' } } as never;
    const z = latentBetween(manifest, a, b, 0.5).toSorted();
    // The largest distance between the empirical distribution and U(0, 1), against the 0.1 % bound of Kolmogorov's law.
    const distance = Math.max(...z.map((value, i) => Math.max(Math.abs(value - i / z.length), Math.abs(value - (i + 1) / z.length))));
    expect(distance).toBeLessThan(1.95 / Math.sqrt(z.length));
    expect(latentBetween(manifest, a, b, 1)).toEqual(latentOf(manifest, b));
    // The way through the normal variables leads back to where it starts.
    const start = latentOf(manifest, a);
    expect(Math.max(...latentBetween(manifest, a, b, 1e-9).map((value, i) => Math.abs(value - start[i]!)))).toBeLessThan(1e-6);
  });

  it('uses the distribution function of the normal', () => {
    // scipy.stats.norm.cdf
    for (const [x, expected] of [[1, 0.8413447460685429], [-2.5, 0.006209665325776132], [0, 0.5], [-5, 2.866515718791933e-7], [6, 0.9999999990134123]] as const) {
      expect(Math.abs(normalDistribution(x) - expected)).toBeLessThan(1e-15);
    }
  });
});

describe('interpolate', () => {
  it('is the formula at every point, with the noise of the first end', async () => {
    const { samples, prior, bridged, provider } = await interpolate(await open(), { pairs: [[a, b], [b, a]], frames: 5, batch: 2 });
    expect([samples.shape, provider]).toEqual([[2, 5, ...shape], 'cpu']);
    [[a, b], [b, a]].forEach(([from, to], p) => {
      const ends = [draw(purposes.prior, 0, from!), draw(purposes.prior, 0, to!)] as const;
      const norm = (v: readonly number[]): number => Math.hypot(...v);
      const angle = Math.acos(ends[0].reduce((sum, value, i) => sum + value * ends[1][i]!, 0) / norm(ends[0]) / norm(ends[1]));
      for (let f = 0; f < 5; f++) {
        let x = ends[0].map((value, i) => 0.5 * (Math.sin((1 - f / 4) * angle) * value + Math.sin((f / 4) * angle) * ends[1][i]!) / Math.sin(angle));
        row(prior.data, 5 * p + f).forEach((value, i) => expect(value).toBeCloseTo(x[i]!, 5));
        for (let k = 0; k < 17; k++) {
          const xi = draw(purposes.flow, k, from!);
          x = x.map((value, i) => value + 0.1 * exactDrift(value) + 0.05 * xi[i]!);
          if (k === 11) row(bridged.data, 5 * p + f).forEach((value, i) => expect(value).toBeCloseTo(x[i]!, 5));
        }
        row(samples.data, 5 * p + f).forEach((value, i) => expect(value).toBeCloseTo(x[i]!, 5));
      }
    });
  });

  it('begins at a sample, and with noise that moves along also ends at one', async () => {
    const model = await open();
    const first = Array.from((await model.sample({ seed: 3, first: 4 })).samples.data);
    const last = Array.from((await model.sample({ seed: 9, first: 1 })).samples.data);
    const same = await interpolate(model, { pairs: [[a, b]], frames: 3 });
    expect(row(same.samples.data, 0)).toEqual(first);
    expect(row(same.samples.data, 2)).not.toEqual(last);
    const spherical = await interpolate(model, { pairs: [[a, b]], frames: 3, noise: 'spherical', batch: 1 });
    expect([row(spherical.samples.data, 0), row(spherical.samples.data, 2)]).toEqual([first, last]);
  });

  it('takes a schedule of its own, without any step too', async () => {
    const model = await open();
    const still = await interpolate(model, { pairs: [[a, b]], frames: 2, K: 0, kappa: 0 });
    expect(still.samples.data).toEqual(still.prior.data);
    expect(row(still.samples.data, 1)).toEqual(draw(purposes.prior, 0, b).map((z) => Math.fround(0.5 * z)));
    const bridging = await interpolate(model, { pairs: [[a, b]], frames: 2, kappa: 0 });
    expect(bridging.samples.data).toEqual(bridging.bridged.data);
  });

  it('refuses what has no meaning', async () => {
    const model = await open();
    await expect(interpolate(model, { pairs: [] })).rejects.toThrow('pairs is []; allowed: at least one pair of samples');
    await expect(interpolate(model, { pairs: [[a, b]], frames: 1 })).rejects.toThrow('frames is 1; allowed: an integer from 2');
    await expect(interpolate(model, { pairs: [[a, b]], noise: 'other' as never })).rejects.toThrow('noise is "other"; allowed: same, spherical.');
    await expect(interpolate(model, { pairs: [[a, b]], kapa: 3 } as InterpolationOptions)).rejects.toThrow('Unknown option "kapa"');
    await expect(interpolate(model, { pairs: [[{ seed: -1, index: 0 }, b]] })).rejects.toThrow('seed is -1; allowed: an integer');
    await expect(interpolate(model, { pairs: [[a, b]], seed: 3 } as never)).rejects.toThrow('Unknown option "seed"; allowed: pairs, frames, noise');
    for (const [options, message] of [
      [undefined, 'options is undefined; allowed: an object'],
      [{ pairs: [[a, b]], K: 1.5 }, 'K is 1.5; allowed: an integer from 0'],
      [{ pairs: [[a, b]], kappa: -1 }, 'kappa is -1; allowed: an integer from 0'],
      [{ pairs: 'abc' }, 'pairs is "abc"; allowed: at least one pair'],
      [{ pairs: [[a]] }, 'pairs[0] is [{"seed":3,"index":4}]; allowed: a pair of samples'],
      [{ pairs: [[a, 7]] }, 'pairs[0][1] is 7; allowed: an object'],
      [{ pairs: [[a, { seed: 1 }]] }, 'pairs[0][1].index is undefined; allowed: an integer from 0'],
    ] as const) await expect(interpolate(model, options as never)).rejects.toThrow(expect.objectContaining({ name: 'ArgumentError', message: expect.stringContaining(message) as string }));
    const source = await open({ prior: { kind: 'source', z: 'uniform' } });
    await expect(interpolate(source, { pairs: [[a, b]] })).rejects.toThrow('fake starts from images of another domain, not from a prior');
  });

  it('ends when aborted', async () => {
    const model = await open();
    const controller = new AbortController();
    const done = interpolate(model, { pairs: [[a, b], [b, a]], frames: 2, signal: controller.signal, onProgress: () => controller.abort(new Error('enough')) });
    await expect(done).rejects.toThrow('enough');
  });
});

describe('the prior of given z', () => {
  it('is the map of the bundle', async () => {
    const model = await open();
    const z = { shape: [2, 6], data: Float32Array.from({ length: 12 }, (_, i) => i / 7) };
    const x0 = await model.prior({ z });
    expect([x0.shape, x0.data]).toEqual([[2, ...shape], z.data.map((value) => 0.5 * value)]);
    await expect(model.prior({ z: { shape: [2, 5], data: new Float32Array(10) } })).rejects.toThrow('z has shape [2, 5]; allowed: [N, 6].');
    const both = { z, count: 2 };
    await expect(model.prior(both)).rejects.toThrow('Unknown option "count"; allowed: z.');
  });
});
