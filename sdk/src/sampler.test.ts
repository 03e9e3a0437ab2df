import { describe, expect, it } from 'vitest';
import { openBundle } from './model.js';
import type { Model } from './model.js';
import { fillNormals } from './noise/fill.js';
import type { FloatTensor } from './runtime.js';
import type { Frame } from './sample.js';
import { exactDrift, exactLogRatio, fakeManifest, fakeRuntime, fakeSource } from './testing/fake-bundle.js';
import type { FakeOptions } from './testing/fake-bundle.js';

const open = async (options: FakeOptions = {}, manifest = fakeManifest()): Promise<Model> => openBundle(await fakeSource(manifest), fakeRuntime(options));

/** x_{k+1} = x_k − η ∇f'(r(x_k)) + ν ξ_k in double, one sample at a time, straight from the paper and docs/noise.md. */
function formula(seed: number, index: number, elements: number, steps: number, eta = 0.1, nu = 0.05): number[] {
  const draw = (purpose: number, step: number): Float32Array => {
    const out = new Float32Array(elements);
    fillNormals(out, { seed, purpose, step }, { firstSample: index, count: 1, elements });
    return out;
  };
  let x = Array.from(draw(0, 0), (z) => 0.5 * z);
  for (let k = 0; k < steps; k++) {
    const xi = draw(1, k);
    x = x.map((value, i) => value + eta * exactDrift(value) + nu * xi[i]!);
  }
  return x;
}

async function collect(frames: AsyncIterable<Frame>): Promise<Frame[]> {
  const all: Frame[] = [];
  for await (const frame of frames) all.push(frame);
  return all;
}

const clamp = (value: number): number => Math.min(1, Math.max(-1, value));
const rows = ({ data, shape }: FloatTensor): number[][] => Array.from({ length: shape[0]! }, (_, n) => Array.from(data.subarray(n * data.length / shape[0]!, (n + 1) * data.length / shape[0]!)));

describe.each(['graph', 'step', 'device'] as const)('the sampler, plan %s', (plan) => {
  const options = { capabilities: { controlFlow: plan === 'graph', deviceTensors: plan === 'device' } };

  it('is the formula', async () => {
    const model = await open(options, { ...fakeManifest([1, 2, 3]), valueRange: null });
    const { samples, statistics } = await model.sample({ count: 5, seed: 7, first: 3 });
    expect(samples.shape).toEqual([5, 1, 2, 3]);
    rows(samples).forEach((row, i) => {
      const expected = formula(7, 3 + i, 6, 17);
      row.forEach((value, j) => expect(value).toBeCloseTo(expected[j]!, 5));
    });
    expect(statistics).toMatchObject({ evaluations: 85, steps: 17, provider: 'cpu', runtime: 'fake 1.0', plan, warnings: [] });
    expect(statistics.milliseconds).toBeGreaterThan(0);
  });

  it('clamps at the very end, and nowhere else', async () => {
    // The drift leads to values around 2, beyond the range: a clamp inside the flow would show in the frame before the last.
    const model = await open(options);
    const { samples } = await model.sample({ count: 4, seed: 1 });
    rows(samples).forEach((row, i) => row.forEach((value, j) => expect(value).toBeCloseTo(clamp(formula(1, i, 2, 17)[j]!), 5)));
    expect(Math.max(...samples.data)).toBe(1);
    const frames = await collect(model.flow({ count: 4, seed: 1 }));
    expect(frames.at(-1)!.x.data).toEqual(samples.data);
    expect(Math.max(...frames.at(-2)!.x.data)).toBeGreaterThan(1.05);
  });

  it('does not depend on batch, order or sharding', async () => {
    const model = await open(options);
    const whole = rows((await model.sample({ count: 23, seed: 5n, batch: 23 })).samples);
    for (const batch of [1, 2, 7, 22, 100]) expect(rows((await model.sample({ count: 23, seed: 5, batch })).samples)).toEqual(whole);
    const shards = [];
    for (const [first, count] of [[17, 6], [0, 9], [9, 8]] as const) shards.push([first, rows((await model.sample({ count, first, seed: '5' })).samples)] as const);
    for (const [first, part] of shards) expect(part).toEqual(whole.slice(first, first + part.length));
  });

  it('takes x0 and noise from the caller, in any batch', async () => {
    const model = await open(options, { ...fakeManifest(), valueRange: null });
    const x0 = { shape: [5, 2], data: Float32Array.from({ length: 10 }, (_, i) => i / 10) };
    const noise = { shape: [3, 5, 2], data: Float32Array.from({ length: 30 }, (_, i) => Math.sin(i)) };
    const expected = Array.from(x0.data, (start, i) => {
      let x = start;
      for (let k = 0; k < 3; k++) x += 0.2 * exactDrift(x) + 0.3 * noise.data[k * 10 + i]!;
      return x;
    });
    for (const batch of [1, 2, 5]) {
      const { samples } = await model.sample({ x0, noise, K: 2, kappa: 1, eta: 0.2, nu: 0.3, batch });
      samples.data.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5));
    }
    expect(x0.data[3]).toBe(Math.fround(0.3));
  });

  it('without steps returns the prior, clamped, and leaves x0 alone', async () => {
    const model = await open(options);
    const { samples, statistics } = await model.sample({ count: 50, seed: 2, K: 0, kappa: 0 });
    expect(Array.from(samples.data)).toEqual(Array.from((await model.prior({ count: 50, seed: 2 })).data, clamp));
    expect(statistics).toMatchObject({ evaluations: 0, steps: 0, millisecondsPerStep: 0 });
    const x0 = { shape: [1, 2], data: Float32Array.of(3, 0.5) };
    expect(Array.from((await model.sample({ x0, K: 0, kappa: 0 })).samples.data)).toEqual([1, 0.5]);
    expect(Array.from(x0.data)).toEqual([3, 0.5]);
  });

  it.each([1, 3, 17, 100])('yields a frame every %i steps, the first and the last always', async (every) => {
    const model = await open(options);
    const wanted = [...new Set([...Array.from({ length: Math.floor(17 / every) + 1 }, (_, i) => i * every), 17])];
    const frames = await collect(model.flow({ count: 3, seed: 9, every, logRatio: true }));
    expect(frames.map((frame) => frame.step)).toEqual(wanted);
    for (const { step, of, stage, x, logRatio } of frames) {
      expect(of).toBe(17);
      expect(stage).toBe(step === 0 ? 'prior' : step <= 12 ? 'bridging' : 'refinement');
      rows(x).forEach((row, i) => {
        row.forEach((value, j) => expect(value).toBeCloseTo(step === of ? clamp(formula(9, i, 2, step)[j]!) : formula(9, i, 2, step)[j]!, 5));
        expect(logRatio![i]).toBeCloseTo(exactLogRatio(row), 5);
      });
    }
  });

  it('lets nobody change the flow through a frame, and returns statistics at the end', async () => {
    const model = await open(options);
    const expected = (await model.sample({ count: 2 })).samples.data;
    const flow = model.flow({ count: 2 });
    for (;;) {
      const { done, value } = await flow.next();
      if (done === true) {
        expect(value).toMatchObject({ evaluations: 34, plan });
        break;
      }
      if (value.step === value.of) expect(value.x.data).toEqual(expected);
      value.x.data.fill(1e9);
      (value.x.shape as number[])[0] = 0;
    }
    const x: FloatTensor = { shape: [1, 2], data: new Float32Array(2) };
    const { next } = await model.step(x, x);
    (next.shape as number[]).length = 0;
    expect(x.shape).toEqual([1, 2]);
  });

  it('reports every step of every batch once and in order', async () => {
    const model = await open(options);
    const seen: string[] = [];
    await model.sample({ count: 5, batch: 2, K: 9, kappa: 1, onStep: ({ step, of, samples, count }) => seen.push(`${step}/${of} ${samples}/${count}`) });
    expect(seen).toEqual([2, 4, 5].flatMap((samples) => Array.from({ length: 10 }, (_, k) => `${k + 1}/10 ${samples}/5`)));
  });

  it('can be aborted at every step, with the reason, and the model stays usable', async () => {
    const model = await open(options);
    const expected = (await model.sample({ count: 6, seed: 3, batch: 3 })).samples.data;
    const calls = 2 * 17;
    for (let at = 0; at <= calls; at++) {
      const controller = new AbortController();
      const reason = new Error(`enough at ${at}`);
      if (at === 0) controller.abort(reason);
      let step = 0;
      const sampling = model.sample({ count: 6, seed: 3, batch: 3, signal: controller.signal, onStep: () => ++step === at && controller.abort(reason) });
      await expect(sampling).rejects.toBe(reason);
    }
    expect((await model.sample({ count: 6, seed: 3 })).samples.data).toEqual(expected);
  });

  it('gives 64 concurrent calls what they get one after another', async () => {
    const jitter = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.random() * 2));
    const model = await open({ ...options, onRun: jitter });
    const quiet = await open(options);
    const together = await Promise.all(Array.from({ length: 64 }, (_, seed) => model.sample({ count: 3, seed, batch: 2, kappa: 0 })));
    for (const [seed, { samples }] of together.entries()) expect(samples.data).toEqual((await quiet.sample({ count: 3, seed, kappa: 0 })).samples.data);
  });
});

describe('the sampler on a device', () => {
  const capabilities = { controlFlow: false, deviceTensors: true };

  it('keeps x there: one reading a batch, or a frame, and everything disposed of', async () => {
    const runtime = fakeRuntime({ capabilities });
    const model = await openBundle(await fakeSource(), runtime);
    expect((await model.sample({ count: 5, batch: 2 })).statistics.plan).toBe('device');
    expect(runtime.device).toEqual({ made: 3 * 17, alive: 0, reads: 3 });
    await collect(model.flow({ count: 4, every: 5 }));
    // Frames 0, 5, 10, 15 and 17, the first of which was never on the device.
    expect(runtime.device).toEqual({ made: 4 * 17, alive: 0, reads: 3 + 4 });
  });

  it('disposes of everything when the flow is left, aborted or fails', async () => {
    let failAt = Infinity;
    let runs = 0;
    const runtime = fakeRuntime({ capabilities, onRun: () => {
      if (++runs === failAt) throw new Error('device lost');
    } });
    const model = await openBundle(await fakeSource(), runtime);
    for await (const { step } of model.flow({ count: 2 })) if (step === 6) break;
    expect(runtime.device).toMatchObject({ made: 6, alive: 0 });
    const controller = new AbortController();
    await expect(model.sample({ signal: controller.signal, onStep: ({ step }) => step === 3 && controller.abort() })).rejects.toThrow('aborted');
    expect(runtime.device.alive).toBe(0);
    failAt = runs + 5;
    await expect(model.sample()).rejects.toThrow('step.onnx failed on cpu: device lost');
    expect(runtime.device.alive).toBe(0);
  });
});

describe('the sampler', () => {
  it('takes several steps at a time where the engine runs loops, but never past a frame', async () => {
    const chunks: number[] = [];
    const model = await open({ onRun: (graph, { noise }) => {
      if (graph === 'sampler') chunks.push(noise!.shape[0]!);
    } });
    await model.sample({ count: 2, K: 300, kappa: 0 });
    expect(chunks.reduce((a, b) => a + b)).toBe(300);
    expect(chunks.length).toBeLessThan(12);
    chunks.length = 0;
    await collect(model.flow({ count: 2, K: 10, kappa: 0, every: 4 }));
    expect(chunks).toEqual([4, 4, 2]);
  });

  it('keeps calls short on a slow engine, so that aborting is prompt', async () => {
    const chunks: number[] = [];
    const model = await open({ onRun: async (graph, { noise }) => {
      if (graph !== 'sampler') return;
      chunks.push(noise!.shape[0]!);
      await new Promise((resolve) => setTimeout(resolve, 40 * noise!.shape[0]!));
    } });
    await model.sample({ count: 2, K: 12, kappa: 0 });
    expect(Math.max(...chunks)).toBeLessThanOrEqual(2);
  });

  it.each([true, false])('takes the graph made for the kind of engine where the bundle has it, loops %s', async (controlFlow) => {
    const graph = controlFlow ? 'sampler' : 'step';
    const sampled = async (capabilities: NonNullable<FakeOptions['capabilities']>, files: Readonly<Record<string, Uint8Array>>): Promise<[readonly string[], FloatTensor]> => {
      const runtime = fakeRuntime({ capabilities: { controlFlow, ...capabilities } });
      const { samples } = await (await openBundle(await fakeSource(fakeManifest(), files), runtime)).sample({ count: 3 });
      return [runtime.loaded, samples];
    };
    const forCpu = { 'step-cpu.onnx': new Uint8Array(0), 'sampler-cpu.onnx': new Uint8Array(0) };
    const files = { ...forCpu, 'step-wasm.onnx': new Uint8Array(0), 'sampler-wasm.onnx': new Uint8Array(0) };
    const [loaded, samples] = await sampled({ lowerings: ['cpu'] }, files);
    expect(loaded).toEqual(['prior', `${graph}-cpu`]);
    expect(await sampled({ lowerings: ['wasm', 'cpu'] }, files)).toEqual([['prior', `${graph}-wasm`], samples]);
    expect(await sampled({ lowerings: ['wasm', 'cpu'] }, forCpu)).toEqual([['prior', `${graph}-cpu`], samples]);
    expect(await sampled({ lowerings: ['wasm', 'cpu'] }, {})).toEqual([['prior', graph], samples]);
    expect(await sampled({}, files)).toEqual([['prior', graph], samples]);
  });

  it('ends when onStep throws, at once or later', async () => {
    const model = await open();
    const stop = new Error('stop');
    await expect(model.sample({ onStep: () => { throw stop; } })).rejects.toBe(stop);
    await expect(model.sample({ onStep: () => Promise.reject(stop) })).rejects.toBe(stop);
  });

  const busy = (milliseconds: number): void => {
    for (const end = performance.now() + milliseconds; performance.now() < end;);
  };

  it('measures steps of full batches, without what onStep takes', async () => {
    const model = await open();
    const { statistics } = await model.sample({ count: 3, batch: 2, K: 2, kappa: 0, onStep: () => busy(20) });
    expect(statistics.milliseconds).toBeGreaterThan(80);
    expect(statistics.millisecondsPerStep).toBeLessThan(10);
  });

  it('counts what a device still has to do when a frame is read back', async () => {
    const flow = (await open({ capabilities: { controlFlow: false, deviceTensors: true }, onRead: () => busy(20) })).flow({ K: 3, kappa: 0 });
    let result = await flow.next();
    while (result.done !== true) result = await flow.next();
    expect(result.value.plan).toBe('device');
    expect(result.value.millisecondsPerStep).toBeGreaterThanOrEqual(20);
  });

  it('draws a uniform prior where the manifest says so', async () => {
    const model = await open({}, { ...fakeManifest(), prior: { kind: 'uniform', z: 'uniform' } });
    const { data } = await model.prior({ count: 500, seed: 4 });
    expect(Math.min(...data)).toBeGreaterThan(0);
    expect(Math.max(...data)).toBeLessThanOrEqual(0.5);
    expect(data.reduce((a, b) => a + b) / 1000).toBeCloseTo(0.25, 1);
  });
});

describe('step, score and gradient', () => {
  const x = { shape: [2, 2], data: Float32Array.of(0.1, -0.4, 2, 0.3) };

  it('are the closed forms', async () => {
    const model = await open();
    const expected = [exactLogRatio(x.data.subarray(0, 2)), exactLogRatio(x.data.subarray(2))];
    for (const logRatio of [await model.score(x), (await model.gradient(x)).logRatio, (await model.step(x, x)).logRatio]) {
      logRatio.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5));
    }
    const { drift } = await model.gradient(x);
    const { next } = await model.step(x, { ...x, data: Float32Array.of(1, 2, 3, 4) }, { eta: 0.5, nu: 2 });
    expect(drift.shape).toEqual([2, 2]);
    x.data.forEach((value, i) => {
      expect(drift.data[i]).toBeCloseTo(exactDrift(value), 5);
      expect(next.data[i]).toBeCloseTo(value + 0.5 * exactDrift(value) + 2 * (i + 1), 5);
    });
  });

  it('make a loop that equals sample', async () => {
    const model = await open({}, { ...fakeManifest(), valueRange: null });
    let at = await model.prior({ count: 3, seed: 8 });
    for (let k = 0; k < 17; k++) {
      const noise = new Float32Array(6);
      fillNormals(noise, { seed: 8, purpose: 1, step: k }, { count: 3, elements: 2 });
      at = (await model.step(at, { shape: [3, 2], data: noise })).next;
    }
    expect(at.data).toEqual((await model.sample({ count: 3, seed: 8 })).samples.data);
  });
});
