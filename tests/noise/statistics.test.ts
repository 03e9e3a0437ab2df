/**
 * Is it noise? Distribution of ten million normals, and independence of neighbouring streams, samples and elements.
 * Seeds are fixed, so these tests are deterministic; the limits are those that true noise breaks once in a hundred
 * (Kolmogorov–Smirnov) or in ten thousand (everything stated in standard deviations: four of them).
 */
import { fillNormals, fillUniforms, normals, purposes } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';

const size = 10_000_000;
const elements = 3072;

/** Values from −7 to 7 in bins of 2⁻¹³, and Φ at the bins' upper edges, integrated from the density itself. */
const range = 7;
const perUnit = 8192;

function binProbabilities(): Float64Array {
  const cumulative = new Float64Array(2 * range * perUnit);
  const density = (x: number): number => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  let total = 0;
  for (let bin = 0; bin < cumulative.length; bin++) {
    const left = bin / perUnit - range;
    // Simpson's rule, with an error far below 1e-16 at this width.
    total += (density(left) + 4 * density(left + 0.5 / perUnit) + density(left + 1 / perUnit)) / (6 * perUnit);
    cumulative[bin] = total;
  }
  return cumulative;
}

describe('ten million normals', () => {
  const count = Math.ceil(size / elements);
  const values = normals({ seed: 42, purpose: purposes.flow, step: 0, count, elements }).subarray(0, size);

  it('pass the Kolmogorov–Smirnov test', () => {
    const cumulative = binProbabilities();
    expect(cumulative.at(-1)).toBeCloseTo(1, 11);
    const histogram = new Uint32Array(cumulative.length);
    for (const value of values) histogram[Math.floor((value + range) * perUnit)]!++;
    let seen = 0;
    let atEdges = 0;
    let largestBin = 0;
    for (let bin = 0; bin < cumulative.length; bin++) {
      seen += histogram[bin]!;
      atEdges = Math.max(atEdges, Math.abs(seen / size - cumulative[bin]!));
      largestBin = Math.max(largestBin, histogram[bin]! / size, cumulative[bin]! - (cumulative[bin - 1] ?? 0));
    }
    expect(seen).toBe(size);
    // Between two edges neither distribution function can move by more than a bin's mass, so this bounds the distance.
    const distance = atEdges + largestBin;
    expect(distance).toBeLessThan(1.628 / Math.sqrt(size));
    // And it is that of a finite sample, not of a regular grid.
    expect(distance).toBeGreaterThan(0.3 / Math.sqrt(size));
  });

  it('have the moments of the normal distribution', () => {
    const sums = [0, 0, 0, 0, 0, 0];
    for (const value of values) {
      let power = 1;
      for (let k = 0; k < 6; k++) sums[k]! += power *= value;
    }
    const moments = sums.map((sum) => sum / size);
    // E x^k = 0, 1, 0, 3, 0, 15, with variances E x^2k − (E x^k)^2 = 1, 2, 15, 96, 945, 10170.
    const deviations = [1, 2, 15, 96, 945, 10_170].map((variance, k) => (moments[k]! - [0, 1, 0, 3, 0, 15][k]!) / Math.sqrt(variance / size));
    for (const deviation of deviations) expect(Math.abs(deviation)).toBeLessThan(4);
  });

  it('reach into the tails as often as they should', () => {
    // 2 · (1 − Φ(4)) and 2 · (1 − Φ(5)).
    for (const [limit, probability] of [[4, 6.334248e-5], [5, 5.733031e-7]] as const) {
      const found = values.reduce((total, value) => total + (Math.abs(value) > limit ? 1 : 0), 0);
      expect(Math.abs(found - size * probability)).toBeLessThan(4 * Math.sqrt(size * probability));
    }
  });
});

describe('a million uniforms', () => {
  it('fill 1000 classes evenly, by the chi-squared test', () => {
    const uniforms = new Float64Array(1_000_000);
    fillUniforms(uniforms, { seed: 42, purpose: purposes.prior, step: 0 }, { count: 1000, elements: 1000 });
    const classes = new Uint32Array(1000);
    for (const uniform of uniforms) classes[Math.floor(uniform * 1000)]!++;
    const chiSquared = classes.reduce((total, found) => total + (found - 1000) ** 2 / 1000, 0);
    // Mean 999, standard deviation √(2 · 999) = 44.7.
    expect(Math.abs(chiSquared - 999)).toBeLessThan(4 * 44.7);
  });
});

describe('independence', () => {
  const rows = 1000;
  const width = 1000;
  const n = rows * width;
  const base = { seed: 42n, purpose: purposes.flow as number, step: 7, firstSample: 11, count: rows, elements: width };
  const reference = normals(base);

  /** Correlation of values, and of their squares, in units of the standard deviation that independence gives it. */
  function correlations(a: Float32Array, b: Float32Array): number[] {
    let linear = 0;
    let square = 0;
    for (let i = 0; i < a.length; i++) {
      linear += a[i]! * b[i]!;
      square += (a[i]! ** 2 - 1) * (b[i]! ** 2 - 1);
    }
    return [linear / Math.sqrt(a.length), square / (2 * Math.sqrt(a.length))];
  }

  it.each([
    ['the next step', { ...base, step: 8 }],
    ['the previous step', { ...base, step: 6 }],
    ['a distant step', { ...base, step: 7 + 2 ** 16 }],
    ['another purpose', { ...base, purpose: purposes.prior }],
    ['the next seed', { ...base, seed: 43n }],
    ['a seed of the same low word', { ...base, seed: 42n + 2n ** 32n }],
    ['a seed with its words swapped', { ...base, seed: 42n << 32n }],
    ['the next samples', { ...base, firstSample: 12 }],
    ['distant samples', { ...base, firstSample: 11 + 2 ** 20 }],
  ])('of %s', (_, other) => {
    for (const correlation of correlations(reference, normals(other))) expect(Math.abs(correlation)).toBeLessThan(4);
  });

  it.each([1, 2, 3, 128, width])('of the element %d further', (lag) => {
    for (const correlation of correlations(reference.subarray(0, n - lag), reference.subarray(lag))) {
      expect(Math.abs(correlation)).toBeLessThan(4);
    }
  });

  it('of the samples of a batch of points, across many steps', () => {
    const points = 500;
    const before = new Float32Array(2 * points);
    const after = new Float32Array(2 * points);
    const totals = [0, 0];
    const steps = 400;
    for (let step = 0; step < steps; step++) {
      fillNormals(before, { seed: 1, purpose: purposes.flow, step }, { count: points, elements: 2 });
      fillNormals(after, { seed: 1, purpose: purposes.flow, step: step + 1 }, { count: points, elements: 2 });
      for (const [k, correlation] of correlations(before, after).entries()) totals[k]! += correlation / Math.sqrt(steps);
    }
    for (const total of totals) expect(Math.abs(total)).toBeLessThan(4);
  });
});
