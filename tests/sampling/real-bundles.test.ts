/** The sampler on bundles as the exporter writes them, run by ONNX Runtime. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphBuilder, createBundle, newModel, writeBundle } from '@ratioflow/export';
import { createRuntime, folderSource } from '@ratioflow/node';
import { normals, openBundle, purposes } from '@ratioflow/sdk';
import type { FloatTensor, Model, Runtime } from '@ratioflow/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leastGrowth } from '../support/memory.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-bundles-'));
  await writeNetwork(join(folder, 'mlp'), [2]);
  await writeNetwork(join(folder, 'image'), [1, 8, 8]);
});
afterAll(() => rm(folder, { recursive: true }));

/** A network of the toy experiments' kind with fixed random weights. */
async function writeNetwork(path: string, sampleShape: readonly number[]): Promise<void> {
  const builder = new GraphBuilder('mlp');
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  const x = builder.input('x', 'float32', ['N', ...sampleShape]);
  let h = sampleShape.length === 1 ? x : builder.op('Reshape', [x, builder.ints([-1, elements])]);
  for (const [i, [from, to]] of [[elements, 64], [64, 64], [64, 1]].entries() as ArrayIterator<[number, [number, number]]>) {
    const weights = normals({ seed: 11, purpose: purposes.weights, step: i, count: 1, elements: from * to }).map((value) => value / Math.sqrt(from));
    const w = builder.initializer(`w${i}`, { dtype: 'float32', dims: [from, to], data: new Uint8Array(weights.buffer) });
    h = builder.op('MatMul', [h, w]);
    if (to > 1) h = builder.op('LeakyRelu', [h], { alpha: 0.2 });
  }
  builder.output('n', h);
  await writeBundle(path, await createBundle({
    name: 'mlp', estimator: newModel(builder.graph), pairing: 'lr-js', prior: { kind: 'uniform' }, valueRange: [-1, 1],
    eta: 0.2, nu: 0.1, K: 25, kappa: 7, reference: createRuntime({ threads: 1 }),
  }));
}

/** The same engine, said not to run loops: every step is a call. */
function withoutLoops(runtime: Runtime): Runtime {
  return { ...runtime, load: async (graph, options) => ({ ...await runtime.load(graph, options), capabilities: { controlFlow: false, deviceTensors: false } }) };
}
const open = (name: string, runtime: Runtime = createRuntime()): Promise<Model> => openBundle(folderSource(join(folder, name)), runtime);

function largestDifference(a: FloatTensor, b: FloatTensor): number {
  expect(a.shape).toEqual(b.shape);
  return a.data.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b.data[i]!)), 0);
}

describe.each(['mlp', 'image'])('sampling the bundle %s', (name) => {
  it('comes to the same through the sampler graph, through single steps, and by hand', async () => {
    await using model = await open(name);
    await using stepped = await open(name, withoutLoops(createRuntime()));
    const whole = await model.sample({ count: 6, seed: 3, first: 4 });
    const single = await stepped.sample({ count: 6, seed: 3, first: 4 });
    expect([whole.statistics.plan, single.statistics.plan]).toEqual(['graph', 'step']);
    expect(largestDifference(whole.samples, single.samples)).toBeLessThan(1e-5);
    let x = await model.prior({ count: 6, seed: 3, first: 4 });
    const elements = x.data.length / 6;
    for (let k = 0; k < 32; k++) {
      // x_{k+1} = x_k + η · drift + ν ξ_k, the drift from gradient.onnx.
      const { drift } = await model.gradient(x);
      const xi = normals({ seed: 3, purpose: purposes.flow, step: k, firstSample: 4, count: 6, elements });
      x = { shape: x.shape, data: x.data.map((value, i) => value + 0.2 * drift.data[i]! + 0.1 * xi[i]!) };
    }
    expect(largestDifference(whole.samples, { shape: x.shape, data: x.data.map((value) => Math.min(1, Math.max(-1, value))) })).toBeLessThan(1e-4);
    // It went somewhere: a flow that stands still would pass everything above.
    expect(largestDifference(whole.samples, await model.prior({ count: 6, seed: 3, first: 4 }))).toBeGreaterThan(0.3);
  });

  it('gives a sample whatever the batch, the shard or the threads', async () => {
    await using model = await open(name);
    await using oneThread = await open(name, createRuntime({ threads: 1 }));
    const { samples } = await model.sample({ count: 40, seed: 12, batch: 40 });
    const rows = (from: number, count: number): FloatTensor => {
      const elements = samples.data.length / 40;
      return { shape: [count, ...samples.shape.slice(1)], data: samples.data.slice(from * elements, (from + count) * elements) };
    };
    for (const batch of [1, 3, 16, 39]) expect(largestDifference((await model.sample({ count: 40, seed: 12, batch })).samples, samples)).toBeLessThan(1e-5);
    for (const [first, count] of [[31, 9], [0, 1], [7, 20]] as const) {
      expect(largestDifference((await oneThread.sample({ first, count, seed: 12 })).samples, rows(first, count))).toBeLessThan(1e-5);
    }
  });

  it.each(['disabled', 'basic', 'extended', 'all'] as const)('passes verification at optimisation %s', async (optimization) => {
    await using model = await openBundle(folderSource(join(folder, name)), createRuntime(), { optimization });
    const { passed, checks } = await model.verify();
    expect(checks.filter((check) => !check.passed)).toEqual([]);
    // The device-noise sampler has one more output than the seven that every bundle has, the generator of images another.
    expect([passed, checks.length]).toEqual([true, name === 'image' ? 9 : 8]);
  });

  it('gives 64 concurrent calls what they get one after another', async () => {
    await using model = await open(name);
    const together = await Promise.all(Array.from({ length: 64 }, (_, seed) => model.sample({ count: 3, seed })));
    for (const [seed, { samples }] of together.entries()) expect(largestDifference((await model.sample({ count: 3, seed })).samples, samples)).toBeLessThan(1e-5);
  });

  it('can be aborted, and goes on afterwards', async () => {
    await using model = await open(name);
    const expected = (await model.sample({ count: 4 })).samples.data;
    const reason = new Error('enough');
    await expect(model.sample({ count: 4, K: 1_000_000, signal: AbortSignal.any([AbortSignal.timeout(30)]) })).rejects.toThrow('timeout');
    const controller = new AbortController();
    await expect(model.sample({ count: 4, signal: controller.signal, onStep: ({ step }) => step === 20 && controller.abort(reason) })).rejects.toBe(reason);
    expect((await model.sample({ count: 4 })).samples.data).toEqual(expected);
  });

  it('holds memory flat over many samplings and many openings', async () => {
    // 20 rounds that each lost what a session and its weights take would add more.
    expect(await leastGrowth(async () => {
      for (let i = 0; i < 20; i++) {
        await using model = await open(name, createRuntime({ threads: 1 }));
        for (let j = 0; j < 5; j++) await model.sample({ count: 256, K: 4, kappa: 1 });
      }
    })).toBeLessThan(5e6);
  });
});
