/** The optional graphs of a bundle against what they stand for: the sampler by the SDK, closed forms, statistics. */
import { createBundle, GraphBuilder, newModel, readModel, writeModel, type BundleOptions, type Model } from '@ratioflow/export';
import { createRuntime } from '@ratioflow/node';
import { normals, openBundle, parseManifest, purposes, type BundleSource, type FloatTensor, type Tensor } from '@ratioflow/sdk';
import { decodeNpy } from '@ratioflow/sdk/npy';
import { describe, expect, it } from 'vitest';

const runtime = createRuntime({ threads: 1 });

/** A small network with a convolution of stride 2 and LeakyReLU, weights from the noise specification. */
function network(sampleShape: readonly number[], scale = 1): Model {
  const builder = new GraphBuilder('network');
  const x = builder.input('x', 'float32', ['N', ...sampleShape]);
  const weights = (step: number, dims: number[], fan: number): ReturnType<GraphBuilder['initializer']> => {
    const elements = dims.reduce((a, b) => a * b, 1);
    const values = normals({ seed: 3, purpose: purposes.weights, step, count: 1, elements }).map((value) => scale * value / Math.sqrt(fan));
    return builder.initializer(`w${step}`, { dtype: 'float32', dims, data: new Uint8Array(values.buffer) });
  };
  let h = x;
  let width = sampleShape[0]!;
  if (sampleShape.length === 3) {
    for (const [step, to] of [16, 32].entries()) {
      h = builder.op('LeakyRelu', [builder.op('Conv', [h, weights(step, [to, width, 3, 3], 9 * width)], { pads: [1, 1, 1, 1], strides: [step + 1, step + 1], kernel_shape: [3, 3] })], { alpha: 0.2 });
      width = to;
    }
    h = builder.op('Reshape', [builder.op('GlobalAveragePool', [h]), builder.ints([-1, width])]);
  } else {
    h = builder.op('LeakyRelu', [builder.op('MatMul', [h, weights(0, [width, 64], width)])], { alpha: 0.2 });
    width = 64;
  }
  builder.output('n', builder.op('MatMul', [h, weights(7, [width, 1], width)]));
  return newModel(builder.graph);
}

const make = (sampleShape: readonly number[], options: Partial<BundleOptions> = {}): Promise<Map<string, Uint8Array>> => createBundle({
  name: 'products', estimator: network(sampleShape), pairing: 'lr-kl', prior: { kind: 'gaussian' }, eta: 0.5, nu: 0.1, K: 4, kappa: 2,
  valueRange: sampleShape.length === 3 ? [-1, 1] : null, reference: runtime, ...options,
});

const sourceOf = (files: ReadonlyMap<string, Uint8Array>): BundleSource => ({ location: 'memory', read: (name) => Promise.resolve(files.get(name)!) });

async function run(files: ReadonlyMap<string, Uint8Array>, graph: string, feeds: Record<string, Tensor>, optimization: 'disabled' | 'all' = 'all'): Promise<Record<string, Tensor>> {
  const externalData = (name: string): Promise<Uint8Array> => Promise.resolve(files.get(name)!);
  const session = await runtime.load({ name: graph, model: files.get(graph)!, externalData }, { optimization });
  try {
    return await session.run(feeds);
  } finally {
    await session.dispose();
  }
}

const scalar = (value: number): Tensor => ({ shape: [], data: Float32Array.of(value) });
const draw = (step: number, shape: number[]): FloatTensor => ({ shape, data: normals({ seed: 9, purpose: purposes.testVectors, step, count: 1, elements: shape.reduce((a, b) => a * b, 1) }) });
const slice = ({ data, shape }: FloatTensor, from: number, to: number): Float32Array => {
  const [rows, width] = shape as [number, number];
  return Float32Array.from({ length: rows * (to - from) }, (_, i) => data[Math.floor(i / (to - from)) * width + from + i % (to - from)]!);
};
const largestDifference = (a: Tensor['data'], b: ArrayLike<number>): number => {
  expect(a.length).toBe(b.length);
  return Array.from(a as Float32Array).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
};

describe('sampler-device-noise.onnx', () => {
  it.each(['disabled', 'all'] as const)('adds fresh normal noise of deviation ν at every step, at optimisation %s', async (optimization) => {
    const files = await make([2]);
    const x0 = draw(0, [8192, 2]);
    const feeds = { x0, steps: { shape: [], data: BigInt64Array.of(9n) }, eta: scalar(0), nu: scalar(0.5) };
    const session = await runtime.load({ name: 'sampler-device-noise.onnx', model: files.get('sampler-device-noise.onnx')!, externalData: (file) => Promise.resolve(files.get(file)!) }, { optimization });
    // Engines may begin every session with the same noise, but not every run.
    const [{ x }, again] = [await session.run(feeds), await session.run(feeds)];
    await session.dispose();
    const moved = (x!.data as Float32Array).map((value, i) => value - x0.data[i]!);
    const mean = moved.reduce((sum, value) => sum + value, 0) / moved.length;
    const variance = moved.reduce((sum, value) => sum + value * value, 0) / moved.length;
    // Nine independent steps: variance 9 ν² = 2.25 (one noise used nine times would give 20.25), each bound five deviations wide.
    expect(Math.abs(mean)).toBeLessThan(5 * Math.sqrt(2.25 / moved.length));
    expect(Math.abs(variance - 2.25)).toBeLessThan(5 * 2.25 * Math.sqrt(2 / moved.length));
    expect(largestDifference(again['x']!.data, x!.data as Float32Array)).toBeGreaterThan(0.1);
  });

  it('is the sampler where ν = 0', async () => {
    const files = await make([2, 6, 6]);
    const x0 = draw(0, [3, 2, 6, 6]);
    const { x } = await run(files, 'sampler-device-noise.onnx', { x0, steps: { shape: [], data: BigInt64Array.of(5n) }, eta: scalar(0.5), nu: scalar(0) });
    const expected = await run(files, 'sampler.onnx', { x0, noise: { shape: [5, 3, 2, 6, 6], data: new Float32Array(5 * 216) }, eta: scalar(0.5), nu: scalar(0) });
    expect(largestDifference(x!.data, expected['x']!.data as Float32Array)).toBeLessThan(1e-6);
  });
});

/** Φ by Simpson's rule on the density. */
function distribution(x: number): number {
  const [from, pieces] = [-9, 2000];
  const h = (x - from) / pieces;
  let sum = 0;
  for (let i = 0; i <= pieces; i++) sum += (i === 0 || i === pieces ? 1 : i % 2 ? 4 : 2) * Math.exp(-((from + i * h) ** 2) / 2);
  return sum * h / 3 / Math.sqrt(2 * Math.PI);
}

describe('generator.onnx', () => {
  it.each([[1, 'gaussian', 0.4], [3, 'uniform', 1]] as const)('makes the bytes of the SDK\'s samples, %i channels, prior %s', async (channels, kind, deviation) => {
    const files = await make([channels, 6, 4], { prior: kind === 'gaussian' ? { kind, deviation } : { kind } });
    const elements = channels * 24;
    const z = draw(1, [5, 7 * elements]);
    const x0 = slice(z, 0, elements).map((value) => (kind === 'gaussian' ? deviation * value : 2 * distribution(value) - 1));
    const steps = Array.from({ length: 6 }, (_, k) => slice(z, (k + 1) * elements, (k + 2) * elements));
    const noise = Float32Array.from(steps.flatMap((part) => [...part]));
    const shape = [5, channels, 6, 4];
    await using model = await openBundle(sourceOf(files), runtime);
    const { samples } = await model.sample({ x0: { shape, data: x0 }, noise: { shape: [6, ...shape], data: noise } });
    const { images } = await run(files, 'generator.onnx', { z });
    expect([images!.shape, images!.data.constructor.name]).toEqual([[5, 3, 6, 4], 'Uint8Array']);
    const expected = Float32Array.from({ length: 5 * 72 }, (_, i) => {
      const [n, c, pixel] = [Math.floor(i / 72), Math.floor(i / 24) % 3, i % 24];
      return 127.5 * (samples.data[n * elements + (channels === 1 ? 0 : c) * 24 + pixel]! + 1);
    });
    // Rounded to the nearest level; a level more where float32 decides otherwise near the middle.
    expect(largestDifference(images!.data, expected)).toBeLessThan(0.501);
    expect(new Set(images!.data as Uint8Array).size).toBeGreaterThan(30);
  });

  it('is no larger for a long flow, and samplers take any number of steps', async () => {
    const [short, long] = await Promise.all([make([1, 4, 4]), make([1, 4, 4], { K: 1000 })]);
    expect(long.get('generator.onnx')!.byteLength - short.get('generator.onnx')!.byteLength).toBeLessThan(64);
    const z = draw(2, [2, 16 * 1003]);
    const { images } = await run(long, 'generator.onnx', { z });
    expect(images!.shape).toEqual([2, 3, 4, 4]);
    const noise = { shape: [1000, 2, 1, 4, 4], data: slice(z, 16, 16 * 1001) };
    const { x } = await run(long, 'sampler.onnx', { x0: draw(3, [2, 1, 4, 4]), noise, eta: scalar(0.01), nu: scalar(0.01) });
    expect((x!.data as Float32Array).every(Number.isFinite)).toBe(true);
  });

  it('is left out for points and for images without a range', async () => {
    const bundles = [await make([2]), await make([1, 4, 4], { valueRange: null })];
    expect(bundles.map((files) => files.has('generator.onnx'))).toEqual([false, false]);
  });
});

describe('sampler-unrolled.onnx', () => {
  it('is the sampler of its steps without a Loop, every weight once', async () => {
    const files = await make([2, 6, 6], { products: { unroll: 5 } });
    expect(parseManifest(files.get('manifest.json')!).unrolled).toBe(5);
    const { graph } = readModel(files.get('sampler-unrolled.onnx')!);
    expect(graph.nodes.some(({ opType }) => opType === 'Loop')).toBe(false);
    const places = [...graph.initializers.values()].flatMap(({ data }) => ('offset' in data ? [data.offset] : []));
    expect(places).toEqual([...new Set(places)]);
    const transposed = graph.nodes.filter(({ opType, inputs }) => opType === 'Transpose' && inputs[0] && graph.initializers.has(inputs[0]));
    expect(transposed.length).toBeLessThanOrEqual(2);
    const feeds = { x0: draw(0, [3, 2, 6, 6]), noise: draw(1, [5, 3, 2, 6, 6]), eta: scalar(0.5), nu: scalar(0.1) };
    const expected = await run(files, 'sampler.onnx', feeds);
    const { x } = await run(files, 'sampler-unrolled.onnx', feeds);
    expect(largestDifference(x!.data, expected['x']!.data as Float32Array)).toBeLessThan(1e-6);
  });

  it.each([0, 101, 2.5])('refuses %d steps', async (unroll) => {
    await expect(make([2], { products: { unroll } })).rejects.toThrow(`unrolled to ${unroll} steps: give an integer from 1 to 100`);
  });
});

describe('half precision', () => {
  it('shares one file of half the size, and agrees with single precision', async () => {
    const files = await make([2, 6, 6], { products: { float16: true } });
    expect(files.get('weights-fp16.bin')!.byteLength).toBeLessThan(0.51 * files.get('weights.bin')!.byteLength + 1024);
    const x = draw(0, [4, 2, 6, 6]);
    const [half, single] = [await run(files, 'gradient-fp16.onnx', { x }), await run(files, 'gradient.onnx', { x })];
    for (const name of ['drift', 'logRatio']) {
      const scale = (single[name]!.data as Float32Array).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const error = largestDifference(half[name]!.data, single[name]!.data as Float32Array) / scale;
      expect(error).toBeLessThan(5e-3);
      // It is not single precision under another name.
      expect(error).toBeGreaterThan(1e-6);
    }
  });

  it('is refused for a network that it cannot hold', async () => {
    await expect(make([1, 4, 4], { estimator: network([1, 4, 4], 3e5), products: { float16: true } })).rejects.toThrow(/In half precision .* needs float32/);
  });
});

describe('--single-file', () => {
  it('leaves no file of weights, and every graph stands alone', async () => {
    const [single, shared] = [await make([2, 6, 6], { products: { singleFile: true, float16: true } }), await make([2, 6, 6])];
    expect([...single.keys()].filter((name) => name.startsWith('weights'))).toEqual([]);
    const x = decodeNpy(shared.get('verify/gradient.x.npy')!, 'x');
    const [a, b] = [await run(single, 'gradient.onnx', { x }), await run(shared, 'gradient.onnx', { x })];
    expect(a['drift']!.data).toEqual(b['drift']!.data);
    await using model = await openBundle(sourceOf(single), runtime);
    expect((await model.verify()).checks.filter(({ passed }) => !passed)).toEqual([]);
  });

  it('is refused by name beyond what protobuf can hold', () => {
    // Pages that nobody touches take no memory.
    const builder = new GraphBuilder('large');
    let x = builder.input('x', 'float32', ['N', 2 ** 14]);
    const data = new Uint8Array(2 ** 30);
    for (let i = 0; i < 2; i++) x = builder.op('MatMul', [x, builder.initializer('w', { dtype: 'float32', dims: [2 ** 14, 2 ** 14], data })]);
    builder.output('y', x);
    expect(() => writeModel(newModel(builder.graph))).toThrow(/Graph "large" has 2147483648 bytes of constants; an ONNX file holds at most 2 GiB .*without --single-file/);
  });
});

describe('verification vectors', () => {
  /** 1 − 2|u − ½| twenty times over, of each coordinate: a million kinks between 0 and 1. */
  function folded(scale: number): Model {
    const builder = new GraphBuilder('folded');
    const x = builder.input('x', 'float32', ['N', 2]);
    let u = builder.op('Sigmoid', [x]);
    for (let fold = 0; fold < 20; fold++) {
      const distance = builder.op('LeakyRelu', [builder.op('Sub', [u, builder.scalar(0.5, u)])], { alpha: -1 });
      u = builder.op('Sub', [builder.scalar(1, u), builder.op('Mul', [distance, builder.scalar(2, u)])]);
    }
    builder.output('n', builder.op('ReduceSum', [builder.op('Mul', [u, builder.scalar(scale, u)]), builder.ints([1])], { keepdims: 0 }));
    return newModel(builder.graph);
  }
  const etas = (files: ReadonlyMap<string, Uint8Array>): number[] => ['step', 'sampler', 'sampler-device-noise'].map((graph) => decodeNpy(files.get(`verify/${graph}.eta.npy`)!, graph).data[0] as number);

  it('have steps of η, but smaller ones where rounding decides about kinks, which every engine then passes', async () => {
    expect(etas(await make([1, 8, 8]))).toEqual([0.5, 0.5, 0.5]);
    const files = await make([2], { estimator: folded(1e-6) });
    const [step, sampler, device] = etas(files) as [number, number, number];
    // At 0.5 the answer to a nudge is a drift of the other sign: about 1.
    expect(Math.max(step, sampler)).toBeLessThan(1e-3);
    expect(device).toBe(sampler);
    const model = await openBundle(sourceOf(files), runtime, { selfTest: false });
    for (const { graph, passed } of (await model.verify()).checks) expect([graph, passed]).toEqual([graph, true]);
    await model.dispose();
  });
});
