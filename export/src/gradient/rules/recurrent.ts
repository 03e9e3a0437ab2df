/** Recurrent layers, unrolled over their time steps, whose number must be static, and differentiated as plain operators. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf, type GraphBuilder } from '../../ir/builder.js';
import { int64 } from '../../ir/constant.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { floatOf, intOf, stringOf } from '../../ops/operator.js';
import { requiredInput, type Rule, type RuleContext } from '../rule.js';

/** Every step adds some tens of nodes; sequences beyond this make graphs that no engine loads gladly. */
export const longestSequence = 512;

interface State {
  readonly h: Value | null;
  readonly c: Value | null;
}

/** One step: `fromInput` is x Wᵀ of this step, [N, gates · H]. */
type Cell = (fromInput: Value, state: State) => { h: Value; c: Value | null };

interface Direction {
  /** [gates · H, I], [gates · H, H], twice [gates · H], [peepholes · H]. */
  readonly w: Value;
  readonly r: Value;
  readonly wb: Value | null;
  readonly rb: Value | null;
  readonly p: Value | null;
  readonly hidden: number;
  readonly activations: readonly ((x: Value) => Value)[];
}

type CellOf = (context: RuleContext, direction: Direction) => Cell;

/** What an activation takes from the lists `activation_alpha` and `activation_beta`, or has by default. */
interface Activation {
  readonly alpha?: number;
  readonly beta?: number;
  readonly apply: (builder: GraphBuilder, x: Value, alpha: number, beta: number) => Value;
}

const plain = (opType: string): Activation => ({ apply: (builder, x) => builder.op(opType, [x]) });
const withAlpha = (opType: string, alpha: number): Activation => ({ alpha, apply: (builder, x, given) => builder.op(opType, [x], { alpha: given }) });
const affine = (builder: GraphBuilder, x: Value, alpha: number, beta: number): Value => builder.op('Add', [builder.op('Mul', [x, builder.scalar(alpha, x)]), builder.scalar(beta, x)]);

/** All of the standard, whose names are not sensitive to case. */
const activations = new Map<string, Activation>(Object.entries({
  Relu: plain('Relu'), Tanh: plain('Tanh'), Sigmoid: plain('Sigmoid'), Softsign: plain('Softsign'), Softplus: plain('Softplus'),
  LeakyRelu: withAlpha('LeakyRelu', 0.01), ThresholdedRelu: withAlpha('ThresholdedRelu', 1), Elu: withAlpha('Elu', 1),
  HardSigmoid: { alpha: 0.2, beta: 0.5, apply: (builder, x, alpha, beta) => builder.op('HardSigmoid', [x], { alpha, beta }) },
  Affine: { alpha: 1, beta: 0, apply: affine },
  ScaledTanh: {
    alpha: 1, beta: 1,
    apply: (builder, x, alpha, beta) => builder.op('Mul', [builder.op('Tanh', [builder.op('Mul', [x, builder.scalar(beta, x)])]), builder.scalar(alpha, x)]),
  },
} satisfies Record<string, Activation>).map(([name, activation]) => [name.toLowerCase(), activation]));

/** The activation functions of all directions; `clip` bounds what gates take, as in ONNX Runtime, not an LSTM's cell on its way out. */
function activationsOf({ builder, node, where }: RuleContext, defaults: readonly string[], directions: number): ((x: Value) => Value)[] {
  const given = node.attributes.get('activations');
  const names = given?.type === 'strings' ? given.value : Array.from({ length: directions }, () => defaults).flat();
  const clip = floatOf(node, 'clip', 0);
  // Each function that has a parameter takes the next of the list, in their order.
  const list = (name: string): number[] => {
    const attribute = node.attributes.get(name);
    return attribute?.type === 'floats' ? [...attribute.value] : [];
  };
  const [alphas, betas] = [list('activation_alpha'), list('activation_beta')];
  return names.map((name, index) => {
    const activation = activations.get(name.toLowerCase());
    if (!activation) throw new UnsupportedError(`${where}: the activation ${JSON.stringify(name)} of a recurrent layer cannot be differentiated.`);
    const alpha = activation.alpha === undefined ? 0 : alphas.shift() ?? activation.alpha;
    const beta = activation.beta === undefined ? 0 : betas.shift() ?? activation.beta;
    const clipped = clip > 0 && index % defaults.length < 2;
    return (x) => activation.apply(builder, clipped ? builder.op('Clip', [x, builder.scalar(-clip, x), builder.scalar(clip, x)]) : x, alpha, beta);
  });
}

const sliceAt = ({ builder }: RuleContext, value: Value, axis: number, from: number, to: number): Value =>
  builder.op('Slice', [value, builder.ints([from]), builder.ints([to]), builder.ints([axis])]);

/** The gates of a pre-activation, along its last axis. */
const gatesOf = (context: RuleContext, value: Value, hidden: number, count: number): Value[] =>
  Array.from({ length: count }, (_, gate) => sliceAt(context, value, -1, gate * hidden, (gate + 1) * hidden));

const plus = ({ builder }: RuleContext, a: Value, b: Value | null): Value => (b ? builder.op('Add', [a, b]) : a);
const times = ({ builder }: RuleContext, a: Value, b: Value): Value => builder.op('Mul', [a, b]);
const oneMinus = ({ builder }: RuleContext, a: Value): Value => builder.op('Sub', [builder.scalar(1, a), a]);
/** h Rᵀ + its bias, or only the bias before the first step. */
const recurrence = (context: RuleContext, h: Value | null, r: Value, bias: Value | null): Value | null =>
  (h ? plus(context, context.builder.op('MatMul', [h, context.builder.op('Transpose', [r], { perm: [1, 0] })]), bias) : bias);

const rnn: CellOf = (context, { r, rb, activations: [f] }) => (x, { h }) => ({ h: f!(plus(context, x, recurrence(context, h, r, rb))), c: null });

const lstm: CellOf = (context, { r, rb, p, hidden, activations: [f, g, h] }) => (x, state) => {
  // Gates i, o, f, c; peepholes i, o, f.
  const [i, o, forget, c] = gatesOf(context, plus(context, x, recurrence(context, state.h, r, rb)), hidden, 4) as [Value, Value, Value, Value];
  const peephole = (index: number, cell: Value | null): Value | null => (p && cell ? times(context, sliceAt(context, p, 0, index * hidden, (index + 1) * hidden), cell) : null);
  const input = f!(plus(context, i, peephole(0, state.c)));
  const kept = intOf(context.node, 'input_forget', 0) === 1 ? oneMinus(context, input) : f!(plus(context, forget, peephole(2, state.c)));
  const cell = plus(context, times(context, input, g!(c)), state.c && times(context, kept, state.c));
  return { c: cell, h: times(context, f!(plus(context, o, peephole(1, cell))), h!(cell)) };
};

const gru: CellOf = (context, { r, rb, hidden, activations: [f, g] }) => (x, { h }) => {
  // Gates z, r, h.
  const [xz, xr, xh] = gatesOf(context, x, hidden, 3) as [Value, Value, Value];
  const rows = [0, 1, 2].map((gate) => sliceAt(context, r, 0, gate * hidden, (gate + 1) * hidden));
  const biases = [0, 1, 2].map((gate) => rb && sliceAt(context, rb, 0, gate * hidden, (gate + 1) * hidden));
  const from = (gate: number, state: Value | null): Value | null => recurrence(context, state, rows[gate]!, biases[gate]!);
  const update = f!(plus(context, xz, from(0, h)));
  const reset = f!(plus(context, xr, from(1, h)));
  const linear = intOf(context.node, 'linear_before_reset', 0) === 1;
  const inner = linear ? from(2, h) : from(2, h && times(context, reset, h));
  const candidate = g!(plus(context, xh, linear && inner ? times(context, reset, inner) : inner));
  const fresh = times(context, oneMinus(context, update), candidate);
  return { h: plus(context, fresh, h && times(context, update, h)), c: null };
};

/** Unrolls a layer; returns Y and the final states, as the operator's outputs stand. */
function unroll(context: RuleContext, cellOf: CellOf, gates: number, defaults: readonly string[], states: 1 | 2): Value[] {
  const { builder, node, where } = context;
  const batchFirst = intOf(node, 'layout', 0) === 1;
  const swap = (value: Value, perm: readonly number[]): Value => (batchFirst ? builder.op('Transpose', [value], { perm }) : value);
  const x = swap(requiredInput(context, 0), [1, 0, 2]);
  const [steps] = shapeOf(x);
  if (typeof steps !== 'number' || steps > longestSequence) throw new UnsupportedError(`${where}: the number of time steps must be static and at most ${longestSequence} to be unrolled, got ${String(steps)}.`);
  const direction = stringOf(node, 'direction', 'forward');
  const count = direction === 'bidirectional' ? 2 : 1;
  const hidden = shapeOf(requiredInput(context, 2))[2];
  if (typeof hidden !== 'number') throw new UnsupportedError(`${where}: the number of units must be static.`);
  const lengths = node.inputs[4] ? builder.op('Cast', [node.inputs[4]], { to: dataTypeCodes.int64 }) : null;
  const functions = activationsOf(context, defaults, count);
  const single = (value: Value | null | undefined, at: number): Value | null => (value ? builder.op('Squeeze', [sliceAt(context, value, 0, at, at + 1), builder.ints([0])]) : null);
  const initial = (index: number, at: number): Value | null => {
    const given = node.inputs[index];
    return given ? single(swap(given, [1, 0, 2]), at) : null;
  };
  const backwards = (value: Value): Value => (lengths
    ? builder.op('ReverseSequence', [value, lengths], { batch_axis: 1, time_axis: 0 })
    : builder.op('Slice', [value, builder.ints([-1]), builder.ints([-(2 ** 31)]), builder.ints([0]), builder.ints([-1])]));
  /** 1 while a sequence lasts, [N, 1]. */
  const lasting = (step: number, like: Value): Value | null => lengths && builder.op('Unsqueeze', [builder.op('Cast', [builder.op('Greater', [lengths, builder.constant(int64([step], []))])], { to: dataTypeCodes[like.dtype!] }), builder.ints([1])]);

  const run = (at: number): { y: Value; h: Value; c: Value | null } => {
    const reverse = direction === 'reverse' || at === 1;
    const bias = single(node.inputs[3], at);
    const w = single(requiredInput(context, 1), at)!;
    const wb = bias && sliceAt(context, bias, 0, 0, gates * hidden);
    const cell = cellOf(context, {
      w, wb, r: single(requiredInput(context, 2), at)!, hidden,
      rb: bias && sliceAt(context, bias, 0, gates * hidden, 2 * gates * hidden),
      p: single(states === 2 ? node.inputs[7] : null, at),
      activations: functions.slice(at * defaults.length, (at + 1) * defaults.length),
    });
    const inputs = plus(context, builder.op('MatMul', [reverse ? backwards(x) : x, builder.op('Transpose', [w], { perm: [1, 0] })]), wb);
    let state: State = { h: initial(5, at), c: states === 2 ? initial(6, at) : null };
    const outputs: Value[] = [];
    for (let step = 0; step < steps; step++) {
      const next = cell(builder.op('Squeeze', [sliceAt(context, inputs, 0, step, step + 1), builder.ints([0])]), state);
      const held = lasting(step, next.h);
      // After its end a sequence keeps its state and gives zeros.
      const keep = (value: Value | null, old: Value | null): Value | null => (held && value
        ? plus(context, times(context, value, held), old && times(context, old, oneMinus(context, held)))
        : value);
      outputs.push(builder.op('Unsqueeze', [held ? times(context, next.h, held) : next.h, builder.ints([0])]));
      state = { h: keep(next.h, state.h), c: keep(next.c, state.c) };
    }
    const y = outputs.length > 1 ? builder.op('Concat', outputs, { axis: 0 }) : outputs[0]!;
    return { y: reverse ? backwards(y) : y, h: state.h!, c: state.c };
  };

  const runs = Array.from({ length: count }, (_, at) => run(at));
  const joined = (values: readonly Value[], axis: number): Value => {
    const apart = values.map((value) => builder.op('Unsqueeze', [value, builder.ints([axis])]));
    return apart.length > 1 ? builder.op('Concat', apart, { axis }) : apart[0]!;
  };
  const finals = [runs.map(({ h }) => h), ...(states === 2 ? [runs.map(({ c }) => c!)] : [])];
  return [swap(joined(runs.map(({ y }) => y), 1), [2, 0, 1, 3]), ...finals.map((values) => swap(joined(values, 0), [1, 0, 2]))];
}

const recurrent = (cellOf: CellOf, gates: number, defaults: readonly string[], states: 1 | 2): Rule => (context) => {
  const inputs = context.node.inputs.map((value, index) => (index === 4 ? null : value));
  const gradients = context.expand(() => unroll(context, cellOf, gates, defaults, states), inputs.filter((value) => value !== null));
  return inputs.map((value) => value && gradients.shift()!);
};

export const recurrentRules: Readonly<Record<string, Rule>> = {
  RNN: recurrent(rnn, 1, ['Tanh'], 1),
  GRU: recurrent(gru, 3, ['Sigmoid', 'Tanh'], 1),
  LSTM: recurrent(lstm, 4, ['Sigmoid', 'Tanh', 'Tanh'], 2),
};
