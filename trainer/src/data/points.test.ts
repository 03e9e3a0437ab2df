import { ArgumentError } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { addDequantisation } from './dequantisation.js';
import { openDataset } from './open.js';
import type { DatasetConfig } from './open.js';

async function draw(config: DatasetConfig, count: number, iteration = 0): Promise<Float32Array> {
  const set = await openDataset(config);
  const out = new Float32Array(count * set.sampleShape[0]!);
  await set.batch(out, { seed: 5n, iteration, count });
  return out;
}

/** Mean and variance of one axis. */
function moments(points: Float32Array, dimension: number, axis: number): [number, number] {
  const values = Array.from({ length: points.length / dimension }, (_, s) => points[s * dimension + axis]!);
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return [mean, values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length];
}

/** ∫ f over t = 1.5π (1 + 2u), u uniform, by the midpoint rule. */
function overRoll(f: (t: number) => number): number {
  const n = 100_000;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += f(1.5 * Math.PI * (1 + (2 * (i + 0.5)) / n));
  return sum / n;
}

describe('2-D sets', () => {
  const count = 100_000;

  it('swiss roll: moments of the formula, and every point near the spiral', async () => {
    const points = await draw({ name: 'swiss-roll' }, count);
    for (const [axis, wave] of [Math.cos, Math.sin].entries()) {
      const mean = overRoll((t) => t * wave(t)) / 7.5;
      const variance = (overRoll((t) => (t * wave(t)) ** 2) + 0.25 ** 2) / 7.5 ** 2 - mean ** 2;
      const [m, v] = moments(points, 2, axis);
      expect(Math.abs(m - mean)).toBeLessThan(4 * Math.sqrt(variance / count));
      expect(Math.abs(v / variance - 1)).toBeLessThan(0.02);
    }
    // The arms are 2π apart; with noise 0.25 the radius tells the angle up to whole turns.
    let far = 0;
    for (let s = 0; s < count; s++) {
      const [x, y] = [7.5 * points[2 * s]!, 7.5 * points[2 * s + 1]!];
      const turns = (Math.hypot(x, y) - Math.atan2(y, x)) / (2 * Math.PI);
      if (Math.abs(turns - Math.round(turns)) * 2 * Math.PI > 1.25) far++;
    }
    expect(far / count).toBeLessThan(1e-3);
  });

  it.each([
    { name: '8-gaussians' as const, modes: 8, deviation: 0.02, divisor: 1.414 },
    { name: '25-gaussians' as const, modes: 25, deviation: 0.05, divisor: 2.828 },
  ])('$name: equal weights, centres and deviation', async ({ name, modes, deviation, divisor }) => {
    const points = await draw({ name }, count);
    const clusters = new Map<string, number>();
    let squares = 0;
    for (let s = 0; s < count; s++) {
      const [x, y] = [points[2 * s]! * divisor, points[2 * s + 1]! * divisor];
      const angle = (Math.round((4 * Math.atan2(y, x)) / Math.PI) * Math.PI) / 4;
      const [cx, cy] = modes === 8 ? [2 * Math.cos(angle), 2 * Math.sin(angle)] : [2 * Math.round(x / 2), 2 * Math.round(y / 2)];
      squares += (x - cx) ** 2 + (y - cy) ** 2;
      const key = `${cx.toFixed(1)} ${cy.toFixed(1)}`.replaceAll('-0.0', '0.0');
      clusters.set(key, (clusters.get(key) ?? 0) + 1);
    }
    expect(clusters.size).toBe(modes);
    for (const n of clusters.values()) expect(Math.abs(n - count / modes)).toBeLessThan(4.5 * Math.sqrt(count / modes));
    expect(Math.sqrt(squares / (2 * count)) / deviation).toBeCloseTo(1, 1);
  });

  it('gaussian: mean and variance as asked, in any dimension', async () => {
    const points = await draw({ name: 'gaussian', mean: [6, -6, 0.5], variance: 0.1 }, count);
    for (const [axis, mean] of [6, -6, 0.5].entries()) {
      const [m, v] = moments(points, 3, axis);
      expect(Math.abs(m - mean)).toBeLessThan(4 * Math.sqrt(0.1 / count));
      expect(Math.abs(v / 0.1 - 1)).toBeLessThan(0.02);
    }
  });

  it('changes with the iteration and with nothing else', async () => {
    const name = '25-gaussians';
    const large = await draw({ name }, 100);
    expect([...(await draw({ name }, 7))]).toEqual([...large.subarray(0, 14)]);
    expect([...(await draw({ name }, 7, 1))]).not.toEqual([...large.subarray(0, 14)]);
  });
});

describe('openDataset', () => {
  it.each([
    [{ name: 'mnst' }, /Unknown data set "mnst": use one of swiss-roll, 8-gaussians, 25-gaussians, gaussian, mnist/],
    [{ name: 'mnist', split: 'valid' }, /Unknown split "valid" of mnist: use one of train, test/],
    [{ name: 'gaussian', mean: [], variance: 1 }, /Mean \[\]/],
    [{ name: 'gaussian', mean: [1, NaN], variance: 1 }, /Mean \[1, NaN\]/],
    [{ name: 'gaussian', mean: [1], variance: 0 }, /Variance 0/],
  ])('refuses %j', async (config, message) => {
    const opened = openDataset(config as DatasetConfig);
    await expect(opened).rejects.toThrow(ArgumentError);
    await expect(opened).rejects.toThrow(message);
  });
});

describe('addDequantisation', () => {
  it('adds normals of the given deviation, not clamped, keyed by iteration', () => {
    const [ones, again, other] = [0, 1, 2].map(() => new Float32Array(100_000).fill(1)) as [Float32Array, Float32Array, Float32Array];
    addDequantisation(ones, { seed: 1n, iteration: 3, count: 100 });
    addDequantisation(again, { seed: 1n, iteration: 3, count: 100 });
    addDequantisation(other, { seed: 1n, iteration: 4, count: 100 });
    expect(again).toEqual(ones);
    expect(other[0]).not.toBe(ones[0]);
    const [mean, variance] = moments(ones, 1, 0);
    expect(Math.abs(mean - 1)).toBeLessThan((4 * 0.03) / Math.sqrt(100_000));
    expect(Math.sqrt(variance) / 0.03).toBeCloseTo(1, 1);
    expect(Math.max(...ones)).toBeGreaterThan(1.05);
  });

  it('leaves the data alone at sigma 0', () => {
    const x = Float32Array.of(1, 2);
    addDequantisation(x, { seed: 1n, iteration: 0, count: 1 }, 0);
    expect([...x]).toEqual([1, 2]);
  });
});
