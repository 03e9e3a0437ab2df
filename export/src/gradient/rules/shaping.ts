/** Operators that move elements: their adjoints move them back. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Dim, Value } from '../../ir/types.js';
import { intOf, intsOf, knownInts, normalizeAxis, stringOf } from '../../ops/operator.js';
import { sliceRange } from '../../ops/shaping.js';
import { extentVector, fullLike, longestList, requiredInput, reshapeTo, unbroadcast, type Rule, type RuleContext } from '../rule.js';
import { backToPlaces } from './moving.js';
import { constantPadGradient, mirroredPadGradient, padTo } from './padding.js';

/** The gradient takes the shape of the input back. */
const reshapeBack: Rule = (context) => {
  const x = requiredInput(context, 0);
  const result = context.builder.op('Reshape', [context.gradient, context.builder.reshapeTarget(x)]);
  if (x.shape) result.shape = x.shape;
  return [result];
};

export const shapingRules: Readonly<Record<string, Rule>> = {
  Reshape: reshapeBack,
  Flatten: reshapeBack,
  Squeeze: reshapeBack,
  Unsqueeze: reshapeBack,
  Expand: (context) => [unbroadcast(context, context.gradient, requiredInput(context, 0))],
  Transpose: (context) => {
    const perm = intsOf(context.node, 'perm') ?? [...shapeOf(requiredInput(context, 0)).keys()].reverse();
    return [context.builder.op('Transpose', [context.gradient], { perm: perm.map((_, axis) => perm.indexOf(axis)) })];
  },
  Concat: (context) => {
    const { builder, node, where, gradient } = context;
    const inputs = node.inputs.map((_, index) => requiredInput(context, index));
    const axis = normalizeAxis(intOf(node, 'axis', 0), shapeOf(inputs[0]!).length, where);
    const extents = inputs.map((input) => shapeOf(input)[axis]!);
    if (extents.every((extent) => typeof extent === 'number')) {
      return inputs.map((_, index) => {
        if (!context.wants(index)) return null;
        const start = extents.slice(0, index).reduce((total, extent) => total + extent, 0);
        return builder.op('Slice', [gradient, builder.ints([start]), builder.ints([start + extents[index]!]), builder.ints([axis])]);
      });
    }
    const sizes = builder.op('Concat', inputs.map((input) => extentVector(context, input, axis)), { axis: 0 });
    const parts = builder.ops('Split', [gradient, sizes], { axis }, inputs.length);
    return parts.map((part, index) => Object.assign(part, { shape: shapeOf(inputs[index]!) }));
  },
  Split: (context) => {
    const { builder, node, where } = context;
    const x = requiredInput(context, 0);
    const axis = normalizeAxis(intOf(node, 'axis', 0), shapeOf(x).length, where);
    const parts = node.outputs.map((output, index) => {
      if (!output) throw new UnsupportedError(`${where}: lacks its output ${index}.`);
      return context.outputGradients[index] ?? fullLike(context, output, 0);
    });
    return [builder.op('Concat', parts, { axis })];
  },
  Slice: sliceRule,
  Tile: (context) => {
    // [r₀·d₀, …] → [r₀, d₀, …], summed over the repeats.
    const { builder, gradient } = context;
    const x = requiredInput(context, 0);
    const repeats = knownInts(requiredInput(context, 1));
    if (!repeats) {
      const pairs = [context.node.inputs[1]!, builder.op('Shape', [x])].map((value) => builder.op('Unsqueeze', [value, builder.ints([1])]));
      const apart = builder.op('Reshape', [gradient, builder.op('Reshape', [builder.op('Concat', pairs, { axis: 1 }), builder.ints([-1])])]);
      return [Object.assign(builder.op('ReduceSum', [apart, builder.ints(shapeOf(x).map((_, axis) => 2 * axis))], { keepdims: 0 }), { shape: shapeOf(x) })];
    }
    const split = shapeOf(x).flatMap((dim, axis): Dim[] => (repeats[axis] === 1 ? [dim] : [repeats[axis]!, dim]));
    let at = 0;
    const summed = repeats.flatMap((repeat) => {
      const own = repeat === 1 ? [] : [at];
      at += repeat === 1 ? 1 : 2;
      return own;
    });
    if (summed.length === 0) return [gradient];
    return [builder.op('ReduceSum', [reshapeTo(context, gradient, split, [x]), builder.ints(summed)], { keepdims: 0 })];
  },
  Pad: (context) => {
    const mode = stringOf(context.node, 'mode', 'constant');
    const value = context.node.inputs[2];
    if (mode !== 'constant') return [mirroredPadGradient(context, mode)];
    const inner = constantPadGradient(context);
    if (!value || !context.wants(2)) return [inner];
    const { builder } = context;
    const total = (item: Value): Value => builder.op('ReduceSum', [item], { keepdims: 0 });
    return [inner, null, builder.op('Reshape', [builder.op('Sub', [total(context.gradient), total(inner)]), builder.reshapeTarget(value)])];
  },
};

function sliceRule(context: RuleContext): Value[] {
  const { builder, node, where, gradient } = context;
  const x = requiredInput(context, 0);
  const shape = shapeOf(x);
  const starts = requiredInput(context, 1);
  const count = knownInts(starts)?.length ?? starts.shape?.[0];
  const anywhere = (): Value[] => [backToPlaces(context, (places) => builder.op('Slice', [places, ...node.inputs.slice(1)]))];
  if (typeof count !== 'number') return anywhere();
  const axes = node.inputs[3] ? knownInts(node.inputs[3]) : Array.from({ length: count }, (_, i) => i);
  const steps = node.inputs[4] ? knownInts(node.inputs[4]) : Array.from({ length: count }, () => 1);
  if (!axes || !steps) return anywhere();
  const [from, to] = [knownInts(starts), knownInts(node.inputs[2])];
  let result = gradient;
  const dynamic: { axis: number; at: number }[] = [];
  const before = shape.map(() => 0);
  const after = shape.map(() => 0);
  for (const [at, given] of axes.entries()) {
    const axis = normalizeAxis(given, shape.length, where);
    const [extent, step] = [shape[axis]!, steps[at]!];
    if (typeof extent !== 'number' || !from || !to) {
      if (step !== 1) return anywhere();
      dynamic.push({ axis, at });
      continue;
    }
    const [start, length] = sliceRange(extent, from[at]!, to[at]!, step);
    if (step === 1 || length <= 1) {
      before[axis] = start;
      after[axis] = extent - start - length;
      continue;
    }
    if (extent > longestList) return anywhere();
    // Element i of the input received output (i − start) / step, or nothing: the zero that is appended.
    const sources = Array.from({ length: extent }, (_, i) => {
      const k = (i - start) / step;
      return Number.isInteger(k) && k >= 0 && k < length ? k : length;
    });
    const padded = sources.includes(length) ? padTo(context, result, shape.map(() => 0), shape.map((_, i) => Number(i === axis))) : result;
    result = builder.op('Gather', [padded, builder.ints(sources)], { axis });
  }
  if ([...before, ...after].some((pad) => pad !== 0)) result = padTo(context, result, before, after);
  if (dynamic.length > 0) result = padDynamically(context, result, starts, dynamic);
  return [Object.assign(result, { shape })];
}

/** Zeros before and after a slice whose place is only known at run time. */
function padDynamically(context: RuleContext, value: Value, starts: Value, slices: readonly { axis: number; at: number }[]): Value {
  const { builder } = context;
  const x = requiredInput(context, 0);
  const zero = builder.ints([0]);
  const before = shapeOf(x).map((): Value => zero);
  const after = [...before];
  for (const { axis, at } of slices) {
    const extent = extentVector(context, x, axis);
    const start = builder.op('Slice', [starts, builder.ints([at]), builder.ints([at + 1])]);
    const counted = builder.op('Where', [builder.op('Less', [start, zero]), builder.op('Add', [start, extent]), start]);
    // Negative starts beyond the beginning mean the beginning.
    before[axis] = builder.op('Min', [builder.op('Max', [counted, zero]), extent]);
    after[axis] = builder.op('Sub', [builder.op('Sub', [extent, before[axis]]), extentVector(context, value, axis)]);
  }
  return builder.op('Pad', [value, builder.op('Concat', [...before, ...after], { axis: 0 }), builder.scalar(0, value)]);
}
