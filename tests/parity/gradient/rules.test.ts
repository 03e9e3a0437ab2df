/**
 * Every rule for which ONNX Runtime has a float64 kernel, against central differences in float64: ⟨u, J v⟩ = ⟨Jᵀ u, v⟩.
 * The others are covered by the Python scripts beside this file (the ONNX operator suite, PyTorch's autograd).
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gradient, writeModel, type GraphBuilder, type Model, type Value } from '@ratioflow/export';
import { cases, narrow, network, singleCases, wide } from './cases.js';
import { adjointError, dot, modelOf, randomOf, randomTensor, Session, type Feeds, type Tensor64 } from './support.js';

const tolerance = 1e-6;

describe('vector-Jacobian rules against central differences in float64', () => {
  it.each(cases)('%s', async (_, item) => {
    for (const level of ['disabled', 'all'] as const) expect(await adjointError(item, { level })).toBeLessThan(tolerance);
  });

  it.each(singleCases)('%s, in single precision', async (_, item) => {
    for (const level of ['disabled', 'all'] as const) expect(await adjointError(item, { level, step: 2e-3 })).toBeLessThan(3e-3);
  });

  it('holds for batches of any size, also of one', async () => {
    const item = cases.find(([name]) => name === 'MatMul, broadcast')![1];
    for (const batch of [1, 3]) expect(await adjointError(item, { batch })).toBeLessThan(tolerance);
  });

  it('emits what an older opset has', async () => {
    const item = network([['N', 3, 4]], (b, x) => b.op('Mul', [b.op('ReduceMax', [x], { axes: [1], keepdims: 1 }), b.op('ReduceMean', [x], { axes: [2], keepdims: 1 })]));
    expect(await adjointError(item, { opset: 13 })).toBeLessThan(tolerance);
  });
});

describe('old opsets', () => {
  it('scatters overlapping maxima without the sums that came with opset 16', async () => {
    for (const name of ['MaxPool', 'MaxPool, overlapping']) {
      const item = cases.find(([known]) => known === name)![1];
      expect(await adjointError(item, { opset: 13 })).toBeLessThan(tolerance);
    }
  });

  it('picks elements without the sums that came with opset 16', async () => {
    for (const name of ['Gather at run time', 'GatherElements', 'GatherElements over a part', 'GatherND', 'GatherND, batched']) {
      const item = cases.find(([known]) => known === name)![1];
      expect(await adjointError(item, { opset: 13 })).toBeLessThan(tolerance);
    }
    const repeated = network([['N', 4, 3]], (b, x) => b.op('Gather', [x, b.op('Reshape', [b.op('ArgMax', [x], { axis: 1 }), b.ints([-1])])], { axis: 1 }));
    expect(await adjointError(repeated, { opset: 13 })).toBeLessThan(tolerance);
  });

  it('gives ONNX Runtime no Pad that it would fuse into a pool', async () => {
    // The adjoints of Slice and of enlarging: zeros are put back, then summed over blocks.
    const item = network([['N', 2, 4, 4]], (b, x) => wide(b, b.op('Slice', [b.op('Resize', [narrow(b, x), null, b.constant({ dtype: 'float32', dims: [4], data: new Uint8Array(Float32Array.of(1, 1, 2, 2).buffer) })], {
      mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor',
    }), b.ints([1, 1]), b.ints([7, 6]), b.ints([2, 3])])));
    for (const opset of [13, 18]) for (const level of ['disabled', 'all'] as const) expect(await adjointError(item, { opset, level, step: 2e-3 })).toBeLessThan(3e-3);
  });
});

describe('dropout in training mode', () => {
  it('lets the gradient through where its own mask let the values through', async () => {
    const item = network([['N', 50]], (b, x) => b.op('Dropout', [x, b.scalar(0.25, x), b.constant({ dtype: 'bool', dims: [], data: Uint8Array.of(1) })], { seed: 7 }));
    const session = await Session.open(gradient(modelOf(item), { seed: true }));
    const random = randomOf(3);
    const [x, u] = [randomTensor(random, [4, 50], 0.5, 1), randomTensor(random, [4, 50])];
    const { y, grad_x: found } = await session.run({ x0: x, seed_y: u }).then(({ y, grad_x0 }) => ({ y: y!, grad_x: grad_x0! }));
    await session.close();
    expect(y.data.filter((value) => value === 0).length).toBeGreaterThan(10);
    y.data.forEach((value, i) => { expect(found.data[i]).toBeCloseTo((value / x.data[i]!) * u.data[i]!, 12); });
  });
});

describe('long axes', () => {
  it.each<[string, (b: GraphBuilder, x: Value) => Value]>([
    ['Slice with steps', (b, x) => b.op('Slice', [x, b.ints([1]), b.ints([2 ** 31]), b.ints([1]), b.ints([3])])],
    ['Gather, out of order', (b, x) => b.op('Gather', [x, b.ints([99_999, 7])], { axis: 1 })],
  ])('%s makes no list of as many indices', async (_, make) => {
    const item = network([['N', 100_000]], make);
    expect(writeModel(gradient(modelOf(item), { seed: true })).length).toBeLessThan(10_000);
    expect(await adjointError(item, { trials: 1 })).toBeLessThan(tolerance);
  });

  it.each([[9000, 2, 1], [9000, 2, 4], [40, 900, 1], [20, 900, 4]])('a convolution of %i columns in steps of %i, %i groups, makes no large matrix', async (columns, stride, group) => {
    const item = network([['N', 4, 3, columns], [4, 4 / group, 3, 3]], (b, x, w) =>
      wide(b, b.op('Conv', [narrow(b, x), narrow(b, w)], { kernel_shape: [3, 3], strides: [stride, stride], pads: [1, 1, 1, 1], dilations: [1, 1], group })));
    expect(writeModel(gradient(modelOf(item), { seed: true, wrt: 'x0' })).length).toBeLessThan(10_000);
    expect(await adjointError(item, { trials: 1, step: 2e-3 })).toBeLessThan(3e-3);
  });
});

describe('pools whose last window would begin in the padding', () => {
  // The second axis has windows that hang over, which stay.
  const window = { kernel_shape: [2, 3], strides: [2, 2], pads: [1, 0, 1, 0], ceil_mode: 1 };
  it.each([['MaxPool', window], ['MaxPool', { ...window, kernel_shape: [1, 2], strides: [3, 2], pads: [0, 0, 0, 0] }], ['AveragePool', { ...window, count_include_pad: 1 }], ['LpPool', { ...window, p: 3 }]] as const)('%s has its gradient at every opset', async (opType, attributes) => {
    // Its result meets its gradient, which a count of one more would not fit.
    const square = (b: GraphBuilder, y: Value): Value => b.op('Mul', [y, y]);
    const [item, step, tolerated] = opType === 'MaxPool'
      ? [network([['N', 2, 5, 6]], (b, x) => square(b, b.op(opType, [x], attributes))), 1e-6, tolerance]
      : [network([['N', 2, 5, 6]], (b, x) => wide(b, square(b, b.op(opType, [narrow(b, x)], attributes)))), 2e-3, 3e-3];
    for (const opset of [18, 22]) for (const level of ['disabled', 'all'] as const) expect(await adjointError(item, { opset, level, step })).toBeLessThan(tolerated);
  });
});

describe('a row of attention that is masked altogether', () => {
  it('has the gradient zero, where Softmax makes no number of it', async () => {
    const item = network([['N', 3, 3]], (b, x) => {
      const masked = b.op('Where', [b.op('Less', [b.constant({ dtype: 'float64', dims: [3, 1], data: new Uint8Array(Float64Array.of(1, -1, 1).buffer) }), b.scalar(0, x)]), b.scalar(-Infinity, x), x]);
      const y = b.op('Softmax', [masked]);
      return b.op('Where', [b.op('IsNaN', [y]), b.scalar(0, y), y]);
    });
    expect(await adjointError(item)).toBeLessThan(tolerance);
  });
});

describe('half precision', () => {
  const picked = (b: GraphBuilder, x: Value): Value => b.op('ArgMax', [x], { axis: 2, keepdims: 1 });
  const items: readonly (readonly [string, (b: GraphBuilder, x: Value) => Value])[] = [
    ['MaxPool, overlapping', (b, x) => b.op('MaxPool', [x], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] })],
    ['Gather at run time', (b, x) => b.op('Gather', [x, b.op('Reshape', [picked(b, x), b.ints([-1])])], { axis: 2 })],
    ['GatherElements', (b, x) => b.op('GatherElements', [x, picked(b, x)], { axis: 2 })],
    ['GatherND', (b, x) => b.op('GatherND', [x, b.op('Reshape', [picked(b, x), b.ints([0, 2, 5, 1])])], { batch_dims: 2 })],
    ['TopK', (b, x) => b.ops('TopK', [x, b.ints([3])], { axis: 3 }, 2)[0]!],
    // Mean and inverse deviation are in single precision there, too.
    ['LayerNormalization, all outputs', (b, x) => b.ops('LayerNormalization', [x, b.op('CastLike', [b.scalar(1.5, 'float32'), x])], { epsilon: 0.5 }, 3).map((value) => b.op('CastLike', [value, x])).reduce((sum, value) => b.op('Add', [sum, value]))],
  ];

  it.each(items)('runs where ONNX Runtime has no sums of its own, and agrees with single precision: %s', async (_, make) => {
    const random = randomOf(11);
    // Numbers that both precisions have.
    const drawn = (shape: readonly number[]): Tensor64 => ({ shape, data: randomTensor(random, shape).data.map((value) => Math.round(value * 256) / 256) });
    const x0 = drawn([2, 2, 6, 5]);
    const modelIn = (type: number): Model => modelOf(network([['N', 2, 6, 5]], (b, x) => wide(b, make(b, b.op('Cast', [x], { to: type })))));
    const run = async (model: Model, feeds: Feeds): Promise<Record<string, Tensor64>> => {
      const session = await Session.open(model);
      return session.run(feeds).finally(() => session.close());
    };
    const { y } = await run(modelIn(1), { x0 });
    const feeds = { x0, seed_y: drawn(y!.shape) };
    const single = await run(gradient(modelIn(1), { seed: true }), feeds);
    const half = await run(gradient(modelIn(10), { seed: true }), feeds);
    half['grad_x0']!.data.forEach((value, i) => { expect(value).toBeCloseTo(single['grad_x0']!.data[i]!, 2); });
  });
});

describe('kinks in half precision', () => {
  it.each<readonly [string, (b: GraphBuilder, x: Value) => Value, number]>([
    ['LeakyRelu', (b, x) => b.op('LeakyRelu', [x], { alpha: 0.25 }), 0.25],
    ['Relu', (b, x) => b.op('Relu', [x]), 0],
    ['PRelu', (b, x) => b.op('PRelu', [x, b.op('CastLike', [b.scalar(0.25, 'float32'), x])]), 0.25],
    ['Max', (b, x) => b.op('Max', [x, b.op('CastLike', [b.scalar(0, 'float32'), x])]), 0],
    ['Clip', (b, x) => b.op('Clip', [x, b.op('CastLike', [b.scalar(0, 'float32'), x]), null]), 0],
  ])('lie between the smallest numbers there are: %s', async (_, make, left) => {
    const model = modelOf(network([['N']], (b, x) => wide(b, make(b, b.op('Cast', [x], { to: 10 })))));
    const session = await Session.open(gradient(model));
    // 6e-8 is the smallest half; its negative one keeps its sign under a slope of a quarter from 2.4e-7 on.
    const data = [6e-8, 3e-7, -3e-7, 1e-6, -1e-6, 1.6e-5, -1.6e-5, 0.5, -0.5, 6e4, -6e4];
    const { grad_x0 } = await session.run({ x0: { shape: [data.length], data: Float64Array.from(data) } }).finally(() => session.close());
    expect([...grad_x0!.data]).toEqual(data.map((value) => (value > 0 ? 1 : left)));
  });
});

describe('random graphs from the table of rules', () => {
  const steps: readonly ((b: GraphBuilder, x: Value, y: Value) => Value)[] = [
    (b, x) => b.op('Tanh', [x]), (b, x) => b.op('Sigmoid', [x]), (b, x) => b.op('Softmax', [x], { axis: -1 }), (b, x, y) => b.op('Mul', [x, y]), (b, x, y) => b.op('Add', [x, y]),
    (b, x, y) => b.op('Div', [x, b.op('Add', [b.op('Abs', [y]), b.scalar(1, y)])]), (b, x) => b.op('Sub', [x, b.op('ReduceMean', [x, b.ints([1])])]),
    (b, x) => b.op('MatMul', [x, b.op('Softmax', [b.op('MatMul', [b.op('Transpose', [x], { perm: [0, 2, 1] }), x])])]),
    (b, x) => b.op('Slice', [x, b.ints([-1]), b.ints([-(2 ** 31)]), b.ints([1]), b.ints([-1])]),
    (b, x) => b.op('Gather', [x, b.ints([2, 0, 1])], { axis: 1 }), (b, x, y) => b.op('Where', [b.op('Less', [x, y]), x, b.op('Sin', [y])]),
    (b, x) => b.op('Reshape', [b.op('Reshape', [x, b.ints([-1, 12])]), b.ints([-1, 3, 4])]),
  ];

  it('have the adjoint that finite differences find', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(steps.length - 1), fc.nat(), fc.nat()), { minLength: 2, maxLength: 8 }), fc.nat(), async (plan, seed) => {
      const item = network([['N', 3, 4], ['N', 3, 4]], (b, x, y) => {
        const values = [x, y];
        for (const [step, left, right] of plan) values.push(steps[step]!(b, values[left % values.length]!, values[right % values.length]!));
        return values.reduce((sum, value) => b.op('Add', [sum, value]));
      });
      expect(await adjointError(item, { seed, trials: 1 })).toBeLessThan(1e-5);
    }), { numRuns: 25, seed: 20261122 });
  });
});

describe('the adjoint identity', () => {
  it('⟨J v, u⟩ = ⟨v, Jᵀ u⟩ holds exactly for a linear network', async () => {
    const random = randomOf(5);
    const item = network([['N', 4, 6]], (b, x) => b.op('Transpose', [b.op('Slice', [b.op('CumSum', [x, b.ints([2])]), b.ints([1]), b.ints([6]), b.ints([2]), b.ints([2])])], { perm: [0, 2, 1] }));
    const forward = await Session.open(modelOf(item));
    const backward = await Session.open(gradient(modelOf(item), { seed: true, wrt: 'x0' }));
    const v = randomTensor(random, [2, 4, 6]);
    const { y } = await forward.run({ x0: v });
    const u = randomTensor(random, y!.shape);
    const results = await backward.run({ x0: v, seed_y: u });
    expect(dot(results['grad_x0']!, v)).toBeCloseTo(dot(y!, u), 10);
    await forward.close();
    await backward.close();
  });
});
