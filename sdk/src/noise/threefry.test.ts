import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { threefry2x32 } from './threefry.js';
import { threefryRows } from './threefry-rows.js';

const word = fc.integer({ min: 0, max: 0xffffffff });

describe('threefry2x32', () => {
  // tests/kat_vectors of Random123, lines "threefry2x32 20": counter, key, result.
  it.each([
    [[0, 0], [0, 0], [0x6b200159, 0x99ba4efe]],
    [[0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], [0x1cb996fc, 0xbb002be7]],
    [[0x243f6a88, 0x85a308d3], [0x13198a2e, 0x03707344], [0xc4923a9c, 0x483df7a0]],
  ])('gives the published answer for counter %j, key %j', (counter, key, expected) => {
    expect(threefry2x32(key[0]!, key[1]!, counter[0]!, counter[1]!)).toEqual(expected);
  });

  it('takes its arguments modulo 2^32', () => {
    fc.assert(fc.property(word, word, word, word, (k0, k1, c0, c1) => {
      expect(threefry2x32(k0 | 0, k1 | 0, c0 | 0, c1 | 0)).toEqual(threefry2x32(k0, k1, c0, c1));
    }));
  });
});

describe('threefryRows', () => {
  it('is threefry2x32 in every block, and touches nothing else', () => {
    fc.assert(fc.property(word, word, word, fc.nat(9), fc.nat(23), fc.nat(3), (k0, k1, firstSample, count, elements, offset) => {
      const sentinel = 0xdeadbeef;
      const out = new Uint32Array(offset + count * elements + 3).fill(sentinel);
      threefryRows(out, offset, k0, k1, firstSample, count, elements);
      const expected: number[] = Array<number>(offset).fill(sentinel);
      for (let row = 0; row < count; row++) {
        for (let e = 0; e < elements; e++) expected.push(threefry2x32(k0, k1, firstSample + row, e >> 1)[e % 2 === 0 ? 0 : 1]);
      }
      expect([...out]).toEqual([...expected, sentinel, sentinel, sentinel]);
    }), { numRuns: 300 });
  });
});
