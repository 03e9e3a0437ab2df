/** Attention and rotary positions (opset 23), through the plain operators that define them. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { int64 } from '../../ir/constant.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { floatOf, intOf } from '../../ops/operator.js';
import { extentVector, requiredInput, type Rule, type RuleContext } from '../rule.js';

const attention: Rule = (context) => {
  const { builder: b, node, where } = context;
  const [q, k, v] = [requiredInput(context, 0), requiredInput(context, 1), requiredInput(context, 2)];
  const [mask, pastKey, pastValue] = [node.inputs[3], node.inputs[4], node.inputs[5]];
  const flat = shapeOf(q).length === 3;
  const heads = flat ? [intOf(node, 'q_num_heads', 0), intOf(node, 'kv_num_heads', 0)] : [shapeOf(q)[1], shapeOf(k)[1]];
  const [queryHeads, keyHeads] = heads;
  if (typeof queryHeads !== 'number' || typeof keyHeads !== 'number' || !queryHeads || !keyHeads) throw new UnsupportedError(`${where}: the numbers of its heads must be static.`);
  const apart = (value: Value, count: number): Value => (flat ? b.op('Transpose', [b.op('Reshape', [value, b.ints([0, 0, count, -1])])], { perm: [0, 2, 1, 3] }) : value);
  const type = dtypeOf(q);
  const cast = (value: Value, to: typeof type): Value => (dtypeOf(value) === to ? value : b.op('Cast', [value], { to: dataTypeCodes[to] }));
  const working = [1, 11].includes(intOf(node, 'softmax_precision', 0)) && type !== 'float64' ? (intOf(node, 'softmax_precision', 0) === 11 ? 'float64' : 'float32') : type;
  const make = (): Value[] => {
    const query = apart(q, queryHeads);
    const present = (past: Value | null | undefined, value: Value): Value => (past ? b.op('Concat', [past, apart(value, keyHeads)], { axis: 2 }) : apart(value, keyHeads));
    const [keys, values] = [present(pastKey, k), present(pastValue, v)];
    const shared = (value: Value): Value => {
      if (queryHeads === keyHeads) return value;
      const wide = b.op('Expand', [b.op('Unsqueeze', [value, b.ints([2])]), b.ints([1, 1, queryHeads / keyHeads, 1, 1])]);
      return b.op('Reshape', [wide, b.op('Concat', [b.ints([0, queryHeads]), extentVector(context, value, 2), extentVector(context, value, 3)], { axis: 0 })]);
    };
    const depth = shapeOf(query)[3];
    if (typeof depth !== 'number') throw new UnsupportedError(`${where}: the width of its heads must be static.`);
    const scaled = (value: Value): Value => b.op('Mul', [value, b.scalar(Math.sqrt(floatOf(node, 'scale', 0) || 1 / Math.sqrt(depth)), value)]);
    const raw = b.op('MatMul', [scaled(query), b.op('Transpose', [scaled(shared(keys))], { perm: [0, 1, 3, 2] })]);
    const cap = floatOf(node, 'softcap', 0);
    const capped = cap > 0 ? b.op('Mul', [b.op('Tanh', [b.op('Mul', [raw, b.scalar(1 / cap, raw)])]), b.scalar(cap, raw)]) : raw;
    const minusInfinity = b.scalar(-Infinity, type);
    const biased = mask ? b.op('Add', [capped, paddedMask(context, mask, capped, type)]) : capped;
    const seen = seenKeys(context, capped);
    const bounded = seen ? b.op('Where', [seen, biased, minusInfinity]) : biased;
    const soft = b.op('Softmax', [cast(bounded, working)], { axis: -1 });
    // A row that is masked altogether attends to nothing.
    const weights = mask || seen ? b.op('Where', [b.op('IsNaN', [soft]), b.scalar(0, soft), soft]) : soft;
    const mixed = b.op('MatMul', [cast(weights, type), shared(values)]);
    const y = flat ? b.op('Reshape', [b.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }), b.ints([0, 0, -1])]) : mixed;
    const products = [raw, capped, bounded, cast(weights, type)][intOf(node, 'qk_matmul_output_mode', 0)];
    if (!products) throw new UnsupportedError(`${where}: its qk_matmul_output_mode must be 0, 1, 2 or 3.`);
    return [y, keys, values, products];
  };
  const inputs = [q, k, v, ...(mask && dtypeOf(mask) !== 'bool' ? [mask] : []), ...(pastKey ? [pastKey] : []), ...(pastValue ? [pastValue] : [])];
  const gradients = new Map(context.expand(make, inputs).map((gradient, index) => [index, gradient]));
  // A value that stands in two places has its whole gradient at the first.
  return node.inputs.map((value, place) => (value && node.inputs.indexOf(value) === place ? (gradients.get(inputs.indexOf(value)) ?? null) : null));
};

/** The mask as what is added: booleans as 0 and −∞, a mask that is too short filled with −∞. */
function paddedMask({ builder: b }: RuleContext, mask: Value, products: Value, type: NonNullable<Value['dtype']>): Value {
  const additive = dtypeOf(mask) === 'bool' ? b.op('Where', [mask, b.scalar(0, type), b.scalar(-Infinity, type)]) : mask;
  const [own, all] = [shapeOf(mask).at(-1), shapeOf(products).at(-1)];
  if (own === all || own === 1 || typeof own !== 'number' || typeof all !== 'number') return additive;
  const before = shapeOf(mask).map(() => 0);
  return b.op('Pad', [additive, b.ints([...before, ...before.with(-1, all - own)]), b.scalar(-Infinity, type)]);
}

/**
 * Which keys each query sees, broadcast against the products [N, heads, queries, keys]: causal queries none after
 * themselves, windows so many before and after, and of a cache that is partly filled only what is filled. Query i stands
 * after the past keys, or at the end of the filled ones.
 * @returns null where all see all
 */
function seenKeys(context: RuleContext, products: Value): Value | null {
  const { builder: b, node } = context;
  const [past, filled] = [node.inputs[4], node.inputs[6]];
  // Positions as numbers: exact up to 2²⁴.
  const range = (axis: number): Value => b.op('Sub', [
    b.op('CumSum', [b.op('Expand', [b.scalar(1, 'float32'), extentVector(context, products, axis)]), b.constant(int64([0], []))]), b.scalar(1, 'float32')]);
  const number = (value: Value): Value => b.op('Cast', [value], { to: dataTypeCodes.float32 });
  const keys = range(3);
  const counts = filled && b.op('Reshape', [number(filled), b.ints([-1, 1, 1, 1])]);
  const offset = past ? number(extentVector(context, past, 2)) : counts ? b.op('Sub', [counts, number(extentVector(context, products, 2))]) : b.scalar(0, 'float32');
  const ahead = (): Value => b.op('Sub', [b.op('Add', [b.op('Unsqueeze', [range(2), b.ints([1])]), offset]), b.op('Unsqueeze', [keys, b.ints([0])])]);
  const [left, right] = [intOf(node, 'left_window_size', -1), intOf(node, 'right_window_size', -1)];
  const conditions: Value[] = [];
  if (intOf(node, 'is_causal', 0) === 1) conditions.push(b.op('GreaterOrEqual', [ahead(), b.scalar(0, 'float32')]));
  if (left >= 0) conditions.push(b.op('LessOrEqual', [ahead(), b.scalar(left, 'float32')]));
  if (right >= 0) conditions.push(b.op('GreaterOrEqual', [ahead(), b.scalar(-right, 'float32')]));
  if (counts) conditions.push(b.op('Less', [keys, counts]));
  return conditions.length === 0 ? null : conditions.reduce((all, one) => b.op('And', [all, one]));
}

const rotaryEmbedding: Rule = (context) => {
  const { builder: b, node, where } = context;
  const [x, cos, sin] = [requiredInput(context, 0), requiredInput(context, 1), requiredInput(context, 2)];
  const positions = node.inputs[3];
  const shape = shapeOf(x);
  const flat = shape.length === 3;
  const heads = intOf(node, 'num_heads', 0);
  const depth = flat ? (typeof shape[2] === 'number' && heads > 0 ? shape[2] / heads : undefined) : shape[3];
  if (typeof depth !== 'number') throw new UnsupportedError(`${where}: the width of its heads must be static.`);
  const rotated = intOf(node, 'rotary_embedding_dim', 0) || depth;
  const interleaved = intOf(node, 'interleaved', 0) === 1;
  const make = (): Value => {
    // [N, positions, heads, depth] throughout.
    const apart = flat ? b.op('Reshape', [x, b.ints([0, 0, heads, depth])]) : b.op('Transpose', [x], { perm: [0, 2, 1, 3] });
    const angle = (cache: Value): Value => b.op('Unsqueeze', [positions ? b.op('Gather', [cache, positions], { axis: 0 }) : cache, b.ints([2])]);
    const [c, s] = [angle(cos), angle(sin)];
    const part = (from: number, to: number, step = 1): Value => b.op('Slice', [apart, b.ints([from]), b.ints([to]), b.ints([3]), b.ints([step])]);
    const [one, two] = interleaved ? [part(0, rotated, 2), part(1, rotated, 2)] : [part(0, rotated / 2), part(rotated / 2, rotated)];
    const real = b.op('Sub', [b.op('Mul', [c, one]), b.op('Mul', [s, two])]);
    const imaginary = b.op('Add', [b.op('Mul', [s, one]), b.op('Mul', [c, two])]);
    const turned = interleaved
      ? b.op('Reshape', [b.op('Concat', [b.op('Unsqueeze', [real, b.ints([4])]), b.op('Unsqueeze', [imaginary, b.ints([4])])], { axis: 4 }), b.ints([0, 0, 0, rotated])])
      : b.op('Concat', [real, imaginary], { axis: 3 });
    const all = rotated < depth ? b.op('Concat', [turned, part(rotated, depth)], { axis: 3 }) : turned;
    return flat ? b.op('Reshape', [all, b.ints([0, 0, heads * depth])]) : b.op('Transpose', [all], { perm: [0, 2, 1, 3] });
  };
  return context.expand(make, [x, cos, sin]);
};

export const attentionRules: Readonly<Record<string, Rule>> = { Attention: attention, RotaryEmbedding: rotaryEmbedding };
