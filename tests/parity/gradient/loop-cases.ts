/** Networks with a Scan or a Loop whose number of iterations is known. */
import { GraphBuilder, type Value } from '@ratioflow/export';
import type { Network } from './support.js';

type Attributes = Readonly<Record<string, readonly number[]>>;
type Body = (inner: GraphBuilder, ...inputs: Value[]) => readonly Value[];

export const int = (builder: GraphBuilder, value: number): Value => builder.constant({ dtype: 'int64', dims: [], data: new Uint8Array(BigInt64Array.of(BigInt(value)).buffer) }, 'count');
export const yes = (builder: GraphBuilder, value = 1): Value => builder.constant({ dtype: 'bool', dims: [], data: Uint8Array.of(value) }, 'condition');

/** Adds a node with a body; the types of its outputs are those given. */
export function looping(b: GraphBuilder, opType: 'Scan' | 'Loop', inputs: readonly (Value | null)[], given: readonly Omit<Value, 'name'>[], body: Body, results: readonly Omit<Value, 'name'>[], attributes: Attributes = {}): Value[] {
  const inner = new GraphBuilder('body', undefined, b);
  body(inner, ...given.map((type, index) => inner.input(`given_${index}`, type.dtype!, type.shape!))).forEach((value, index) => inner.output(`result_${index}`, inner.op('Identity', [value])));
  const outputs = results.map((type) => b.value(opType.toLowerCase(), type));
  b.graph.nodes.push({
    name: opType.toLowerCase(), opType, domain: '', inputs: [...inputs], outputs,
    attributes: new Map([['body', { type: 'graph', value: inner.graph }], ...Object.entries(attributes).map(([name, value]) => [name, name === 'num_scan_inputs' ? { type: 'int', value: value[0]! } : { type: 'ints', value }] as const)] as never),
  });
  return outputs;
}

export const f64 = (...shape: (number | string)[]): Omit<Value, 'name'> => ({ dtype: 'float64', shape });

/** h ← tanh-like(W h + x[t]) over the middle axis, the states of all steps and the last one. */
export const recurrence = (attributes: Attributes): Network => ({
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
export const counted = (condition: 'passed on' | 'true' | 'computed', trip: (b: GraphBuilder) => Value = (b) => int(b, 3)): Network => ({
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
