import { ArgumentError, fillWords } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { imageArray } from './image-array.js';
import { drawOrder } from './order.js';

// Ten images of 1 × 2 × 3 whose first byte tells the image and whose rows are not symmetric.
const bytes = Uint8Array.from({ length: 60 }, (_, i) => 10 * Math.floor(i / 6) + (i % 6));
const set = (flip: boolean) => imageArray({ name: 'ten', sampleShape: [1, 2, 3], images: bytes, labels: null, flip });

describe('drawOrder', () => {
  it('maps words to indices as documented', () => {
    const words = new Uint32Array(6);
    fillWords(words, { seed: 7n, purpose: 2, step: 5 }, { count: 3, elements: 2 });
    const { indices, flips } = drawOrder({ seed: 7n, iteration: 5, count: 3 }, 60_000);
    // The same product in integers of any size.
    expect([...indices]).toEqual([0, 2, 4].map((i) => Number((BigInt(words[i]!) * 60_000n) >> 32n)));
    expect([...flips]).toEqual([1, 3, 5].map((i) => (words[i]! >= 2 ** 31 ? 1 : 0)));
  });

  it('is uniform over the set and fair in its flips', () => {
    const count = 100_000;
    const { indices, flips } = drawOrder({ seed: 1n, iteration: 0, count }, 10);
    const counts = new Array<number>(10).fill(0);
    for (const index of indices) counts[index]!++;
    // Chi-squared with 9 degrees of freedom: 27.9 is exceeded with probability 0.001.
    expect(counts.reduce((sum, n) => sum + (n - count / 10) ** 2 / (count / 10), 0)).toBeLessThan(27.9);
    const heads = flips.reduce((a, b) => a + b, 0);
    expect(Math.abs(heads - count / 2)).toBeLessThan(4 * Math.sqrt(count / 4));
  });
});

describe('imageArray', () => {
  it('makes the images that the order names, mirrored where its coin says so', async () => {
    const draw = { seed: 3n, iteration: 11, count: 50 };
    const { indices, flips } = drawOrder(draw, 10);
    expect(new Set(flips)).toEqual(new Set([0, 1]));
    for (const flip of [false, true]) {
      const out = new Float32Array(300);
      await set(flip).batch(out, draw);
      const expected = Array.from(indices, (index, s) =>
        (flip && flips[s] === 1 ? [2, 1, 0, 5, 4, 3] : [0, 1, 2, 3, 4, 5]).map((offset) => Math.fround((10 * index + offset) / 127.5 - 1)),
      ).flat();
      expect([...out]).toEqual(expected);
    }
  });

  it('gives sample s of a batch whatever the size of the batch', async () => {
    const [small, large] = [new Float32Array(18), new Float32Array(120)];
    await set(true).batch(small, { seed: 3n, iteration: 2, count: 3 });
    await set(true).batch(large, { seed: 3n, iteration: 2, count: 20 });
    expect([...large.subarray(0, 18)]).toEqual([...small]);
  });

  it('reads bytes in storage order', async () => {
    const out = new Uint8Array(12);
    await set(true).readBytes(out, 8, 2);
    expect([...out]).toEqual([80, 81, 82, 83, 84, 85, 90, 91, 92, 93, 94, 95]);
  });

  it('refuses what does not fit', () => {
    expect(() => set(false).readBytes(new Uint8Array(12), 9, 2)).toThrow(/can't read 2 images from index 9 .* holds 10 images of 6 bytes/);
    expect(() => set(false).batch(new Float32Array(5), { seed: 0n, iteration: 0, count: 1 })).toThrow(/count × \[1, 2, 3\] = 6/);
    expect(() => imageArray({ name: 'odd', sampleShape: [1, 2, 2], images: bytes.subarray(1), labels: null })).toThrow(/59 bytes are not/);
    expect(() => imageArray({ name: 'x', sampleShape: [1, 2, 3], images: bytes, labels: new Uint8Array(3) })).toThrow(ArgumentError);
  });
});
