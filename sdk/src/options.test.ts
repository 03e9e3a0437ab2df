import { beforeAll, describe, expect, it } from 'vitest';
import { ArgumentError } from './errors.js';
import { openBundle } from './model.js';
import type { Model } from './model.js';
import type { FlowOptions, SampleOptions } from './options.js';
import { fakeRuntime, fakeSource } from './testing/fake-bundle.js';

let model: Model;
beforeAll(async () => { model = await openBundle(await fakeSource(), fakeRuntime()); });
const tensor = (shape: number[], length = shape.reduce((a, b) => a * b, 1)): { shape: number[]; data: Float32Array } => ({ shape, data: new Float32Array(length) });

describe('options of sample', () => {
  it('that need more memory than there is are refused as such', async () => {
    const { Float32Array: original } = globalThis;
    globalThis.Float32Array = new Proxy(original, { construct: (target, args: [number]) => {
      if (args[0] === 2_000_000) throw new RangeError('Array buffer allocation failed');
      return new target(...args);
    } });
    try {
      await expect(model.sample({ count: 1_000_000 })).rejects.toThrow(new ArgumentError('1000000 samples need 2000000 values, which do not fit in memory: take fewer at a time.'));
    } finally {
      globalThis.Float32Array = original;
    }
  });

  it.each(([
    [{ count: 0 }, 'count is 0; allowed: an integer from 1 to 4294967296.'],
    [{ count: 1.5 }, 'count is 1.5'],
    [{ count: '8' }, 'count is "8"'],
    [{ count: NaN }, 'count is NaN'],
    [{ count: 2 ** 31 }, 'count is 2147483648; allowed: at most 1073741824 at a time; make the others with first: 1073741824.'],
    [{ seed: -1 }, 'seed is -1; allowed: an integer from 0 to 2^64 − 1, as a bigint,'],
    [{ seed: 2n ** 64n }, 'seed is 18446744073709551616n; allowed'],
    [{ seed: 1.5 }, 'seed is 1.5; allowed'],
    [{ first: -1 }, 'first is -1; allowed: an integer from 0 to 4294967295.'],
    [{ first: 2 ** 32 - 4, count: 5 }, 'first is 4294967292; allowed: an integer from 0 to 4294967291.'],
    [{ batch: 0 }, 'batch is 0; allowed: an integer from 1.'],
    [{ K: -1 }, 'K is -1; allowed: an integer from 0 to 1000000.'],
    [{ kappa: 2.5 }, 'kappa is 2.5'],
    [{ eta: Infinity }, 'eta is Infinity; allowed: a number from 0 to 3.4e+38.'],
    [{ eta: 1e39 }, 'eta is 1e+39; allowed: a number from 0 to 3.4e+38.'],
    [{ eta: -1 }, 'eta is -1'],
    [{ nu: NaN }, 'nu is NaN'],
    [{ x0: 0 }, 'x0 is 0; allowed: { shape: [N, 2], data: Float32Array }.'],
    [{ noise: false }, 'noise is false; allowed: { shape: [17, 1, 2], data: Float32Array }.'],
    [{ x0: [1, 2] }, 'x0 is [1,2]; allowed: { shape: [N, 2], data: Float32Array }.'],
    [{ x0: { shape: [1, 2], data: new Float64Array(2) } }, 'x0 is {"shape":[1,2],"data":"Float64Array"}; allowed: { shape: [N, 2], data: Float32Array }.'],
    [{ x0: tensor([3, 3]) }, 'x0 has shape [3, 3]; allowed: [N, 2].'],
    [{ x0: tensor([0, 2]) }, 'x0 has shape [0, 2]; allowed: [N, 2].'],
    [{ x0: tensor([3, 2], 5) }, 'x0 has 5 elements; its shape [3, 2] makes 6.'],
    [{ x0: tensor([3, 2]), count: 4 }, 'x0 has shape [3, 2]; allowed: [4, 2].'],
    [{ noise: tensor([16, 1, 2]) }, 'noise has shape [16, 1, 2]; allowed: [17, 1, 2].'],
    [{ noise: tensor([17, 2]), count: 1 }, 'noise has shape [17, 2]; allowed: [17, 1, 2].'],
    [{ signal: new AbortController() }, 'signal is {}; allowed: an AbortSignal.'],
    [{ signal: null }, 'signal is null'],
    [{ onStep: 1 }, 'onStep is 1; allowed: a function.'],
    [{ weights: 0 }, 'weights is 0; allowed: an array of at most 1000 entries.'],
    [{ weights: null }, 'weights is null'],
    [{ class: null }, 'class and scale need a guided bundle'],
    [16, 'options is 16; allowed: an object.'],
    ['16', 'options is "16"; allowed: an object.'],
    [null, 'options is null; allowed: an object.'],
    [{ steps: 100 }, 'Unknown option "steps"; allowed: count, seed, first, K, kappa, eta, nu, x0, noise, signal, class, scale, weights, batch, onStep.'],
  ] satisfies [unknown, string][]).map(([options, message]) => [message, options] as const))('are refused: %s', async (message, options) => {
    await expect(model.sample(options as SampleOptions)).rejects.toThrow(ArgumentError);
    await expect(model.sample(options as SampleOptions)).rejects.toThrow(message);
  });

  it.each([[16, '16'], [null, 'null'], [[], '[]']])('are refused by the other methods, too, where they are none: %j', async (none, shown) => {
    const error = new ArgumentError(`options is ${shown}; allowed: an object.`);
    await expect(model.flow(none as FlowOptions).next()).rejects.toThrow(error);
    await expect(model.prior(none as never)).rejects.toThrow(error);
    await expect(model.step(tensor([1, 2]), tensor([1, 2]), none as never)).rejects.toThrow(error);
  });

  it.each<[unknown, string]>([
    [{ every: 0 }, 'every is 0; allowed: an integer from 1.'],
    [{ batch: 3 }, 'Unknown option "batch"'],
    [{ kappa: -2 }, 'kappa is -2'],
  ])('are refused by flow: %j', async (options, message) => {
    await expect(model.flow(options as FlowOptions).next()).rejects.toThrow(message);
  });

  it('are not written out in the message where they are large', async () => {
    await expect(model.score({ shape: [1, 2], data: new Float64Array(2 ** 24) })).rejects.toThrow('x is {"shape":[1,2],"data":"Float64Array"}');
  });

  it('are refused by the other methods', async () => {
    await expect(model.prior({ count: -1 })).rejects.toThrow('count is -1');
    await expect(model.prior({ z: tensor([1, 2]), count: 1 })).rejects.toThrow('Unknown option "count"; allowed: z.');
    await expect(model.prior({ K: 1 } as never)).rejects.toThrow('Unknown option "K"; allowed: count, seed, first, z.');
    await expect(model.score(tensor([2, 3]))).rejects.toThrow('x has shape [2, 3]; allowed: [N, 2].');
    await expect(model.gradient(tensor([2]))).rejects.toThrow('x has shape [2]; allowed: [N, 2].');
    await expect(model.step(tensor([2, 2]), tensor([1, 2]))).rejects.toThrow('noise has shape [1, 2]; allowed: [2, 2].');
    await expect(model.step(tensor([1, 2]), tensor([1, 2]), { eta: NaN })).rejects.toThrow('eta is NaN');
    await expect(openBundle(await fakeSource(), fakeRuntime(), { thread: 2 } as never)).rejects.toThrow('Unknown option "thread"; allowed: threads, optimization, selfTest.');
  });
});
