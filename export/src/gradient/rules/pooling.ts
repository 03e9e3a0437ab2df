/**
 * Pooling. Averages are linear along each axis, so that their adjoint is one small matrix per axis; maxima remember
 * where they came from.
 */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import type { Window } from '../../ops/convolution.js';
import { intOf, intsOf } from '../../ops/operator.js';
import { poolExtent, poolWindow } from '../../ops/pooling.js';
import { applyAlong, attributesOf, checkMatrixSize, fullLike, requiredInput, requiredOutput, type Rule, type RuleContext } from '../rule.js';
import { scatterReduced } from './indexing.js';
import { backThroughUnits } from './moving.js';
import { inverseCount, spread } from './reductions.js';

const spatialAxes = (x: Value): number[] => shapeOf(x).map((_, axis) => axis).slice(2);

/**
 * With ceil_mode, a last window that would begin in the padding is left out (see poolExtent). Before opset 22, the inference of shapes counts it all the
 * same, and ONNX Runtime refuses a graph in which both extents meet: less padding leaves it out for everyone, and is no other pool.
 */
const withoutLostWindow = (rule: Rule): Rule => (context) => {
  const { node, where } = context;
  const spatial = shapeOf(requiredInput(context, 0)).slice(2);
  if (intOf(node, 'ceil_mode', 0) === 1 && spatial.every((extent) => typeof extent === 'number')) {
    const { kernel, strides, dilations, begin, end } = poolWindow(node, spatial, where);
    const axes = spatial.map((extent, axis) => {
      const count = poolExtent(extent, { kernel, strides, dilations, begin, end }, axis, true, where) as number;
      const room = extent + begin[axis]! - ((kernel[axis]! - 1) * dilations[axis]! + 1);
      const lost = Math.ceil((room + end[axis]!) / strides[axis]!) + 1 > count;
      const pad = lost ? Math.max(0, (count - 1) * strides[axis]! - room) : end[axis]!;
      return { lost, pad, hangsOver: Math.floor((room + pad) / strides[axis]!) + 1 < count };
    });
    if (axes.some(({ lost }) => lost)) {
      node.attributes = new Map(node.attributes).set('pads', { type: 'ints', value: [...begin, ...axes.map(({ pad }) => pad)] }).set('ceil_mode', { type: 'int', value: Number(axes.some(({ hangsOver }) => hangsOver)) });
      node.attributes.delete('auto_pad');
    }
  }
  return rule(context);
};

/** How much each input position (column) weighs in each window (row) along one axis. */
function windowMatrix(window: Window, axis: number, extent: number, windows: number, divisor: 'all' | 'inside' | 'one'): number[][] {
  const [kernel, stride, dilation, begin, end] = [window.kernel[axis]!, window.strides[axis]!, window.dilations[axis]!, window.begin[axis]!, window.end[axis]!];
  return Array.from({ length: windows }, (_, o) => {
    const taps = Array.from({ length: kernel }, (_, tap) => o * stride + tap * dilation - begin);
    const inside = taps.filter((position) => position >= 0 && position < extent);
    // A window that ceil_mode lets hang over the padded end counts only what lies within the padding.
    const counted = divisor === 'all' ? taps.filter((position) => position < extent + end).length : divisor === 'inside' ? inside.length : 1;
    return Array.from({ length: extent }, (_, i) => (inside.includes(i) ? 1 / counted : 0));
  });
}

/** The adjoint of sums or averages over windows, axis by axis. */
function spreadWindows(context: RuleContext, gradient: Value, divisor: 'all' | 'inside' | 'one'): Value {
  const { node, where } = context;
  const x = requiredInput(context, 0);
  const spatial = shapeOf(x).slice(2);
  const window = poolWindow(node, spatial, where);
  const ceil = intOf(node, 'ceil_mode', 0) === 1;
  return spatial.reduce<Value>((value, extent, at) => {
    const windows = poolExtent(extent, window, at, ceil, where);
    if (typeof extent !== 'number' || typeof windows !== 'number') throw new UnsupportedError(`${where}: needs static spatial extents, got [${spatial.join(', ')}].`);
    checkMatrixSize(context, windows, extent);
    return applyAlong(context, value, at + 2, windowMatrix(window, at, extent, windows, divisor));
  }, gradient);
}

/** With symbolic extents: the matrix of each axis is what the pool itself makes of unit vectors. */
function averageOfAnyExtent(context: RuleContext): Value {
  const { builder, node } = context;
  const spatial = shapeOf(requiredInput(context, 0)).slice(2);
  const all = attributesOf(node);
  return spatial.reduce<Value>((value, _, at) => backThroughUnits(context, value, at + 2, (units) => {
    const pick = (name: string, count = 1): Record<string, readonly number[]> => {
      const given = intsOf(node, name);
      return given ? { [name]: Array.from({ length: count }, (_, side) => [given[at + side * spatial.length]!, name === 'pads' ? 0 : 1]).flat() } : {};
    };
    return builder.op('AveragePool', [units], { ...all, ...pick('kernel_shape'), ...pick('strides'), ...pick('dilations'), ...pick('pads', 2) });
  }), context.gradient);
}

const averagePool: Rule = (context) => {
  const x = requiredInput(context, 0);
  if (shapeOf(x).slice(2).some((extent) => typeof extent !== 'number')) return [averageOfAnyExtent(context)];
  return [spreadWindows(context, context.gradient, intOf(context.node, 'count_include_pad', 0) === 1 ? 'all' : 'inside')];
};

/** The gradient of each window goes to where its maximum was found; of equal maxima, the first. */
const maxPool: Rule = (context) => {
  const { builder, node, where, gradient } = context;
  const x = requiredInput(context, 0);
  // Column-major indices serve nobody here: the same maxima are searched again for row-major ones.
  if (intOf(node, 'storage_order', 0) !== 0) return context.expand(() => builder.op('MaxPool', [x], { ...attributesOf(node), storage_order: 0 }), [x]);
  const spatial = shapeOf(x).slice(2);
  const kernel = node.attributes.get('kernel_shape');
  const window = poolWindow({ ...node, attributes: new Map([...node.attributes].filter(([name]) => name !== 'auto_pad')) }, spatial, where);
  if (kernel?.type !== 'ints') throw new UnsupportedError(`${where}: lacks kernel_shape.`);
  // Windows so many apart do not overlap.
  const apart = window.kernel.map((extent, axis) => Math.ceil(((extent - 1) * window.dilations[axis]! + 1) / window.strides[axis]!));
  const overlapping = apart.some((distance) => distance > 1);
  // The node that is there gains its second output, so that no maximum is searched twice.
  const indices = node.outputs[1] ?? builder.value(`${node.outputs[0]!.name}_indices`, { dtype: 'int64', shape: node.outputs[0]!.shape });
  if (!node.outputs[1]) node.outputs = [node.outputs[0]!, indices];
  const flat = (value: Value): Value => builder.op('Reshape', [value, builder.ints([-1])]);
  const zeros = flat(fullLike(context, x, 0));
  // Sums at repeated indices came with opset 16; before, windows that do not overlap are scattered apart and added.
  const scattered = overlapping && builder.opset < 16
    ? phasesOf(apart).map((phase) => {
      const part = (value: Value): Value => builder.op('Slice', [value, builder.ints(phase), builder.ints(phase.map(() => 2 ** 31 - 1)), builder.ints(phase.map((_, axis) => axis + 2)), builder.ints(apart)]);
      return builder.op('ScatterElements', [zeros, flat(part(indices)), flat(part(gradient))], { axis: 0 });
    }).reduce((sum, part) => builder.op('Add', [sum, part]))
    : overlapping
      ? scatterReduced(builder, 'ScatterElements', [zeros, flat(indices), flat(gradient)], { axis: 0, reduction: 'add' })
      : builder.op('ScatterElements', [zeros, flat(indices), flat(gradient)], { axis: 0 });
  return [Object.assign(builder.op('Reshape', [scattered, builder.reshapeTarget(x)]), { shape: x.shape })];
};

/** Every combination of offsets below these numbers. */
const phasesOf = (counts: readonly number[]): number[][] =>
  counts.reduce<number[][]>((phases, count) => phases.flatMap((phase) => Array.from({ length: count }, (_, offset) => [...phase, offset])), [[]]);

/** y = (Σ |x|^p)^(1/p): dx = sign(x) |x|^(p−1) ⊙ spread(g y^(1−p)). */
function lpGradient(context: RuleContext, spreadOut: (value: Value) => Value): Value {
  const { builder, node, gradient } = context;
  const [x, y] = [requiredInput(context, 0), requiredOutput(context)];
  const p = intOf(node, 'p', 2);
  const scalar = (value: number): Value => builder.scalar(value, x);
  if (p === 1) return builder.op('Mul', [spreadOut(gradient), builder.op('Sign', [x])]);
  // Where a whole window is zero, its slope is taken as zero.
  const safe = builder.op('Where', [builder.op('Equal', [y, scalar(0)]), scalar(1), y]);
  const shared = spreadOut(builder.op('Mul', [gradient, builder.op('Pow', [safe, scalar(1 - p)])]));
  const power = p === 2 ? x : builder.op('Mul', [builder.op('Sign', [x]), builder.op('Pow', [builder.op('Abs', [x]), scalar(p - 1)])]);
  return builder.op('Mul', [shared, power]);
}

export const poolingRules: Readonly<Record<string, Rule>> = {
  AveragePool: withoutLostWindow(averagePool),
  MaxPool: withoutLostWindow(maxPool),
  LpPool: withoutLostWindow((context) => [lpGradient(context, (value) => spreadWindows(context, value, 'one'))]),
  GlobalAveragePool: (context) => {
    const { builder, gradient } = context;
    const axes = spatialAxes(requiredInput(context, 0));
    return [spread(context, builder.op('Mul', [gradient, inverseCount(context, axes, gradient)]), axes)];
  },
  GlobalMaxPool: (context) => {
    // Equal maxima share the gradient evenly, as those of ReduceMax do.
    const { builder, gradient } = context;
    const x = requiredInput(context, 0);
    const held = builder.op('Cast', [builder.op('Equal', [x, requiredOutput(context)])], { to: dataTypeCodes[dtypeOf(x)] });
    const count = builder.op('ReduceSum', [held, builder.ints(spatialAxes(x))], { keepdims: 1 });
    return [builder.op('Mul', [held, builder.op('Div', [gradient, count])])];
  },
  GlobalLpPool: (context) => [lpGradient(context, (value) => value)],
};
