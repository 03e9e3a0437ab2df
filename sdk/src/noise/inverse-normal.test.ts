import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { lowerNormalQuantile, naturalLog, pieces, quantileKnots } from './inverse-normal.js';
import { noiseKernel } from './kernel.js';

/** Words and the quantiles of their uniforms by mpmath (tests/noise/make_inverse_cdf.py). */
const reference = JSON.parse(
  readFileSync(new URL('../../../tests/noise/inverse-cdf.json', import.meta.url), 'utf8'),
) as [word: number, quantile: number][];

function normalsOf(words: readonly number[]): Float32Array {
  const kernel = noiseKernel();
  const out = new Float32Array(words.length);
  for (let at = 0; at < words.length; at += kernel.words.length) {
    const group = words.slice(at, at + kernel.words.length);
    kernel.words.set(group);
    kernel.toNormals(group.length);
    out.set(kernel.normals.subarray(0, group.length), at);
  }
  return out;
}

const normalOf = (word: number): number => normalsOf([word])[0]!;

describe('naturalLog', () => {
  it('agrees with Math.log to about a unit in the last place', () => {
    for (let i = 0; i < 20_000; i++) {
      const x = (1 + (i % 256) / 256 + i * 1e-9) * 2 ** ((i % 40) - 38);
      const exact = Math.log(x);
      expect(Math.abs(naturalLog(x) - exact)).toBeLessThanOrEqual(4.5e-16 * Math.max(Math.abs(exact), 0.5));
    }
  });

  it('is exact at one, and takes either side of its reduction', () => {
    expect(naturalLog(1)).toBe(0);
    expect(naturalLog(0.7071067811865476)).toBeCloseTo(-Math.LN2 / 2, 15);
    expect(naturalLog(1.4142135623730951)).toBeCloseTo(Math.LN2 / 2, 15);
  });
});

describe('lowerNormalQuantile', () => {
  it('agrees with mpmath to 2e-15, relative', () => {
    const lower = reference.filter(([word]) => word < 2 ** 31);
    expect(lower.length).toBeGreaterThan(800);
    for (const [word, quantile] of lower) {
      expect(Math.abs(lowerNormalQuantile((word + 0.5) * 2 ** -32) / quantile - 1)).toBeLessThan(2e-15);
    }
  });
});

describe('quantileKnots', () => {
  it('fall strictly from 6.34 to 0', () => {
    const knots = quantileKnots();
    expect(knots.length).toBe(pieces + 1);
    expect(knots[0]).toBeCloseTo(6.3379, 3);
    expect(knots[pieces]).toBe(0);
    for (let j = 0; j < pieces; j++) expect(knots[j]! > knots[j + 1]!).toBe(true);
  });
});

describe('normals of words', () => {
  // The largest error of all 2^32 words, found by trying each of them, is 8.656e-7 at 537919301 and at its complement.
  it('are within 8.7e-7 of the quantile by mpmath, extremes and the worst word included', () => {
    const errors = new Map(reference.map(([word, quantile]) => [word, Math.abs(normalOf(word) - quantile)]));
    expect(Math.max(...errors.values())).toBe(errors.get(537919301));
    expect(errors.get(537919301)).toBeCloseTo(8.656e-7, 10);
    expect(reference[0]![0]).toBe(0);
    expect(reference.at(-1)![0]).toBe(0xffffffff);
  });

  it('are within 8.7e-7 of the quantile everywhere: all small words, and eight points of every piece of the table', () => {
    const words: number[] = Array.from({ length: 1 << 15 }, (_, i) => i);
    for (let octave = 12; octave < 32; octave++) {
      // n = (1 + (i + part / 8) / 256) · 2^octave + 1, odd, and w = (n − 1) / 2.
      for (let j = 0; j < 256 * 8; j++) words.push((1 + j / 2048) * 2 ** (octave - 1));
    }
    let largest = 0;
    const out = normalsOf(words);
    for (const [i, word] of words.entries()) {
      largest = Math.max(largest, Math.abs(out[i]! - lowerNormalQuantile((word + 0.5) * 2 ** -32)));
    }
    expect(largest).toBeLessThan(8.7e-7);
    // A finer table would be another specification.
    expect(largest).toBeGreaterThan(8e-7);
  });

  it('mirror: the complement of a word gives the opposite normal', () => {
    for (const [word] of reference) expect(normalOf(0xffffffff - word)).toBe(-normalOf(word));
  });

  it('rise with the word', () => {
    for (let i = 1; i < reference.length; i++) {
      expect(normalOf(reference[i]![0])).toBeGreaterThanOrEqual(normalOf(reference[i - 1]![0]));
    }
  });
});
