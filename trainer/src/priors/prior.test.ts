import { ArgumentError, fillNormals, fillWords, trainingSeed } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { createPrior } from './prior.js';
import type { PriorState } from './prior.js';

// L, its mean, and x₀ = clamp(mean + z·Lᵀ), small enough to check by hand.
const ddp: PriorState = { kind: 'ddp', mean: Float32Array.of(0.25, -0.5), factor: Float32Array.of(0.5, 0, -0.25, 0.125) };

describe('createPrior', () => {
  it('gaussian: the normals of the noise specification themselves', () => {
    const prior = createPrior({ kind: 'gaussian' }, [3]);
    const [out, normals] = [new Float32Array(12), new Float32Array(12)];
    prior.draw(out, { seed: 9n, firstSample: 2, count: 4 });
    fillNormals(normals, { seed: 9n, purpose: 0, step: 0 }, { firstSample: 2, count: 4, elements: 3 });
    expect([prior.z, ...out]).toEqual(['normal', ...normals]);
  });

  it('uniform: 2z − 1 of z rounded to float32', () => {
    const prior = createPrior({ kind: 'uniform' }, [1, 2, 2]);
    const [out, words] = [new Float32Array(400), new Uint32Array(400)];
    prior.draw(out, { seed: 9n, count: 100 });
    fillWords(words, { seed: 9n, purpose: 0, step: 0 }, { count: 100, elements: 4 });
    expect([...out]).toEqual(Array.from(words, (word) => Math.fround(2 * Math.fround((word + 0.5) / 2 ** 32) - 1)));
    expect(prior.z).toBe('uniform');
  });

  it('ddp: mean + z·Lᵀ, clamped, for any number of samples', () => {
    const prior = createPrior(ddp, [2]);
    for (const count of [1, 3, 4, 9]) {
      const [out, z] = [new Float32Array(2 * count), new Float32Array(2 * count)];
      prior.draw(out, { seed: 1n, count });
      prior.drawLatent(z, { seed: 1n, count });
      const clamp = (x: number): number => Math.min(1, Math.max(-1, x));
      for (let s = 0; s < count; s++) {
        expect(out[2 * s]).toBeCloseTo(clamp(0.25 + 0.5 * z[2 * s]!), 6);
        expect(out[2 * s + 1]).toBeCloseTo(clamp(-0.5 - 0.25 * z[2 * s]! + 0.125 * z[2 * s + 1]!), 6);
      }
    }
    const x = new Float32Array(2);
    prior.transform(x, Float32Array.of(4, 0));
    expect([...x]).toEqual([1, -1]);
  });

  it('draws a sample independently of the batch, and anew for each iteration of training', () => {
    const prior = createPrior(ddp, [2]);
    const [all, one, next] = [new Float32Array(20), new Float32Array(2), new Float32Array(20)];
    prior.draw(all, { seed: trainingSeed(4n, 0), count: 10 });
    prior.draw(one, { seed: trainingSeed(4n, 0), firstSample: 7, count: 1 });
    prior.draw(next, { seed: trainingSeed(4n, 1), count: 10 });
    expect([...one]).toEqual([...all.subarray(14, 16)]);
    expect([...next]).not.toEqual([...all]);
  });

  it('refuses what does not fit', () => {
    expect(() => createPrior({ kind: 'normal' } as unknown as PriorState, [2])).toThrow(/Unknown prior "normal": use one of gaussian, uniform, ddp/);
    expect(() => createPrior(ddp, [3])).toThrow(/a mean of 2 and a factor of 4 numbers .* need 3 and 9/);
    expect(() => createPrior(ddp, [2]).draw(new Float32Array(5), { seed: 0n, count: 3 })).toThrow(ArgumentError);
  });
});
