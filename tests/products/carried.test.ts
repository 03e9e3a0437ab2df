/** Graphs for a CPU of dense networks, whose values are carried 2⁶⁴ times as large: bit for bit the plain ones. */
import { createBundle, estimatorOf, GraphBuilder, liveSamplerGraph, loweredSamplerGraph, newModel, samplerGraph, stepGraph, type Model } from '@ratioflow/export';
import { createRuntime } from '@ratioflow/node';
import { openBundle, pairingOf, pairings, type PairingName } from '@ratioflow/sdk';
import { describe, expect, it } from 'vitest';
import { drawing } from '../support/drawing.js';
import { relativeError, runModel } from '../support/run-model.js';

type Value = ReturnType<GraphBuilder['input']>;
/** Makes the log ratio of x [N, 3] from layers: `dense(x, outputs)`. */
type Form = (builder: GraphBuilder, x: Value, dense: (x: Value, outputs: number, options?: { bias?: boolean; attributes?: Record<string, number> }) => Value) => Value;

const { draw, constant } = drawing(44);

function network(form: Form, sample: readonly number[] = [3]): { model: Model; parameters: Value[] } {
  const builder = new GraphBuilder('network');
  const parameters: Value[] = [];
  const parameter = (name: string, dims: readonly number[], scale: number): Value => {
    const value = builder.initializer(`${name}${parameters.length}`, constant(parameters.length, dims, scale));
    parameters.push(value);
    return value;
  };
  const dense = (x: Value, outputs: number, { bias = true, attributes = {} }: { bias?: boolean; attributes?: Record<string, number> } = {}): Value => {
    const inputs = x.shape![1] as number;
    return builder.op('Gemm', [x, parameter('w', attributes['transB'] ? [outputs, inputs] : [inputs, outputs], 1.4 / Math.sqrt(inputs)), ...(bias ? [parameter('b', [outputs], 0.3)] : [])], attributes);
  };
  builder.output('n', form(builder, builder.input('x', 'float32', ['N', ...sample]), dense));
  return { model: newModel(builder.graph), parameters };
}

const leaky = (builder: GraphBuilder, x: Value, alpha = 0.2): Value => builder.op('LeakyRelu', [x], { alpha });

const carried: readonly (readonly [string, Form, saved: number])[] = [
  ['leaky rectifiers', (builder, x, dense) => dense(leaky(builder, dense(leaky(builder, dense(x, 16)), 16)), 1), 2],
  ['rectifiers, without bias', (builder, x, dense) => dense(builder.op('Relu', [dense(x, 16, { bias: false })]), 1, { bias: false }), 1],
  ['slopes that are written otherwise after one that is not', (builder, x, dense) => dense(leaky(builder, dense(leaky(builder, dense(leaky(builder, dense(x, 8)), 8), 2), 8), -0.5), 1), 1],
  ['weights as PyTorch writes them, and factors of their own', (builder, x, dense) => dense(leaky(builder, dense(x, 8, { attributes: { transB: 1, alpha: 0.5, beta: 3 } })), 1, { attributes: { transB: 1, alpha: -2, beta: 0.5 } }), 1],
  ['a residual block', (builder, x, dense) => {
    const first = leaky(builder, dense(x, 8));
    return dense(leaky(builder, builder.op('Add', [first, dense(leaky(builder, dense(first, 8)), 8)])), 1);
  }, 3],
  ['another activation in the middle', (builder, x, dense) => dense(leaky(builder, dense(builder.op('Tanh', [dense(leaky(builder, dense(x, 8)), 8)]), 8)), 1), 2],
  ['a value that others read, too', (builder, x, dense) => {
    const first = leaky(builder, dense(x, 8));
    const second = dense(leaky(builder, dense(builder.op('Mul', [first, builder.op('Sigmoid', [first])]), 8)), 8);
    return dense(leaky(builder, dense(second, 8)), 1);
  }, 2],
];

const plain: readonly (readonly [string, Form])[] = [
  ['no rectifier', (builder, x, dense) => dense(builder.op('Tanh', [dense(x, 8)]), 1)],
  ['rectifiers that are read by others', (builder, x, dense) => dense(builder.op('Softplus', [leaky(builder, dense(x, 8))]), 1)],
  ['weights that depend on x', (builder, x, dense) => {
    const scale = builder.op('ReduceMean', [x], { keepdims: 0 });
    return builder.op('Gemm', [leaky(builder, dense(x, 8)), builder.op('Mul', [builder.initializer('v', constant(9, [8, 1], 1)), scale])]);
  }],
];

const feeds = (count: number, eta: number): Parameters<typeof runModel>[1] => ({
  x0: draw(200, [count, 3], 1), noise: draw(201, [4, count, 3]), eta: { shape: [], data: Float32Array.of(eta) }, nu: { shape: [], data: Float32Array.of(0.01) },
});

/** Multiplications by the steepness of a slope. */
const steepFactors = ({ graph }: Model): number => {
  const bodies = graph.nodes.flatMap(({ attributes }) => [...attributes.values()].flatMap((attribute) => (attribute.type === 'graph' ? [attribute.value] : [])));
  return [graph, ...bodies].flatMap(({ nodes, initializers }) => nodes.filter(({ opType, inputs }) => {
    const content = opType === 'Mul' && inputs[1] && (initializers.get(inputs[1]) ?? graph.initializers.get(inputs[1]));
    return content && content.dims.length === 0 && content.data instanceof Uint8Array && new Float32Array(content.data.slice().buffer)[0]! > 1e29;
  })).length;
};

describe('graphs whose values are carried larger', () => {
  it.each(carried)('are the same flow, bit for bit: %s', async (_, form, saved) => {
    const { model, parameters } = network(form);
    const estimator = estimatorOf(model);
    for (const name of Object.keys(pairings) as PairingName[]) {
      const pairing = pairingOf(name);
      const [before, lowered, live] = [samplerGraph(estimator, pairing), loweredSamplerGraph(estimator, pairing)!, liveSamplerGraph(estimator, pairing, parameters)];
      expect(steepFactors(before) - steepFactors(lowered)).toBe(saved);
      expect(steepFactors(live)).toBe(steepFactors(lowered));
      const weights = Object.fromEntries(parameters.map((value) => {
        const { data, dims } = model.graph.initializers.get(value)!;
        return [value.name, { shape: dims, data: new Float32Array((data as Uint8Array).slice().buffer) }];
      }));
      for (const count of [1, 5]) {
        for (const optimization of ['disabled', 'all'] as const) {
          const [expected, still] = await Promise.all([1, 0].map((eta) => runModel(before, feeds(count, eta), optimization)));
          expect((await runModel(lowered, feeds(count, 1), optimization))['x']!.data).toEqual(expected!['x']!.data);
          // Weights that are no constants are multiplied by other routines.
          expect(relativeError((await runModel(live, { ...feeds(count, 1), ...weights }, optimization))['x']!.data, expected!['x']!.data)).toBeLessThan(1e-5);
          expect(still!['x']!.data).not.toEqual(expected!['x']!.data);
        }
      }
    }
  });

  it.each(plain)('are not made for %s', (_, form) => {
    expect(loweredSamplerGraph(estimatorOf(network(form).model), pairingOf('lr-kl'))).toBeUndefined();
  });

  it('leave alone a factor of the network itself that no slope reads', () => {
    const form: Form = (builder, x, dense) => dense(builder.op('Tanh', [builder.op('Mul', [leaky(builder, dense(x, 8)), builder.scalar(1e30, 'float32')])]), 1);
    const estimator = estimatorOf(network(form).model);
    expect(steepFactors(loweredSamplerGraph(estimator, pairingOf('lr-kl')) ?? stepGraph(estimator, pairingOf('lr-kl')))).toBeGreaterThanOrEqual(1);
  });

  it('hold for values from 10⁻¹² to 10¹² on the way', async () => {
    const { model } = network((builder, x, dense) => dense(leaky(builder, dense(leaky(builder, dense(x, 8)), 8)), 1));
    const estimator = estimatorOf(model);
    const pairing = pairingOf('lr-kl');
    for (const size of [1e-12, 1e-4, 1e4, 1e12]) {
      const given = { ...feeds(3, 1), x0: draw(200, [3, 3], size), nu: { shape: [], data: Float32Array.of(0) } };
      const [expected, found] = await Promise.all([samplerGraph(estimator, pairing), loweredSamplerGraph(estimator, pairing)!].map((graph) => runModel(graph, given, 'all')));
      expect(found!['x']!.data).toEqual(expected!['x']!.data);
      expect([...expected!['x']!.data].every(Number.isFinite)).toBe(true);
    }
  });

  it('stand in the bundle, share its weights, and pass its verification', async () => {
    const runtime = createRuntime({ threads: 1 });
    const { model: estimator } = network((builder, x, dense) => dense(leaky(builder, dense(leaky(builder, dense(x, 64)), 64)), 1));
    const files = await createBundle({ name: 'carried', estimator, pairing: 'lr-kl', prior: { kind: 'gaussian' }, eta: 1, nu: 0.01, K: 5, kappa: 0, reference: runtime });
    // The weights once, and a few small constants, each on a page of its own.
    expect(files.get('weights.bin')!.byteLength).toBeLessThan(4 * (3 * 64 + 64 * 64 + 3 * 64) + 8 * 4096);
    const model = await openBundle({ location: 'memory', read: (name: string) => Promise.resolve(files.get(name)!) }, runtime);
    const { passed, checks } = await model.verify();
    expect(passed).toBe(true);
    expect(checks.map(({ graph }) => graph)).toEqual(expect.arrayContaining(['step', 'step-cpu', 'sampler', 'sampler-cpu']));
    await model.dispose();
  });
});
