/** Batches computed in parts, against the closed form of the graphs and against one engine on all threads. */
import { readFile } from 'node:fs/promises';
import { RuntimeError } from '@ratioflow/sdk';
import type { GraphSource, Session, Tensor, TensorData } from '@ratioflow/sdk';
import { resolveExternalData } from '@ratioflow/sdk/engine';
import { describe, expect, it } from 'vitest';
import { localEngine } from './engine.js';
import type { EngineOptions, EngineSession } from './engine.js';
import { createRuntime } from './runtime.js';
import type { RuntimeOptions } from './runtime.js';
import { slicedSession, splitSession } from './split-session.js';
import { createSplitter } from './splitter.js';

const file = async (name: string): Promise<Uint8Array> => new Uint8Array(await readFile(new URL(`testing/${name}`, import.meta.url)));
const source = async (name: string): Promise<GraphSource> => ({ name, model: await file(name), externalData: file });
const wave = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(i));
/** Bit for bit; quicker than comparing large arrays element by element. */
const same = (a: TensorData, b: TensorData): boolean => Buffer.compare(Buffer.from(a.buffer, a.byteOffset, a.byteLength), Buffer.from(b.buffer, b.byteOffset, b.byteLength)) === 0;
/** Enough for 5 parts. */
const rows = 50_001;

/** How many samples each part was given. */
function spy(count: number): { parts: Session[]; sizes: number[]; disposed: () => number } {
  const sizes: number[] = [];
  let disposed = 0;
  const part = (): Session => ({
    provider: 'cpu', capabilities: { controlFlow: true, deviceTensors: false }, inputNames: ['x', 'noise', 'eta'], outputNames: ['y'],
    run: async ({ x, noise, eta }) => {
      const [n, , steps] = [x!.shape[0]!, sizes.push(x!.shape[0]!), noise!.shape[0]!];
      // y = η Σ_k noise_k + x, of which every element has its own place.
      const y = new Float32Array(n * 3).map((_, i) => (x!.data[i] as number) + (eta!.data[0] as number) * Array.from({ length: steps }, (_, k) => noise!.data[k * n * 3 + i] as number).reduce((a, b) => a + b, 0));
      return Promise.resolve({ y: { shape: [n, 3], data: y } });
    },
    dispose: () => {
      disposed++;
      return Promise.resolve();
    },
  });
  return { parts: Array.from({ length: count }, part), sizes, disposed: () => disposed };
}

describe('splitSession', () => {
  const feeds = (n: number, steps: number): Record<string, Tensor> => ({
    x: { shape: [n, 3], data: wave(n * 3) }, noise: { shape: [steps, n, 3], data: wave(steps * n * 3) }, eta: { shape: [], data: Float32Array.of(2) },
  });
  const batchAxes = { x: 0, noise: 1 };

  it('gives every sample its own inputs, whichever axis counts them, in parts of nearly one size', async () => {
    const [whole, team] = [spy(1), spy(3)];
    const session = splitSession({ ...whole.parts[0]!, batchAxes }, { count: 3, load: () => Promise.resolve(team.parts), failed: () => expect.unreachable() });
    for (const [n, steps] of [[4001, 4], [3, 20_000], [20_000, 1]] as const) {
      const [found, expected] = [await session.run(feeds(n, steps)), await whole.parts[0]!.run(feeds(n, steps))];
      expect(found['y']!.shape).toEqual([n, 3]);
      expect(same(found['y']!.data, expected['y']!.data)).toBe(true);
      const sizes = team.sizes.splice(0);
      expect(sizes).toHaveLength(3);
      expect(sizes.reduce((a, b) => a + b)).toBe(n);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    }
    // Two samples are no three parts, and few elements are not worth it.
    for (const [n, steps] of [[2, 30_000], [600, 2]] as const) await session.run(feeds(n, steps));
    expect(team.sizes).toEqual([]);
    await session.dispose();
    expect([whole.disposed(), team.disposed()]).toEqual([1, 3]);
  });

  it('leaves feeds that do not agree to the engine, which says what is wrong', async () => {
    const [whole, team] = [spy(1), spy(2)];
    const session = splitSession({ ...whole.parts[0]!, batchAxes, run: () => Promise.reject(new RuntimeError('wrong')) }, { count: 2, load: () => Promise.resolve(team.parts), failed: () => expect.unreachable() });
    const good = feeds(8000, 2);
    for (const change of [{ x: { shape: [7999, 3], data: wave(7999 * 3) } }, { x: { shape: [8000, 3], data: wave(5) } }, { noise: { shape: [], data: Float32Array.of(1) } }]) {
      await expect(session.run({ ...good, ...change })).rejects.toThrow('wrong');
    }
    await expect(session.run({ x: good['x']! })).rejects.toThrow('wrong');
    expect(team.sizes).toEqual([]);
  });

  it('keeps no whole session beside parts that are there from the start, whatever the size', async () => {
    const team = spy(2);
    const first = { ...team.parts[0]!, batchAxes };
    const session = splitSession(first, { count: 2, now: true, load: () => Promise.resolve([first, team.parts[1]!]), failed: () => expect.unreachable() });
    await session.run(feeds(3, 2));
    expect(team.sizes.splice(0).sort()).toEqual([1, 2]);
    await session.run(feeds(1, 2));
    expect(team.sizes).toEqual([1]);
    await session.dispose();
    expect(team.disposed()).toBe(2);
  });

  it('goes on with one engine when the others cannot be had, and says so once', async () => {
    const whole = spy(1);
    const problems: unknown[] = [];
    const session = splitSession({ ...whole.parts[0]!, batchAxes }, { count: 2, load: () => Promise.reject(new Error('no memory')), failed: (cause) => problems.push(cause) });
    for (let i = 0; i < 3; i++) await session.run(feeds(8000, 2));
    expect(whole.sizes).toEqual([8000, 8000, 8000]);
    expect(problems).toEqual([new Error('no memory')]);
    await session.dispose();
  });
});

describe('slicedSession', () => {
  const batchAxes = { x: 0, noise: 1 };
  const feeds = (n: number, width: number, steps: number): Record<string, Tensor> => ({
    x: { shape: [n, width], data: wave(n * width) }, noise: { shape: [steps, n, width], data: wave(steps * n * width) }, eta: { shape: [], data: Float32Array.of(2) },
  });

  it('runs slices of 16,384 elements of x₀, or of four samples, one after the other', async () => {
    for (const [n, width, steps, expected] of [[9, 3, 2, [9]], [7, 4096, 3, [4, 3]], [20_000, 2, 1, [8192, 8192, 3616]], [9, 30_000, 2, [4, 4, 1]], [4, 30_000, 1, [4]]] as const) {
      const { parts: [part] } = spy(1);
      const sizes: number[] = [];
      const run: Session['run'] = ({ x, noise, eta }) => {
        sizes.push(x!.shape[0]!);
        const elements = x!.data.length;
        // y = η noise_last + x, of which every element has its own place.
        const y = Float32Array.from(x!.data as Float32Array, (value, i) => value + (eta!.data[0] as number) * (noise!.data[(noise!.shape[0]! - 1) * elements + i] as number));
        return Promise.resolve({ y: { shape: x!.shape, data: y } });
      };
      const whole = { ...part!, batchAxes, run };
      const all = (await run(feeds(n, width, steps)))['y']!;
      sizes.pop();
      const { y } = await slicedSession(whole).run(feeds(n, width, steps));
      expect(sizes).toEqual(expected);
      expect(y!.shape).toEqual([n, width]);
      expect(same(y!.data, all.data)).toBe(true);
    }
  });

  it('leaves to the engine what has no samples, no axis for them, or feeds that do not agree', async () => {
    const runs: unknown[] = [];
    const { parts: [part] } = spy(1);
    const run = (given: unknown): Promise<Record<string, never>> => {
      runs.push(given);
      return Promise.resolve({});
    };
    const whole = { ...part!, run };
    const good = feeds(9, 30_000, 1);
    const cases: [EngineSession, Record<string, Tensor>][] = [
      [{ ...whole, batchAxes }, feeds(0, 3, 1)],
      [{ ...whole, batchAxes: {} }, good],
      [whole, good],
      [{ ...whole, batchAxes }, { ...good, noise: { shape: [1, 8, 30_000], data: wave(240_000) } }],
    ];
    for (const [session, given] of cases) await slicedSession(session).run(given);
    expect(runs).toEqual(cases.map(([, given]) => given));
  });
});

describe.each([false, true])('a runtime of several threads, worker %s', (worker) => {
  const open = async (name: string, options: RuntimeOptions): Promise<Session> => createRuntime({ worker, ...options }).load(await source(name));

  it('computes the closed form, many batches at once', async () => {
    const session = await open('affine.onnx', { threads: 5 });
    const run = async (n: number): Promise<void> => {
      const x = wave(2 * n);
      const { y } = await session.run({ x: { shape: [n, 2], data: x } });
      expect(y!.shape).toEqual([n, 2]);
      // The engine's own rounding: float32 throughout.
      const wrong = (y!.data as Float32Array).findIndex((value, i) => {
        const [a, b] = [x[i - (i % 2)]!, x[i - (i % 2) + 1]!];
        return Math.abs(value - (i % 2 === 0 ? 0.5 * a + b + 1 : -0.25 * a + 0.75 * b - 1)) > 1e-6;
      });
      expect(wrong).toBe(-1);
      expect(same(x, wave(2 * n))).toBe(true);
    };
    await Promise.all([rows, 3, rows + 4, 70_000, 41_000].map(run));
    await session.dispose();
    await session.dispose();
    await expect(session.run({ x: { shape: [rows, 2], data: wave(2 * rows) } })).rejects.toThrow('The session of affine.onnx has been disposed of.');
  });

  it.each([true, 'always'] as const)('steps a flow as one engine does, split %s', async (split) => {
    const [whole, parts] = [await open('loop.onnx', { threads: 3, split: false }), await open('loop.onnx', { threads: 3, split })];
    for (const n of [9000, 2, 1]) {
      const feeds = { x0: { shape: [n, 2], data: wave(2 * n) }, noise: { shape: [4, n, 2], data: wave(8 * n) }, eta: { shape: [], data: Float32Array.of(0.3) } };
      const [found, expected] = [await parts.run(feeds), await whole.run(feeds)];
      expect(found['x_K']!.shape).toEqual([n, 2]);
      expect(same(found['x_K']!.data, expected['x_K']!.data)).toBe(true);
    }
    await Promise.all([whole.dispose(), parts.dispose()]);
  });
});

it('warns when the weights have gone since, and still computes', async () => {
  const runtime = createRuntime({ threads: 2 });
  let reads = 0;
  const session = await runtime.load({ ...await source('affine.onnx'), externalData: (name) => (reads++ === 0 ? file(name) : Promise.reject(new Error('gone'))) });
  for (let i = 0; i < 2; i++) expect((await session.run({ x: { shape: [rows, 2], data: new Float32Array(2 * rows) } })).y!.data).toHaveLength(2 * rows);
  expect(runtime.warnings).toEqual(['affine.onnx computes large batches on one engine, slower than in parts: gone']);
  await session.dispose();
});

it('has all threads for a graph that cannot be split', async () => {
  const session = await localEngine.load('cpu', await resolveExternalData(await source('affine.onnx')), {});
  const asked: (number | undefined)[] = [];
  let disposed = 0;
  const whole = ({ threads }: EngineOptions): Promise<EngineSession> => {
    asked.push(threads);
    return Promise.resolve({
      ...session, batchAxes: undefined,
      dispose: () => {
        disposed++;
        return Promise.resolve();
      },
    });
  };
  await createSplitter(localEngine, true)(whole, await source('affine.onnx'), { threads: 6 }, []);
  expect([asked, disposed]).toEqual([[1, 6], 1]);
  await session.dispose();
});

it('refuses a split that is none', () => {
  expect(() => createRuntime({ split: 2 as never })).toThrow('split is 2; allowed: true, false, "always".');
});
