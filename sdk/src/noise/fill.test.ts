import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../errors.js';
import { fillFlowNormals, fillNormals, fillUniforms, fillWords, normals } from './fill.js';
import { quantileKnots } from './inverse-normal.js';
import { purposes, streamKey } from './stream.js';
import { threefry2x32 } from './threefry.js';

const stream = fc.record({
  seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), purpose: fc.nat(5), step: fc.integer({ min: 0, max: 0xffffffff }),
});

function bits(values: Float32Array | Uint32Array): string[] {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Array.from(words, (word) => word.toString(16).padStart(8, '0'));
}

/** The specification's normal of a word, step by step as it stands in docs/noise.md. */
function normalBySpecification(word: number, knots: Float64Array): number {
  const n = word < 2 ** 31 ? 2 * word + 1 : 2 * (2 ** 32 - 1 - word) + 1;
  let e = 0;
  while (2 ** (e + 1) <= n) e++;
  const t = 256 * (n / 2 ** e - 1);
  const i = Math.floor(t);
  const j = 256 * e + i;
  const magnitude = knots[j]! + (t - i) * (knots[j + 1]! - knots[j]!);
  return Math.fround(word < 2 ** 31 ? -magnitude : magnitude);
}

describe('the worked example of the specification', () => {
  const example = { seed: 42, purpose: 1, step: 3 };
  const range = { firstSample: 5, count: 1, elements: 4 };

  it('has its words', () => {
    const out = new Uint32Array(4);
    fillWords(out, example, range);
    expect(bits(out)).toEqual(['abd7c3c4', '7c72699a', '6c7d1461', '10ef0583']);
  });

  it('has its normals', () => {
    expect(bits(normals({ ...example, ...range }))).toEqual(['3ee3051d', 'bd0e8758', 'be44d63f', 'bfc0a7a2']);
  });
});

describe('values of words', () => {
  it('are the uniforms and normals of the specification, bit for bit', () => {
    const knots = quantileKnots();
    fc.assert(fc.property(stream, fc.nat(0xfffffff0), fc.nat(5), fc.nat(40), (at, firstSample, count, elements) => {
      const range = { firstSample, count, elements };
      const words = new Uint32Array(count * elements);
      const doubles = new Float64Array(count * elements);
      const floats = new Float32Array(count * elements);
      fillWords(words, at, range);
      fillUniforms(doubles, at, range);
      fillUniforms(floats, at, range);
      const uniforms = Array.from(words, (word) => (word + 0.5) / 4294967296);
      expect([...doubles]).toEqual(uniforms);
      expect([...floats]).toEqual(uniforms.map(Math.fround));
      expect([...normals({ ...at, ...range })]).toEqual(Array.from(words, (word) => normalBySpecification(word, knots)));
    }));
  });
});

describe('a value depends on (seed, purpose, step, sample, element) alone', () => {
  it('whatever the batch, order and sharding', () => {
    fc.assert(fc.property(stream, fc.nat(0xfffff000), fc.nat(60), fc.nat(12), fc.array(fc.nat(11)), (at, firstSample, elements, count, order) => {
      const whole = normals({ ...at, firstSample, count, elements });
      for (const sample of order.filter((s) => s < count)) {
        const one = normals({ ...at, firstSample: firstSample + sample, count: 1, elements });
        expect(bits(one)).toEqual(bits(whole.slice(sample * elements, (sample + 1) * elements)));
      }
    }));
  });

  it('also where samples are longer than an internal group, and groups hold many samples', () => {
    for (const [elements, count] of [[12_289, 3], [3, 9001]] as const) {
      const whole = normals({ seed: 9n, purpose: 1, step: 2, firstSample: 100, count, elements });
      const parts = new Float32Array(count * elements);
      for (let sample = count - 1; sample >= 0; sample--) {
        fillNormals(parts.subarray(sample * elements, (sample + 1) * elements), { seed: '9', purpose: 1, step: 2 },
          { firstSample: 100 + sample, count: 1, elements });
      }
      expect(Buffer.compare(Buffer.from(whole.buffer), Buffer.from(parts.buffer))).toBe(0);
    }
  });

  it('whatever the number of elements that follow', () => {
    const long = normals({ seed: 3, purpose: 0, step: 0, count: 1, elements: 101 });
    for (let elements = 0; elements < 101; elements++) {
      expect(bits(normals({ seed: 3, purpose: 0, step: 0, count: 1, elements }))).toEqual(bits(long.slice(0, elements)));
    }
  });

  it('reaches the last sample index', () => {
    const out = new Uint32Array(3);
    const key = { seed: 2n ** 64n - 1n, purpose: purposes.weights, step: 0xffffffff };
    fillWords(out, key, { firstSample: 0xffffffff, count: 1, elements: 3 });
    const [k0, k1] = streamKey(key);
    expect([...out]).toEqual([...threefry2x32(k0, k1, 0xffffffff, 0), threefry2x32(k0, k1, 0xffffffff, 1)[0]]);
  });
});

describe('bad ranges', () => {
  const at = { seed: 0, purpose: 0, step: 0 };

  it.each([
    [{ count: 2, elements: 3 }, 5, 'the length of the array is 5; allowed: 6 for 2 samples of 3 elements: pass a subarray.'],
    [{ count: -1, elements: 3 }, 0, 'count is -1; allowed: an integer from 0 to 4294967296.'],
    [{ count: 1, elements: 1.5 }, 1, 'elements is 1.5'],
    [{ firstSample: NaN, count: 1, elements: 1 }, 1, 'firstSample is NaN'],
    [{ firstSample: 2 ** 32 - 1, count: 2, elements: 1 }, 2, 'firstSample is 4294967295; allowed: an integer from 0 to 4294967294.'],
  ])('%j in %d elements', (range, length, message) => {
    expect(() => fillWords(new Uint32Array(length), at, range)).toThrow(ArgumentError);
    expect(() => fillUniforms(new Float64Array(length), at, range)).toThrow(message);
    expect(() => fillNormals(new Float32Array(length), at, range)).toThrow(message);
  });

  it('write nothing', () => {
    const out = new Float32Array(5).fill(7);
    expect(() => fillNormals(out, { ...at, seed: -1 }, { count: 1, elements: 5 })).toThrow(ArgumentError);
    expect(() => fillNormals(out, at, { count: 2, elements: 5 })).toThrow(ArgumentError);
    expect([...out]).toEqual([7, 7, 7, 7, 7]);
  });

  it('allocate nothing', () => {
    expect(() => normals({ ...at, count: -1, elements: 4 })).toThrow('count is -1');
    expect(() => normals({ ...at, count: 1e300, elements: 1e300 })).toThrow(ArgumentError);
    expect(normals({ ...at, count: 0, elements: 4 }).length).toBe(0);
  });
});

describe('fillFlowNormals', () => {
  it('is fillNormals of purpose flow, step after step', () => {
    const range = { firstSample: 3, count: 5, elements: 7 };
    const all = new Float32Array(4 * 35);
    fillFlowNormals(all, { seed: '18446744073709551615', step: 9, steps: 4 }, range);
    for (let k = 0; k < 4; k++) {
      expect(bits(all.slice(35 * k, 35 * (k + 1)))).toEqual(bits(normals({ seed: 2n ** 64n - 1n, purpose: purposes.flow, step: 9 + k, ...range })));
    }
  });

  it.each([-1, 0.5, NaN, 2 ** 32])('refuses step %d', (step) => {
    expect(() => fillFlowNormals(new Float32Array(7), { seed: 1, step, steps: 1 }, { count: 1, elements: 7 })).toThrow(`step is ${step}; allowed: an integer from 0 to 4294967295.`);
  });

  it('wants an array of steps · count · elements', () => {
    expect(() => fillFlowNormals(new Float32Array(71), { seed: 1, step: 0, steps: 2 }, { count: 5, elements: 7 })).toThrow(ArgumentError);
  });
});
