/** Layers that carry a state along a sequence (opset 27): linear attention, unrolled over its steps, and causal convolution. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { floatOf, intOf, stringOf } from '../../ops/operator.js';
import { requiredInput, requiredOutput, type Rule, type RuleContext } from '../rule.js';
import { longestSequence } from './recurrent.js';

/** [B, T, H · D] → [B, H, T, D] */
function heads({ builder }: RuleContext, value: Value, count: number): Value {
  return builder.op('Transpose', [builder.op('Reshape', [value, builder.ints([0, 0, count, -1])])], { perm: [0, 2, 1, 3] });
}

/** S ← exp(g) S + k ⊗ v, or with the correction of the delta rule β (v − Sᵀ k) in place of v; y = c qᵀ S. */
const linearAttention: Rule = (context) => {
  const { builder: b, node, where } = context;
  const [q, k, v, y] = [requiredInput(context, 0), requiredInput(context, 1), requiredInput(context, 2), requiredOutput(context)];
  const [past, decay, beta] = [node.inputs[3] ?? null, node.inputs[4] ?? null, node.inputs[5] ?? null];
  const [count, queries] = [intOf(node, 'kv_num_heads', 0), intOf(node, 'q_num_heads', 0)];
  const [steps, width] = [shapeOf(q)[1], shapeOf(q)[2]];
  if (typeof steps !== 'number' || steps > longestSequence) throw new UnsupportedError(`${where}: the number of time steps must be static and at most ${longestSequence} to be unrolled, got ${String(steps)}.`);
  if (typeof width !== 'number' || count < 1 || queries < 1 || queries % count !== 0) throw new UnsupportedError(`${where}: the width of its queries must be known, and ${queries} heads of queries a multiple of ${count} heads of keys.`);
  const inputs = [q, k, v, past, decay, beta];
  const present = inputs.filter((value) => value !== null);
  const gradients = context.expand(() => {
    const scale = floatOf(node, 'scale', 0) || 1 / Math.sqrt(width / queries);
    const at = (value: Value, step: number): Value => b.op('Slice', [value, b.ints([step]), b.ints([step + 1]), b.ints([2])]);
    const column = (value: Value): Value => b.op('Transpose', [value], { perm: [0, 1, 3, 2] });
    const scaled = b.op('Mul', [heads(context, q, queries), b.scalar(scale, q)]);
    const [keys, values] = [heads(context, k, count), heads(context, v, count)];
    const kept = decay && b.op('Exp', [heads(context, decay, count)]);
    // [B, T, heads or 1] → [B, heads or 1, T, 1]
    const rate = beta && b.op('Unsqueeze', [b.op('Transpose', [beta], { perm: [0, 2, 1] }), b.ints([3])]);
    let state = past;
    const rows: Value[] = [];
    for (let step = 0; step < steps; step++) {
      const key = column(at(keys, step));
      if (state && kept) state = b.op('Mul', [state, column(at(kept, step))]);
      let value = at(values, step);
      if (rate) {
        const correction = state ? b.op('Sub', [value, b.op('MatMul', [at(keys, step), state])]) : value;
        value = b.op('Mul', [correction, at(rate, step)]);
      }
      const written = b.op('MatMul', [key, value]);
      state = state ? b.op('Add', [state, written]) : written;
      // [B, heads, group, d]: the queries that share a head are rows of one product.
      const asked = b.op('Reshape', [at(scaled, step), b.ints([0, count, queries / count, -1])]);
      rows.push(b.op('Reshape', [b.op('MatMul', [asked, state]), b.ints([0, 1, -1])]));
    }
    const joined = rows.length === 1 ? rows[0]! : b.op('Concat', rows, { axis: 1 });
    return [Object.assign(b.op('Identity', [joined]), { shape: y.shape }), state!];
  }, present);
  return inputs.map((value) => (value ? gradients[present.indexOf(value)] ?? null : null));
};

/** The state, then the input, through a convolution of single channels; the last places are the next state. */
const causalConvolution: Rule = (context) => {
  const { builder: b, node, where } = context;
  const [x, weight] = [requiredInput(context, 0), requiredInput(context, 1)];
  const [bias, past] = [node.inputs[2] ?? null, node.inputs[3] ?? null];
  const [channels, , taps] = shapeOf(weight);
  if (typeof channels !== 'number' || typeof taps !== 'number') throw new UnsupportedError(`${where}: the shape of its kernel must be known.`);
  const activation = stringOf(node, 'activation', 'none');
  if (!['none', 'silu', 'swish'].includes(activation)) throw new UnsupportedError(`${where}: activation ${JSON.stringify(activation)} is not known.`);
  const inputs = [x, weight, bias, past];
  const present = inputs.filter((value) => value !== null);
  const gradients = context.expand(() => {
    const padded = past ? b.op('Concat', [past, x], { axis: 2 }) : b.op('Pad', [x, b.ints([0, 0, taps - 1, 0, 0, 0]), b.scalar(0, x)]);
    const found = b.op('Conv', [padded, weight, bias], { kernel_shape: [taps], strides: [1], dilations: [1], pads: [0, 0], group: channels });
    const y = activation === 'none' ? found : b.op('Mul', [found, b.op('Sigmoid', [found])]);
    return [y, b.op('Slice', [padded, b.ints(taps === 1 ? [2 ** 31 - 1] : [1 - taps]), b.ints([2 ** 31 - 1]), b.ints([2])])];
  }, present);
  return inputs.map((value) => (value ? gradients[present.indexOf(value)] ?? null : null));
};

export const stateSpaceRules: Readonly<Record<string, Rule>> = { LinearAttention: linearAttention, CausalConvWithState: causalConvolution };
