import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { threefry2x32 } from './threefry.js';

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
