/** Reductions and global pooling: the gradient spreads back over the axes that were summed. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { intOf, knownInts, normalizeAxis } from '../../ops/operator.js';
import { requiredInput, type Rule, type RuleContext } from '../rule.js';

/** Gives a reduced gradient its summed axes back, with extent 1. */
function withAxes(context: RuleContext, axes: readonly number[]): Value {
  const { builder, node, gradient } = context;
  const rank = shapeOf(requiredInput(context, 0)).length;
  return intOf(node, 'keepdims', 1) === 1 || axes.length === 0 || rank === 0 ? gradient : builder.op('Unsqueeze', [gradient, builder.ints(axes)]);
}

function axesOf(context: RuleContext): number[] {
  const { node, where } = context;
  const rank = shapeOf(requiredInput(context, 0)).length;
  const given = node.inputs[1] ? knownInts(node.inputs[1]) : [];
  if (!given) throw new UnsupportedError(`${where}: its axes must be constants.`);
  if (given.length > 0) return given.map((axis) => normalizeAxis(axis, rank, where));
  return intOf(node, 'noop_with_empty_axes', 0) === 1 ? [] : Array.from({ length: rank }, (_, axis) => axis);
}

/** Number of elements that are averaged into one; they must be static. */
function countOf(context: RuleContext, axes: readonly number[]): number {
  const shape = shapeOf(requiredInput(context, 0));
  return axes.reduce((count, axis) => {
    const extent = shape[axis];
    if (typeof extent !== 'number') throw new UnsupportedError(`${context.where}: averages over axis ${axis}, whose extent ${String(extent)} is not static.`);
    return count * extent;
  }, 1);
}

/** Repeats the gradient along `axes`. Expand broadcasts both ways, so extents of other axes need not be known. */
function spread(context: RuleContext, gradient: Value, axes: readonly number[]): Value {
  const { builder } = context;
  const x = requiredInput(context, 0);
  const target = shapeOf(x).map((extent, axis) => (axes.includes(axis) ? extent : 1));
  const known = target.every((extent) => typeof extent === 'number');
  return builder.op('Expand', [gradient, known ? builder.ints(target) : builder.op('Shape', [x])]);
}

export const reductionRules: Readonly<Record<string, Rule>> = {
  ReduceSum: (context) => {
    const axes = axesOf(context);
    return [spread(context, withAxes(context, axes), axes)];
  },
  ReduceMean: (context) => {
    const { builder } = context;
    const axes = axesOf(context);
    const gradient = withAxes(context, axes);
    return [spread(context, builder.op('Mul', [gradient, builder.scalar(1 / countOf(context, axes), gradient)]), axes)];
  },
  GlobalAveragePool: (context) => {
    const { builder, gradient } = context;
    const axes = shapeOf(requiredInput(context, 0)).map((_, axis) => axis).slice(2);
    return [spread(context, builder.op('Mul', [gradient, builder.scalar(1 / countOf(context, axes), gradient)]), axes)];
  },
};
