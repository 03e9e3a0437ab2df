/** Loops whose number of iterations is known: read as the nodes of their iterations, they compute what ONNX Runtime makes of the loop, and have gradients. */
import { gradient, GraphBuilder, readModel, writeModel, type Model, type Value } from '@ratioflow/export';
import { describe, expect, it } from 'vitest';
import { adjointError, modelOf, randomOf, randomTensor, Session, type Network } from './support.js';

type Attributes = Readonly<Record<string, readonly number[]>>;
type Body = (inner: GraphBuilder, ...inputs: Value[]) => readonly Value[];

const int = (builder: GraphBuilder, value: number): Value => builder.constant({ dtype: 'int64', dims: [], data: new Uint8Array(BigInt64Array.of(BigInt(value)).buffer) }, 'count');
const yes = (builder: GraphBuilder, value = 1): Value => builder.constant({ dtype: 'bool', dims: [], data: Uint8Array.of(value) }, 'condition');

/** Adds a node with a body; the types of its outputs are those given. */
function looping(b: GraphBuilder, opType: 'Scan' | 'Loop', inputs: readonly (Value | null)[], given: readonly Omit<Value, 'name'>[], body: Body, results: readonly Omit<Value, 'name'>[], attributes: Attributes = {}): Value[] {
  const inner = new GraphBuilder('body', undefined, b);
  body(inner, ...given.map((type, index) => inner.input(`given_${index}`, type.dtype!, type.shape!))).forEach((value, index) => inner.output(`result_${index}`, inner.op('Identity', [value])));
  const outputs = results.map((type) => b.value(opType.toLowerCase(), type));
  b.graph.nodes.push({
    name: opType.toLowerCase(), opType, domain: '', inputs: [...inputs], outputs,
    attributes: new Map([['body', { type: 'graph', value: inner.graph }], ...Object.entries(attributes).map(([name, value]) => [name, name === 'num_scan_inputs' ? { type: 'int', value: value[0]! } : { type: 'ints', value }] as const)] as never),
  });
  return outputs;
}

const f64 = (...shape: (number | string)[]): Omit<Value, 'name'> => ({ dtype: 'float64', shape });

/** h ← tanh-like(W h + x[t]) over the middle axis, the states of all steps and the last one. */
const recurrence = (attributes: Attributes): Network => ({
  inputs: [{ shape: ['N', 5, 3] }, { shape: ['N', 3] }, { shape: [3, 3] }],
  make: (b, [x, h, w]) => {
    const axis = attributes['scan_output_axes']?.[0] ?? 0;
    const [last, all] = looping(b, 'Scan', [h!, x!], [f64('N', 3), f64('N', 3)], (inner, state, slice) => {
      const mixed = inner.op('Add', [inner.op('MatMul', [state, w!]), inner.op('Mul', [slice, inner.initializer('gain', { dtype: 'float64', dims: [1], data: new Uint8Array(Float64Array.of(0.7).buffer) })])]);
      const next = inner.op('Sigmoid', [mixed]);
      return [next, inner.op('Mul', [next, slice])];
    }, [f64('N', 3), f64(...(axis === 0 ? [5, 'N', 3] : axis === 1 ? ['N', 5, 3] : ['N', 3, 5]))], { num_scan_inputs: [1], scan_input_axes: [1], ...attributes });
    return b.op('Add', [b.op('ReduceSum', [all!], { keepdims: 0 }), b.op('Mul', [last!, last!])]);
  },
});

/** Three iterations that use their number, with a state and a collected value; what is around is captured. */
const counted = (condition: 'passed on' | 'true' | 'computed', trip: (b: GraphBuilder) => Value = (b) => int(b, 3)): Network => ({
  inputs: [{ shape: ['N', 4] }],
  make: (b, [x]) => {
    const doubled = b.op('Add', [x!, x!]);
    const [state, all] = looping(b, 'Loop', [trip(b), yes(b), x!], [{ dtype: 'int64', shape: [] }, { dtype: 'bool', shape: [] }, f64('N', 4)], (inner, index, held, y) => {
      const factor = inner.op('Cast', [index], { to: 11 });
      const next = inner.op('Sigmoid', [inner.op('Sub', [inner.op('Mul', [y, inner.op('Add', [factor, inner.scalar(1, factor)])]), doubled])]);
      const goes = condition === 'passed on' ? held : condition === 'true' ? inner.op('Cast', [int(inner, 1)], { to: 9 }) : inner.op('Less', [index, int(inner, 1)]);
      return [goes, next, inner.op('Mul', [next, doubled])];
    }, [f64('N', 4), f64(condition === 'computed' ? 'T' : 3, 'N', 4)]);
    return b.op('Add', [b.op('ReduceSum', [all!, b.ints([0])], { keepdims: 0 }), state!]);
  },
});

const kinds = (model: Model): string[] => model.graph.nodes.map(({ opType }) => opType);

/** What ONNX Runtime makes of the loop, and of what is read. */
async function bothSides(network: Network): Promise<[number[], number[]]> {
  const model = modelOf(network);
  const random = randomOf(5);
  const feeds = Object.fromEntries(network.inputs.map(({ shape }, index) => [`x${index}`, randomTensor(random, shape.map((dim) => (typeof dim === 'number' ? dim : 2)))]));
  const sides: number[][] = [];
  for (const one of [model, readModel(writeModel(model))]) {
    const session = await Session.open(one);
    sides.push(Array.from((await session.run(feeds))['y']!.data));
    await session.close();
  }
  return sides as [number[], number[]];
}

describe('loops of known length', () => {
  it.each([
    ['forwards', {}], ['from the end', { scan_input_directions: [1] }], ['collected from the end', { scan_output_directions: [1] }], ['collected along another axis', { scan_output_axes: [1] }], ['collected along the last axis', { scan_output_axes: [-1] }],
  ] as const)('Scan, %s', async (_, attributes) => {
    const network = recurrence(attributes);
    const read = readModel(writeModel(modelOf(network)));
    expect(kinds(read)).not.toContain('Scan');
    const names = read.graph.nodes.flatMap(({ name, outputs }) => [name, ...outputs.map((value) => value!.name)]);
    expect(new Set(names).size).toBe(names.length);
    const [loop, steps] = await bothSides(network);
    expect(steps).toEqual(loop);
    expect(await adjointError(network)).toBeLessThan(1e-6);
    expect(await adjointError(network, { batch: 1 })).toBeLessThan(1e-6);
  });

  it.each(['passed on', 'true'] as const)('Loop whose condition is %s', async (condition) => {
    const network = counted(condition);
    expect(kinds(readModel(writeModel(modelOf(network))))).not.toContain('Loop');
    const [loop, steps] = await bothSides(network);
    expect(steps).toEqual(loop);
    expect(await adjointError(network)).toBeLessThan(1e-6);
  });

  it('those of opset 9 to 12 too', async () => {
    const old = (inner: GraphBuilder, opType: string, x: Value, shape: readonly (number | string)[]): Value => {
      const y = inner.value(opType, f64(...shape));
      inner.graph.nodes.push({ name: `${opType}_of_11`, opType, domain: '', inputs: [x], outputs: [y], attributes: new Map([['axes', { type: 'ints', value: [1] }]]) });
      return y;
    };
    const bytes = writeModel(modelOf({
      inputs: [{ shape: [1, 4] }],
      make: (b, [x]) => looping(b, 'Loop', [int(b, 3), yes(b), x!], [{ dtype: 'int64', shape: [] }, { dtype: 'bool', shape: [] }, f64(1, 4)], (inner, _, held, y) => {
        const square = inner.op('Mul', [y, y]);
        return [held, old(inner, 'Squeeze', old(inner, 'Unsqueeze', square, [1, 1, 4]), [1, 4]), y];
      }, [f64(1, 4), f64(3, 1, 4)])[1]!,
    }, 11));
    const model = readModel(bytes);
    expect(kinds(model)).not.toContain('Loop');
    const session = await Session.open(gradient(model, { wrt: 'x0' }));
    const x = [0.5, -1, 2, 0.1];
    // x + x² + x⁴ by hand.
    const { grad_x0 } = await session.run({ x0: { shape: [1, 4], data: Float64Array.from(x) } });
    Array.from(grad_x0!.data).forEach((value, index) => expect(value).toBeCloseTo(1 + 2 * x[index]! + 4 * x[index]! ** 3, 12));
    await session.close();
  });

  it.each([
    ['may end early', counted('computed')],
    ['has a length that the running graph computes', counted('passed on', (b) => b.op('Squeeze', [b.op('Shape', [b.graph.inputs[0]!], { start: 0, end: 1 }), b.ints([0])]))],
    ['has more iterations than are written out', counted('passed on', (b) => int(b, 1_000_000_000))],
  ])('stays where it %s, and is refused by name', (_, network) => {
    const read = readModel(writeModel(modelOf(network)));
    expect(kinds(read)).toContain('Loop');
    expect(() => gradient(read)).toThrow(/Loop node "loop": control flow cannot be differentiated/);
  });
});
