import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../errors.js';
import type { Seed } from './stream.js';
import { parseSeed, purposes, seedKey, streamKey, trainingSeed } from './stream.js';
import { threefry2x32 } from './threefry.js';

describe('seeds', () => {
  it('may be bigints, numbers or digits, with one meaning', () => {
    expect([parseSeed(42n), parseSeed(42), parseSeed('42'), parseSeed('0042')]).toEqual([42n, 42n, 42n, 42n]);
    expect(parseSeed('18446744073709551615')).toBe(2n ** 64n - 1n);
    expect(parseSeed(Number.MAX_SAFE_INTEGER)).toBe(2n ** 53n - 1n);
    expect(seedKey(0x123456789abcdef0n)).toEqual([0x9abcdef0, 0x12345678]);
  });

  it.each<[Seed, string]>([
    [-1, '-1'], [-1n, '-1n'], [0.5, '0.5'], [NaN, 'NaN'], [Infinity, 'Infinity'], [2 ** 53, '9007199254740992'],
    [2n ** 64n, '18446744073709551616n'], ['18446744073709551616', '"18446744073709551616"'], ['', '""'], ['1e3', '"1e3"'],
    ['0x10', '"0x10"'], [' 1', '" 1"'], ['-1', '"-1"'], ['٣', '"٣"'],
    [undefined as unknown as Seed, 'undefined'], [{} as unknown as Seed, '{}'],
  ])('refuses %s', (seed, shown) => {
    expect(() => parseSeed(seed)).toThrow(ArgumentError);
    expect(() => parseSeed(seed)).toThrow(`seed is ${shown}; allowed: an integer from 0 to 2^64 − 1, as a bigint`);
  });

  it('does not repeat a seed of a million digits in its message', () => {
    expect(() => parseSeed('9'.repeat(1_000_000))).toThrow(/^.{1,200}$/s);
  });
});

describe('streams', () => {
  it('have the block of (purpose, step) under the seed as their key', () => {
    expect(streamKey({ seed: 0x0370734413198a2en, purpose: 0x243f6a88, step: 0x85a308d3 })).toEqual([0xc4923a9c, 0x483df7a0]);
  });

  it.each([[-1, 0], [2 ** 32, 0], [0.5, 0]])('refuse purpose %d', (purpose, step) => {
    expect(() => streamKey({ seed: 0, purpose, step })).toThrow(`purpose is ${purpose}; allowed: an integer from 0 to 4294967295.`);
  });

  it.each([-1, 2 ** 32, 1.5, NaN])('refuse step %d', (step) => {
    expect(() => streamKey({ seed: 0, purpose: 0, step })).toThrow(`step is ${step}; allowed: an integer from 0 to 4294967295.`);
  });

  it('keep the numbers of the specification', () => {
    expect(purposes).toEqual({ prior: 0, flow: 1, order: 2, dequantisation: 3, testVectors: 4, weights: 5 });
  });
});

describe('trainingSeed', () => {
  it('is the block of (1, t) under the seed, low word first', () => {
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat(), (seed, iteration) => {
      const [low, high] = threefry2x32(Number(seed % 2n ** 32n), Number(seed / 2n ** 32n), 1, iteration);
      expect(trainingSeed(seed, iteration)).toBe(BigInt(low) + BigInt(high) * 2n ** 32n);
      expect(trainingSeed(seed.toString(), iteration)).toBe(trainingSeed(seed, iteration));
    }));
  });

  it('differs from one iteration to the next', () => {
    expect(new Set(Array.from({ length: 10_000 }, (_, t) => trainingSeed(42, t))).size).toBe(10_000);
  });

  it('refuses iterations out of range', () => {
    expect(() => trainingSeed(1, -1)).toThrow(ArgumentError);
  });
});
