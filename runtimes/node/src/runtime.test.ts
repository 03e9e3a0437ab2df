import { readFile } from 'node:fs/promises';
import { ArgumentError, BundleError, RuntimeError } from '@ratioflow/sdk';
import type { GraphSource, LoadOptions, Session } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { leastGrowth } from '../../../tests/support/memory.js';
import { localEngine } from './engine.js';
import type { Engine } from './engine.js';
import { probeProvider } from './probe.js';
import { checkProviders } from './providers.js';
import { createRuntime, runtimeOn } from './runtime.js';

const file = async (name: string): Promise<Uint8Array> => new Uint8Array(await readFile(new URL(`testing/${name}`, import.meta.url)));
const source = async (name: string): Promise<GraphSource> => ({ name, model: await file(name), externalData: file });
const load = async (name: string, options?: LoadOptions): Promise<Session> => createRuntime().load(await source(name), options);

/** x W + b with the numbers of make_models.py. */
const affine = ([x, y]: readonly [number, number]): number[] => [0.5 * x + y + 1, -0.25 * x + 0.75 * y - 1];

describe('createRuntime', () => {
  it.each(['disabled', 'basic', 'extended', 'all'] as const)('runs a model whose weights come from memory, optimisation %s', async (optimization) => {
    const session = await load('affine.onnx', { optimization, threads: 1 });
    expect(session).toMatchObject({ provider: 'cpu', inputNames: ['x'], outputNames: ['y'] });
    const { y } = await session.run({ x: { shape: [2, 2], data: Float32Array.of(1, 2, -3, 0.5) } });
    expect(y).toEqual({ shape: [2, 2], data: Float32Array.of(...affine([1, 2]), ...affine([-3, 0.5])) });
    await session.dispose();
  });

  it.each(['disabled', 'all'] as const)('runs a loop whose body has weights outside, optimisation %s', async (optimization) => {
    const session = await load('loop.onnx', { optimization });
    const noise = Float32Array.of(0.1, 0.2, -0.3, 0.4, 0, 1);
    const { x_K } = await session.run({ x0: { shape: [1, 2], data: Float32Array.of(1, -1) }, noise: { shape: [3, 1, 2], data: noise }, eta: { shape: [], data: Float32Array.of(2) } });
    let [a, b] = [1, -1];
    for (let k = 0; k < 3; k++) [a, b] = [2 * (0.5 * a + b) + noise[2 * k]!, 2 * (-0.25 * a + 0.75 * b) + noise[2 * k + 1]!];
    expect(x_K!.shape).toEqual([1, 2]);
    expect(Array.from(x_K!.data as Float32Array)).toEqual([expect.closeTo(a, 5), expect.closeTo(b, 5)]);
    await session.dispose();
  });

  it('keeps no reference to the bytes it was given', async () => {
    const weights = await file('weights.bin');
    const graph = { ...await source('affine.onnx'), externalData: () => Promise.resolve(weights) };
    const session = await createRuntime().load(graph);
    graph.model.fill(0);
    weights.fill(0);
    const { y } = await session.run({ x: { shape: [1, 2], data: Float32Array.of(1, 2) } });
    expect(Array.from(y!.data as Float32Array)).toEqual(affine([1, 2]));
    await session.dispose();
  });

  it('carries the other element types, and refuses those it does not know', async () => {
    const session = await load('types.onnx');
    const feeds = { d: { shape: [2], data: Float64Array.of(1e-300, -2) }, i: { shape: [2], data: BigInt64Array.of(2n ** 60n, -1n) } };
    expect(await session.run(feeds, ['minus_d', 'minus_i'])).toEqual({
      minus_d: { shape: [2], data: Float64Array.of(-1e-300, 2) }, minus_i: { shape: [2], data: BigInt64Array.of(-(2n ** 60n), 1n) },
    });
    await expect(session.run(feeds)).rejects.toThrow('types.onnx returned less as bool; supported: float32, float64, int32, int64, uint8.');
    await session.dispose();
  });

  it('says what went wrong in a run, and goes on', async () => {
    const session = await load('affine.onnx');
    await expect(session.run({})).rejects.toThrow(RuntimeError);
    await expect(session.run({ x: { shape: [1, 3], data: new Float32Array(3) } })).rejects.toThrow(/^affine\.onnx failed on cpu: Got invalid dimensions for input: x/);
    await expect(session.run({ x: { shape: [2, 2], data: new Float32Array(3) } })).rejects.toThrow(ArgumentError);
    expect((await session.run({ x: { shape: [1, 2], data: new Float32Array(2) } })).y!.data).toEqual(Float32Array.of(1, -1));
    await session.dispose();
    await session.dispose();
    await expect(session.run({ x: { shape: [1, 2], data: new Float32Array(2) } })).rejects.toThrow('The session of affine.onnx has been disposed of.');
  });

  it('reads nothing that it was not given', async () => {
    await expect(createRuntime().load({ name: 'escape.onnx', model: await file('escape.onnx') })).rejects.toThrow(new BundleError('escape.onnx refers to external data "../weights.bin", which was not given.'));
    // The engine drops the bits of a tag beyond 32: a field that our own walk must not pass over.
    const graph = (await file('escape.onnx')).indexOf(0x3a);
    const model = await file('escape.onnx');
    const hidden = Buffer.concat([model.subarray(0, graph), Uint8Array.of(0x3a | 128, 128, 128, 128, 16), model.subarray(graph + 1)]);
    await expect(createRuntime().load({ name: 'hidden.onnx', model: hidden }, { optimization: 'disabled' })).rejects.toThrow(`hidden.onnx is not an ONNX model: the tag at byte ${graph} has more than 32 bits.`);
    const short = { ...await source('loop.onnx'), externalData: () => Promise.resolve(new Uint8Array(70)) };
    await expect(createRuntime().load(short)).rejects.toThrow('loop.onnx: a tensor wants bytes 64 to 80 of weights.bin, which has 70.');
  });

  it('refuses what is no model', async () => {
    const runtime = createRuntime();
    const model = await file('loop.onnx');
    await expect(runtime.load({ name: 'empty.onnx', model: new Uint8Array(0) })).rejects.toThrow(RuntimeError);
    for (let length = 1; length < model.length; length += 7) {
      await expect(runtime.load({ ...await source('loop.onnx'), model: model.subarray(0, length) })).rejects.toSatisfy((error) => error instanceof RuntimeError || error instanceof BundleError);
    }
  });

  it('reports a provider that does not run, and uses the next', async ({ skip }) => {
    if (await probeProvider('cuda') === undefined) skip('CUDA runs here');
    const runtime = createRuntime({ providers: ['cuda', 'cpu'] });
    const session = await runtime.load(await source('affine.onnx'));
    expect(session.provider).toBe('cpu');
    expect(runtime.warnings).toHaveLength(1);
    expect(runtime.warnings[0]).toMatch(/^cuda does not run here: .*\. To get it, install .* Running on cpu instead\.$/);
    await session.dispose();
    // Once is enough.
    await (await runtime.load(await source('affine.onnx'))).dispose();
    expect(runtime.warnings).toHaveLength(1);
  });

  it('asks again which providers run when the answer did not come', async () => {
    let asked = 0;
    const engine: Engine = { ...localEngine, probe: () => (asked++ === 0 ? Promise.reject(new RuntimeError('The worker process ended')) : Promise.resolve('absent')) };
    const runtime = runtimeOn(engine, ['cuda']);
    await expect(runtime.load(await source('affine.onnx'))).rejects.toThrow('The worker process ended');
    const session = await runtime.load(await source('affine.onnx'));
    expect([session.provider, asked, runtime.warnings.length]).toEqual(['cpu', 2, 1]);
    await session.dispose();
  });

  it('has a CPU provider that runs', async () => {
    expect(await probeProvider('cpu')).toBeUndefined();
  });

  it('refuses options out of range', async () => {
    expect(() => checkProviders(['tpu'])).toThrow(new ArgumentError('providers has "tpu"; allowed: cuda, webgpu, cpu, in order of preference.'));
    expect(() => createRuntime({ providers: [] })).toThrow('providers has no entry');
    expect(() => createRuntime({ providers: 'cpu' as never })).toThrow(new ArgumentError('providers is "cpu"; allowed: an array of cuda, webgpu, cpu.'));
    expect(() => createRuntime({ provider: ['cuda'], wrker: true } as never)).toThrow(new ArgumentError('Unknown option "provider"; allowed: providers, threads, split, worker, timeout, memoryLimit, cuda.'));
    expect(() => createRuntime({ cuda: null as never })).toThrow(new ArgumentError('cuda is null; allowed: an object of deviceId.'));
    expect(() => createRuntime({ cuda: { device: 3 } as never })).toThrow(new ArgumentError('Unknown option "device" of cuda; allowed: deviceId.'));
    expect(() => createRuntime({ cuda: 3 as never })).toThrow(new ArgumentError('cuda is 3; allowed: an object of deviceId.'));
    expect(() => createRuntime({ threads: 0 })).toThrow('threads is 0; allowed: an integer from 1 to 1024.');
    expect(() => createRuntime({ threads: '2' as never })).toThrow('threads is "2"; allowed: an integer from 1 to 1024.');
    await expect(load('affine.onnx', { threads: 1.5 })).rejects.toThrow('threads is 1.5');
    await expect(load('affine.onnx', { optimization: 'max' as never })).rejects.toThrow(new ArgumentError('optimization is "max"; allowed: disabled, basic, extended, all.'));
  });

  it('does not grow over many rounds of loading, running and disposing', async () => {
    const graph = await source('affine.onnx');
    const runtime = createRuntime({ threads: 1 });
    // 100 rounds that each lost their 160 kB output alone would add 16 MB, and as much again for the session.
    expect(await leastGrowth(async () => {
      for (let i = 0; i < 100; i++) {
        const session = await runtime.load(graph);
        await session.run({ x: { shape: [20_000, 2], data: new Float32Array(40_000) } });
        await session.dispose();
      }
    })).toBeLessThan(8e6);
  });
});
