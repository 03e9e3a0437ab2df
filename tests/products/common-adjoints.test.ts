/** Graphs whose backward pass begins alike for all samples, against the gradient of the network alone and the table of pairings. */
import { estimatorOf, gradient, gradientGraph, GraphBuilder, loweredSamplerGraph, newModel, readModel, samplerGraph, stepGraph, writeModel, type Model } from '@ratioflow/export';
import { pairingOf, pairings, type PairingName } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { drawing } from '../support/drawing.js';
import { relativeError, runModel, type Floats } from '../support/run-model.js';

type Value = ReturnType<GraphBuilder['input']>;
interface Layers {
  readonly builder: GraphBuilder;
  readonly dense: (x: Value, outputs: number, transB?: 0 | 1) => Value;
  readonly convolution: (x: Value, outputs: number, stride?: number) => Value;
  readonly leaky: (x: Value) => Value;
  /** The last layer, to [N, 1]; its bias is called `head`. */
  readonly head: (x: Value, transB?: 0 | 1) => Value;
}

const { draw, constant } = drawing(45);

function network(form: (layers: Layers, x: Value) => Value, sample: readonly number[]): Model {
  const builder = new GraphBuilder('network');
  let count = 0;
  const weights = (dims: readonly number[], inputs: number): Value => builder.initializer(`w${count}`, constant(count++, dims, 1.4 / Math.sqrt(inputs)));
  const bias = (outputs: number, name = `b${count}`): Value => builder.initializer(name, constant(count++, [outputs], 0.3));
  const gemm = (x: Value, outputs: number, transB: 0 | 1, name?: string): Value => {
    const inputs = x.shape![1] as number;
    return builder.op('Gemm', [x, weights(transB ? [outputs, inputs] : [inputs, outputs], inputs), bias(outputs, name)], { transB });
  };
  const layers: Layers = {
    builder,
    dense: (x, outputs, transB = 0) => gemm(x, outputs, transB),
    convolution: (x, outputs, stride = 1) => {
      const inputs = x.shape![1] as number;
      return builder.op('Conv', [x, weights([outputs, inputs, 3, 3], 9 * inputs), bias(outputs)], { kernel_shape: [3, 3], strides: [stride, stride], pads: [1, 1, 1, 1] });
    },
    leaky: (x) => builder.op('LeakyRelu', [x], { alpha: 0.2 }),
    head: (x, transB = 0) => gemm(x, 1, transB, 'head'),
  };
  builder.output('n', form(layers, builder.input('x', 'float32', ['N', ...sample])));
  return newModel(builder.graph);
}

const flat = (builder: GraphBuilder, x: Value): Value => builder.op('Reshape', [x, builder.ints([-1, x.shape!.slice(1).reduce<number>((a, b) => a * Number(b), 1)])]);

const networks: Readonly<Record<string, Model>> = {
  'dense layers': network(({ dense, leaky, head }, x) => head(leaky(dense(leaky(dense(x, 16)), 16))), [3]),
  'dense layers as PyTorch writes them': network(({ dense, leaky, head }, x) => head(leaky(dense(leaky(dense(x, 16, 1)), 16, 1)), 1), [3]),
  'two layers without a slope between': network(({ dense, leaky, head }, x) => head(dense(leaky(dense(x, 16)), 4)), [3]),
  'a smooth activation': network(({ builder, dense, head }, x) => head(builder.op('Softplus', [dense(x, 16)])), [3]),
  'a sum before the head': network(({ builder, dense, leaky, head }, x) => {
    const first = leaky(dense(x, 16));
    return head(builder.op('Add', [first, dense(leaky(dense(first, 16)), 16)]));
  }, [3]),
  'an average of channels': network(({ builder, convolution, leaky, head }, x) => head(flat(builder, builder.op('GlobalAveragePool', [leaky(convolution(leaky(convolution(x, 8)), 8, 2))]))), [1, 8, 8]),
  'channels laid out flat': network(({ builder, convolution, leaky, head }, x) => head(flat(builder, leaky(convolution(x, 8, 2)))), [1, 8, 8]),
  'images as the digits’ network takes them': network(({ builder, convolution, leaky, head }, x) => {
    const first = leaky(convolution(x, 32));
    return head(flat(builder, builder.op('GlobalAveragePool', [leaky(convolution(first, 32, 2))])));
  }, [1, 8, 8]),
};

/** d potential / dn: of 2n, n, log σ(n), −log σ(−n). */
const slopes: Readonly<Record<PairingName, (n: number) => number>> = {
  'lsif-chi2': () => 2, 'lr-kl': () => 1, 'lr-js': (n) => 1 / (1 + Math.exp(n)), 'lr-logd': (n) => 1 / (1 + Math.exp(-n)),
};

/** n and the drift, by the gradient of the network alone. */
async function expected(model: Model, pairing: PairingName, x: Floats): Promise<{ n: Float32Array; drift: Float32Array }> {
  const n = (await runModel(model, { x }, 'disabled'))['n']!.data;
  const seed = { shape: [n.length, 1], data: Float32Array.from(n, (value) => -slopes[pairing](value)) };
  const { grad_x: drift } = await runModel(gradient(readModel(writeModel(model)), { seed: true }), { x, seed_n: seed }, 'disabled');
  return { n, drift: drift!.data };
}

const bodyOf = ({ graph }: Model): Model['graph'] => [...graph.nodes.find(({ opType }) => opType === 'Loop')!.attributes.values()].map((attribute) => (attribute.type === 'graph' ? attribute.value : undefined)).find(Boolean)!;
const readsHead = (model: Model): boolean => bodyOf(model).nodes.some(({ inputs }) => inputs.some((value) => value?.name === 'head'));
const scalar = (value: number): Floats => ({ shape: [], data: Float32Array.of(value) });

describe.each(Object.entries(networks))('the common part of the adjoints: %s', (_, model) => {
  const [, ...sample] = model.graph.inputs[0]!.shape as [string, ...number[]];

  it.each(Object.keys(pairings) as PairingName[])('%s', async (name) => {
    const [estimator, pairing] = [estimatorOf(model), pairingOf(name)];
    const samplers = [samplerGraph(estimator, pairing), loweredSamplerGraph(estimator, pairing)].filter((graph) => graph !== undefined);
    const isCommon = name === 'lr-kl' || name === 'lsif-chi2';
    for (const graph of samplers) expect(readsHead(graph)).toBe(!isCommon);
    for (const count of [1, 5]) {
      const x = draw(100, [count, ...sample]);
      const { n, drift } = await expected(model, name, x);
      const logRatio = name === 'lsif-chi2' ? n.map((value) => Math.log(Math.max(value, 1e-12))) : n;
      const noise = draw(101, [count, ...sample]);
      const next = x.data.map((value, i) => value + 0.5 * drift[i]! + 0.1 * noise.data[i]!);
      for (const optimization of ['disabled', 'all'] as const) {
        const found = await runModel(gradientGraph(estimator, pairing), { x }, optimization);
        expect(found['drift']!.shape).toEqual(x.shape);
        expect(relativeError(found['drift']!.data, drift)).toBeLessThan(2e-6);
        expect(relativeError(found['logRatio']!.data, logRatio)).toBeLessThan(2e-6);
        const step = await runModel(stepGraph(estimator, pairing), { x, noise, eta: scalar(0.5), nu: scalar(0.1) }, optimization);
        expect(relativeError(step['next']!.data, next)).toBeLessThan(2e-6);
        expect(relativeError(step['logRatio']!.data, logRatio)).toBeLessThan(2e-6);
        for (const graph of samplers) {
          const sampled = await runModel(graph, { x0: x, noise: { ...noise, shape: [1, ...noise.shape] }, eta: scalar(0.5), nu: scalar(0.1) }, optimization);
          expect(relativeError(sampled['x']!.data, next)).toBeLessThan(2e-6);
        }
      }
    }
  });
});

it('a drift that is the same everywhere is given for every sample', async () => {
  const model = network(({ head }, x) => head(x), [3]);
  const [estimator, pairing, x] = [estimatorOf(model), pairingOf('lr-kl'), draw(100, [4, 3])];
  const { drift } = await expected(model, 'lr-kl', x);
  const found = (await runModel(gradientGraph(estimator, pairing), { x }))['drift']!;
  expect(found.shape).toEqual([4, 3]);
  expect(relativeError(found.data, drift)).toBeLessThan(2e-6);
});
