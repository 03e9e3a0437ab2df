import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noiseKernel as generate } from '../../scripts/make-noise-kernel.mjs';
import { globals } from '../globals.js';
import { plainKernel, vectorKernel } from './kernel.js';
import { threefry2x32 } from './threefry.js';

const word = fc.integer({ min: 0, max: 0xffffffff });

describe('the generated module', () => {
  it('is what the script makes', async () => {
    expect(readFileSync(new URL('generated/noise-kernel.ts', import.meta.url), 'utf8')).toBe(await generate());
  });
});

describe.each([['vectors', vectorKernel()], ['plain', plainKernel()]])('the kernel by %s', (_, kernel) => {
  it('is threefry2x32 in every block', () => {
    fc.assert(fc.property(word, word, word, fc.integer({ min: 1, max: 9 }), fc.nat(8), fc.nat(40), fc.nat(5), (key0, key1, sample, perSample, at, count, held) => {
      kernel.words.fill(12345);
      kernel.fill(key0, key1, sample, at % perSample, perSample, count, held);
      expect([...kernel.words.subarray(0, 2 * held)].every((word) => word === 12345)).toBe(true);
      const expected = Array.from({ length: count }, (_, i) => at % perSample + i)
        .flatMap((block) => threefry2x32(key0, key1, sample + Math.floor(block / perSample), block % perSample));
      expect([...kernel.words.subarray(2 * held, 2 * (held + count))]).toEqual(expected);
    }), { numRuns: 300 });
  });

  it('fills its buffer to the end', () => {
    const blocks = kernel.words.length / 2;
    kernel.fill(7, 8, 9, 0, blocks, blocks, 0);
    expect([...kernel.words.subarray(-2)]).toEqual(threefry2x32(7, 8, 9, blocks - 1));
    kernel.toNormals(2 * blocks);
    expect(Math.abs(kernel.normals.at(-1)!)).toBeLessThan(6.34);
  });
});

describe('both kernels', () => {
  it('make the same normals of the same words, bit for bit', () => {
    const [vectors, plain] = [vectorKernel(), plainKernel()];
    const octaves = Array.from({ length: 4096 }, (_, i) => (2 ** (i % 33) + (i >> 5) * 977 - 64) >>> 0);
    const check = (words: readonly number[]): void => {
      for (const kernel of [vectors, plain]) {
        kernel.words.set(words);
        kernel.toNormals(words.length);
      }
      expect(vectors.words.slice(0, words.length)).toEqual(plain.words.slice(0, words.length));
    };
    check(octaves);
    fc.assert(fc.property(fc.array(word, { minLength: 1, maxLength: 100 }), check));
  });
});

describe('without WebAssembly', () => {
  it('asking for vectors fails, so that the plain kernel is taken', () => {
    const { WebAssembly } = globals;
    try {
      Object.assign(globalThis, { WebAssembly: undefined });
      expect(vectorKernel).toThrow();
    } finally {
      Object.assign(globalThis, { WebAssembly });
    }
  });
});
