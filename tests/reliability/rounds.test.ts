/** What a long-lived program needs: memory that holds, calls at once, aborting at any moment, errors that are survived. */
import { GraphBuilder, createBundle, newModel, writeModel } from '@ratioflow/export';
import { createRuntime, memorySource } from '@ratioflow/node';
import { RuntimeError, openBundle } from '@ratioflow/sdk';
import type { Model, SampleOptions } from '@ratioflow/sdk';
import { beforeAll, describe, expect, it } from 'vitest';
import { leastGrowth } from '../support/memory.js';
import { rehash } from './mutations.js';
import type { Files } from './mutations.js';

type Value = ReturnType<GraphBuilder['input']>;
let bundle: Files;

beforeAll(async () => {
  const builder = new GraphBuilder('network');
  const x = builder.input('x', 'float32', ['N', 2]);
  const weights = (name: string, dims: number[]): Value => builder.initializer(name, { dtype: 'float32', dims, data: new Uint8Array(Float32Array.from({ length: dims[0]! * dims[1]! }, (_, i) => Math.sin(i) / 4).buffer) });
  const h = builder.op('LeakyRelu', [builder.op('MatMul', [x, weights('a', [2, 64])])], { alpha: 0.2 });
  builder.output('n', builder.op('MatMul', [h, weights('b', [64, 1])]));
  bundle = await createBundle({ name: 'network', estimator: newModel(builder.graph), pairing: 'lr-kl', prior: { kind: 'gaussian' }, eta: 0.1, nu: 0.1, K: 9, kappa: 3, reference: createRuntime({ threads: 1 }) });
});

const workers = [false, 'thread', 'process'] as const;
const open = (worker: (typeof workers)[number], files = bundle): Promise<Model> => openBundle(memorySource(files), createRuntime({ threads: 1, worker }));
const sample = async (model: Model, options: SampleOptions): Promise<Float32Array> => (await model.sample(options)).samples.data;

describe('rounds of opening, sampling and disposing', () => {
  it('a thousand of them leave memory as it was', { timeout: 300_000 }, async () => {
    let i = 0;
    // A lost session is about 100 kB, lost samples are 16 kB: every 250 rounds would add 25 MB or 4 MB.
    expect(await leastGrowth(async () => {
      for (const end = i + 250; i < end; i++) {
        const model = await open(false);
        await model.sample({ count: 2000, seed: i });
        await model.dispose();
      }
    })).toBeLessThan(2e6);
  });

  it('also with a worker thread each', { timeout: 300_000 }, async () => {
    const rounds = async (count: number): Promise<number> => {
      for (let i = 0; i < count; i++) {
        const model = await open('thread');
        await model.sample({ count: 2000, seed: i });
        await model.dispose();
      }
      // The last threads end when nothing has used them for a moment.
      await new Promise((resolve) => { setTimeout(resolve, 400); });
      return process.memoryUsage.rss();
    };
    const before = await rounds(25);
    // A thread that stays is about 10 MB.
    expect(await rounds(50) - before).toBeLessThan(80e6);
  });
});

describe.each(workers)('with worker %j', (worker) => {
  it('64 calls at once give what they give one after another', async () => {
    const model = await open(worker);
    const together = await Promise.all(Array.from({ length: 64 }, (_, seed) => sample(model, { count: 5, seed })));
    for (const [seed, samples] of together.entries()) expect(samples).toEqual(await sample(model, { count: 5, seed }));
    await model.dispose();
  });

  it('aborting at any step leaves the model as it was', async () => {
    const model = await open(worker);
    const expected = await sample(model, { count: 3, seed: 8 });
    const { K, kappa } = model.manifest;
    for (let step = 0; step <= K + kappa; step++) {
      const reason = new Error(`enough at ${step}`);
      const controller = new AbortController();
      if (step === 0) controller.abort(reason);
      await expect(model.sample({ count: 3, seed: 8, signal: controller.signal, onStep: (progress) => progress.step === step && controller.abort(reason) })).rejects.toBe(reason);
      // A frame loop that is left at this step.
      for await (const frame of model.flow({ count: 3, seed: 8 })) if (frame.step === step) break;
      expect(await sample(model, { count: 3, seed: 8 })).toEqual(expected);
    }
    // From outside, at whatever moment.
    for (let i = 0; i < 20; i++) {
      const controller = new AbortController();
      const sampling = model.sample({ count: 3000, K: 100_000, signal: controller.signal });
      setTimeout(() => controller.abort(), i);
      await expect(sampling).rejects.toHaveProperty('name', 'AbortError');
    }
    expect(await sample(model, { count: 3, seed: 8 })).toEqual(expected);
    await model.dispose();
  });

  it('memory that is not there is a named error, and the model goes on', async () => {
    const builder = new GraphBuilder('large');
    const x = builder.input('x', 'float32', ['N', 2]);
    // 2^50 floats: no machine has them, so that the very request fails.
    const large = builder.op('Expand', [builder.op('ReduceMax', [x], { keepdims: 0 }), builder.ints([2 ** 20, 2 ** 15, 2 ** 15])]);
    builder.output('logRatio', builder.op('ReduceSum', [builder.op('Mul', [x, builder.op('ReduceMax', [large], { keepdims: 0 })]), builder.ints([1])], { keepdims: 0 }));
    const files: Files = new Map(bundle);
    files.set('ratio.onnx', writeModel(newModel(builder.graph)));
    rehash(files);
    const model = await openBundle(memorySource(files), createRuntime({ threads: 1, worker }), { selfTest: false });
    const expected = await sample(model, { count: 3, seed: 8 });
    await expect(model.score({ shape: [1, 2], data: new Float32Array(2) })).rejects.toThrow(RuntimeError);
    expect(await sample(model, { count: 3, seed: 8 })).toEqual(expected);
    await model.dispose();
    const again = await open(worker);
    expect(await sample(again, { count: 3, seed: 8 })).toEqual(expected);
    await again.dispose();
  });
});
