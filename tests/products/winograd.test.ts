/** Convolutions by Winograd's algorithm against their definition, and the graphs made with them against the plain ones. */
import { createBundle, estimatorOf, GraphBuilder, loweredSamplerGraph, newModel, samplerGraph, type Model } from '@ratioflow/export';
import { createRuntime } from '@ratioflow/node';
import { openBundle, pairingOf, type GraphSource, type Runtime } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { winogradConvolution } from '../../export/dist/products/winograd.js';
import { drawing } from '../support/drawing.js';
import { relativeError, runModel } from '../support/run-model.js';

const { draw, constant } = drawing(21);

/** Σ over channels and taps, in double precision: x [N, H, W, C], kernel [O, C, 3, 3]. */
function convolve(x: Float32Array, [n, h, w, c]: readonly number[], kernel: Float32Array, o: number, [top, left]: readonly number[], [rows, columns]: readonly number[]): Float64Array {
  const y = new Float64Array(n! * rows! * columns! * o);
  let at = 0;
  for (let i = 0; i < n!; i++) for (let row = 0; row < rows!; row++) for (let column = 0; column < columns!; column++) for (let out = 0; out < o; out++) {
    let sum = 0;
    for (let a = 0; a < 3; a++) for (let b = 0; b < 3; b++) {
      const [r, s] = [row + a - top!, column + b - left!];
      if (r < 0 || r >= h! || s < 0 || s >= w!) continue;
      for (let channel = 0; channel < c!; channel++) sum += x[((i * h! + r) * w! + s) * c! + channel]! * kernel[((out * c! + channel) * 3 + a) * 3 + b]!;
    }
    y[at++] = sum;
  }
  return y;
}

describe('winogradConvolution', () => {
  it.each([
    ['one tile', [1, 4, 4, 1], 1, [1, 1, 1, 1]],
    ['several tiles, extents and channels that differ', [2, 8, 12, 5], 7, [1, 1, 1, 1]],
    ['no padding', [2, 10, 6, 3], 4, [0, 0, 0, 0]],
    ['the padding of an adjoint', [1, 10, 6, 3], 4, [2, 2, 2, 2]],
    ['padding that differs from side to side', [3, 7, 11, 2], 3, [0, 2, 3, 1]],
    ['more padding than a tile has rows', [1, 1, 3, 2], 2, [7, 5, 6, 2]],
    ['the extents of CIFAR-10', [1, 32, 32, 4], 4, [1, 1, 1, 1]],
    ['the extents of digits, which tiles reach beyond', [2, 14, 7, 3], 5, [1, 1, 1, 1]],
    ['less than a tile', [2, 3, 1, 2], 3, [1, 1, 1, 1]],
    ['adjoints that tiles reach beyond', [1, 5, 7, 3], 2, [2, 2, 2, 2]],
  ] as const)('is the convolution: %s', async (_, shape, o, [top, left, bottom, right]) => {
    const [, h, w, c] = shape;
    const extents = [h + top + bottom - 2, w + left + right - 2] as const;
    const builder = new GraphBuilder('convolution');
    const kernel = builder.initializer('kernel', constant(1, [o, c, 3, 3], 1));
    const window = { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], begin: [top, left], end: [bottom, right] };
    const y = winogradConvolution(builder, builder.input('x', 'float32', ['N', h, w, c]), kernel, window, extents);
    expect(y.shape).toEqual(['N', ...extents, o]);
    builder.output('y', y);
    const x = draw(2, shape);
    const expected = convolve(x.data, shape, draw(1, [o, c, 3, 3]).data, o, [top, left], extents);
    for (const optimization of ['disabled', 'all'] as const) {
      const { y: found } = await runModel(newModel(builder.graph), { x }, optimization);
      expect(found!.shape).toEqual([shape[0], ...extents, o]);
      expect(relativeError(found!.data, expected)).toBeLessThan(5e-6);
    }
  });
});

/** A residual network with layers that are lowered and others, without kinks, which rounding may cross. */
function network(channels = 128): Model {
  const builder = new GraphBuilder('network');
  const conv = (x: ReturnType<GraphBuilder['input']>, step: number, [o, c, k]: readonly [number, number, number], stride = 1, bias = false): ReturnType<GraphBuilder['input']> => {
    const weights = builder.initializer(`w${step}`, constant(step, [o, c, k, k], 1 / Math.sqrt(c * k * k)));
    const inputs = bias ? [x, weights, builder.initializer(`b${step}`, constant(step + 50, [o], 0.5))] : [x, weights];
    return builder.op('Conv', inputs, { kernel_shape: [k, k], strides: [stride, stride], pads: new Array<number>(4).fill((k - 1) / 2) });
  };
  const x = builder.input('x', 'float32', ['N', 3, 16, 16]);
  const stem = builder.op('Tanh', [conv(x, 1, [channels, 3, 3])]);
  const block = builder.op('Tanh', [builder.op('Add', [conv(builder.op('Softplus', [conv(stem, 2, [channels, channels, 3], 1, true)]), 3, [channels, channels, 3]), stem])]);
  // The shortcut meets the block with channels first; the product takes a channel's own scale.
  const down = builder.op('Tanh', [builder.op('Add', [conv(block, 4, [channels, channels, 3], 2), conv(block, 5, [channels, channels, 1], 2)])]);
  const scaled = builder.op('Mul', [builder.op('Mul', [block, builder.initializer('scale', constant(6, [channels, 1, 1], 1))]), builder.op('Sigmoid', [block])]);
  const pooled = builder.op('Concat', [builder.op('GlobalAveragePool', [down]), builder.op('GlobalAveragePool', [scaled])], { axis: 1 });
  builder.output('n', builder.op('MatMul', [builder.op('Reshape', [pooled, builder.ints([-1, 2 * channels])]), builder.initializer('head', constant(7, [2 * channels, 1], 0.1))]));
  return newModel(builder.graph);
}

const pairing = pairingOf('lr-js');
const feeds = (count: number, steps: number): Parameters<typeof runModel>[1] => ({
  x0: draw(30, [count, 3, 16, 16]), noise: draw(31, [steps, count, 3, 16, 16]), eta: { shape: [], data: Float32Array.of(20) }, nu: { shape: [], data: Float32Array.of(0.1) },
});

/** The extents of the kernels of the loop's convolutions. */
const kernels = ({ graph }: Model): readonly string[] =>
  graph.nodes.flatMap(({ attributes }) => [...attributes.values()].flatMap((attribute) => (attribute.type === 'graph' ? attribute.value.nodes : [])))
    .filter(({ opType }) => opType === 'Conv').map(({ inputs }) => inputs[1]!.shape!.slice(2).join());

describe('graphs lowered for a CPU', () => {
  it('are the same flow', async () => {
    const estimator = estimatorOf(network());
    const [plain, lowered] = [samplerGraph(estimator, pairing), loweredSamplerGraph(estimator, pairing)!];
    // The two of the block and their adjoints.
    const [before, after] = [plain, lowered].map((model) => kernels(model).filter((kernel) => kernel === '3,3').length);
    expect(before! - after!).toBe(4);
    for (const count of [1, 3]) {
      const [expected, still] = [await runModel(plain, feeds(count, 3), 'disabled'), await runModel(plain, { ...feeds(count, 3), eta: { shape: [], data: Float32Array.of(0) } })];
      for (const optimization of ['disabled', 'all'] as const) {
        const { x } = await runModel(lowered, feeds(count, 3), optimization);
        expect(relativeError(x!.data, expected['x']!.data)).toBeLessThan(5e-6);
      }
      // The drift matters: without it the result is another one by far more than the tolerance.
      expect(relativeError(still['x']!.data, expected['x']!.data)).toBeGreaterThan(1e-2);
    }
  });

  it.each([32, 64])('are the same flow for WebAssembly, which gains by %i channels, too', async (channels) => {
    const estimator = estimatorOf(network(channels));
    const [expected, lowered] = [await runModel(samplerGraph(estimator, pairing), feeds(3, 3), 'disabled'), loweredSamplerGraph(estimator, pairing, 'wasm')!];
    expect(kernels(lowered).filter((kernel) => kernel === '3,3')).toHaveLength(kernels(samplerGraph(estimator, pairing)).filter((kernel) => kernel === '3,3').length - 4);
    for (const optimization of ['disabled', 'all'] as const) {
      const { x } = await runModel(lowered, feeds(3, 3), optimization);
      expect(relativeError(x!.data, expected['x']!.data)).toBeLessThan(5e-6);
    }
  });

  it('are made only where there are convolutions that gain', () => {
    expect(loweredSamplerGraph(estimatorOf(network(64)), pairing)).toBeUndefined();
    const builder = new GraphBuilder('dense');
    builder.output('n', builder.op('MatMul', [builder.input('x', 'float32', ['N', 4]), builder.initializer('w', constant(1, [4, 1], 1))]));
    for (const lowering of ['cpu', 'wasm'] as const) expect(loweredSamplerGraph(estimatorOf(newModel(builder.graph)), pairing, lowering)).toBeUndefined();
  });

  it('stand in the bundle, share its weights, and sampling on the CPU takes them', async () => {
    const runtime = createRuntime({ threads: 1 });
    const make = (channels: number): Promise<Map<string, Uint8Array>> => createBundle({
      name: 'lowered', estimator: network(channels), pairing: 'lr-js', prior: { kind: 'gaussian' }, eta: 20, nu: 0.1, K: 3, kappa: 1, valueRange: null, reference: runtime,
    });
    const files = await make(128);
    expect([...(await make(64)).keys()].filter((name) => name.includes('-cpu'))).toEqual([]);
    expect(files.get('weights.bin')!.byteLength).toBeLessThan(1.1 * 4 * (27 + 3 * 9 * 128 + 128) * 128);

    const loads: string[] = [];
    const spying = (lowering: boolean): Runtime => ({
      ...runtime,
      load: async (graph: GraphSource, options) => {
        loads.push(graph.name);
        const session = await runtime.load(graph, options);
        const { controlFlow, deviceTensors } = session.capabilities;
        return lowering ? session : { ...session, capabilities: { controlFlow, deviceTensors } };
      },
    });
    const source = { location: 'memory', read: (name: string) => Promise.resolve(files.get(name)!) };
    const [lowered, plain] = [await openBundle(source, spying(true)), await openBundle(source, spying(false))];
    const [a, b] = [(await lowered.sample({ count: 9, seed: 4 })).samples, (await plain.sample({ count: 9, seed: 4 })).samples];
    expect(loads).toEqual(['prior.onnx', 'sampler-cpu.onnx', 'prior.onnx', 'sampler.onnx']);
    expect(relativeError(a.data, b.data)).toBeLessThan(5e-6);
    const { passed, checks } = await lowered.verify();
    expect(passed).toBe(true);
    expect(checks.map(({ graph }) => graph)).toEqual(expect.arrayContaining(['step', 'step-cpu', 'step-wasm', 'sampler', 'sampler-cpu', 'sampler-wasm']));
    await Promise.all([lowered.dispose(), plain.dispose()]);
  });
});
