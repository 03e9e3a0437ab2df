/** Activations without branches, as graphs for WebAssembly have them, against the plain ones. */
import { estimatorOf, GraphBuilder, loweredSamplerGraph, newModel, samplerGraph, type Model } from '@ratioflow/export';
import { pairingOf } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { drawing } from '../support/drawing.js';
import { relativeError, runModel } from '../support/run-model.js';

type Value = ReturnType<GraphBuilder['input']>;

const { draw, constant } = drawing(47);
const pairing = pairingOf('lr-js');

/** Convolution, what is given, convolution, mean. */
function network(middle: (builder: GraphBuilder, x: Value) => Value): Model {
  const builder = new GraphBuilder('network');
  const conv = (x: Value, step: number, o: number): Value =>
    builder.op('Conv', [x, builder.initializer(`w${step}`, constant(step, [o, x.shape![1] as number, 3, 3], 0.4))], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
  const x = builder.input('x', 'float32', ['N', 2, 6, 5]);
  const first = conv(x, 1, 4);
  const y = conv(middle(builder, builder.op('Add', [first, builder.op('Tanh', [conv(x, 2, 4)])])), 3, 3);
  builder.output('n', builder.op('ReduceMean', [builder.op('Tanh', [y]), builder.ints([1, 2, 3])], { keepdims: 0 }));
  return newModel(builder.graph);
}

const feeds = { x0: draw(60, [5, 2, 6, 5]), noise: draw(61, [3, 5, 2, 6, 5]), eta: { shape: [], data: Float32Array.of(5) }, nu: { shape: [], data: Float32Array.of(0.1) } };
const operators = ({ graph }: Model): readonly string[] =>
  graph.nodes.flatMap(({ attributes }) => [...attributes.values()].flatMap((attribute) => (attribute.type === 'graph' ? attribute.value.nodes.map(({ opType }) => opType) : [])));
const scalar = (builder: GraphBuilder, value: number): Value => builder.scalar(value, 'float32');

describe('activations without branches', () => {
  it.each([
    ['LeakyRelu', (builder: GraphBuilder, x: Value): Value => builder.op('LeakyRelu', [x], { alpha: 0.3 })],
    ['LeakyRelu of the usual slope', (builder: GraphBuilder, x: Value): Value => builder.op('LeakyRelu', [x])],
    ['LeakyRelu steeper on the left', (builder: GraphBuilder, x: Value): Value => builder.op('LeakyRelu', [x], { alpha: 1.7 })],
    ['Relu', (builder: GraphBuilder, x: Value): Value => builder.op('Relu', [x])],
    ['Clip', (builder: GraphBuilder, x: Value): Value => builder.op('Clip', [x, scalar(builder, -0.5), scalar(builder, 0.7)])],
    ['Clip from below', (builder: GraphBuilder, x: Value): Value => builder.op('Clip', [x, scalar(builder, -0.2)])],
    ['Clip from above', (builder: GraphBuilder, x: Value): Value => builder.op('Clip', [x, null, scalar(builder, 0.1)])],
    ['two that read one value', (builder: GraphBuilder, x: Value): Value => builder.op('Mul', [builder.op('LeakyRelu', [x], { alpha: 0.2 }), builder.op('Relu', [x])])],
  ] as const)('are the same flow: %s', async (_, middle) => {
    const estimator = estimatorOf(network(middle));
    const [plain, lowered] = [samplerGraph(estimator, pairing), loweredSamplerGraph(estimator, pairing, 'wasm')!];
    expect(operators(plain)).toEqual(expect.arrayContaining([expect.stringMatching(/^(Clip|Relu|LeakyRelu)$/)]));
    expect(operators(lowered).filter((name) => ['Clip', 'Relu', 'LeakyRelu'].includes(name))).toEqual([]);
    for (const optimization of ['disabled', 'all'] as const) {
      const [expected, { x }] = [await runModel(plain, feeds, 'disabled'), await runModel(lowered, feeds, optimization)];
      expect(relativeError(x!.data, expected['x']!.data)).toBeLessThan(2e-6);
    }
    const still = await runModel(plain, { ...feeds, eta: { shape: [], data: Float32Array.of(0) } });
    expect(relativeError(still['x']!.data, (await runModel(plain, feeds))['x']!.data)).toBeGreaterThan(1e-2);
  });

  it('leave to engines what they fuse with the layer before', () => {
    const builder = new GraphBuilder('network');
    const y = builder.op('Conv', [builder.input('x', 'float32', ['N', 2, 6, 5]), builder.initializer('w', constant(1, [4, 2, 3, 3], 0.4))], { kernel_shape: [3, 3] });
    builder.output('n', builder.op('ReduceMean', [builder.op('LeakyRelu', [y], { alpha: 0.2 }), builder.ints([1, 2, 3])], { keepdims: 0 }));
    const lowered = operators(loweredSamplerGraph(estimatorOf(newModel(builder.graph)), pairing, 'wasm')!);
    // The activation of the first convolution; its slope has no layer before it.
    expect(lowered.filter((name) => ['Conv', 'Clip', 'LeakyRelu', 'Max', 'Min', 'PRelu'].includes(name)).sort()).toEqual(['Conv', 'Conv', 'LeakyRelu', 'Max', 'Min']);
  });
});
