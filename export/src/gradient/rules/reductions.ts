/** Reductions: the gradient spreads back over the axes that were reduced. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf, type GraphBuilder } from '../../ir/builder.js';
import { floats } from '../../ir/constant.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { intOf, knownInts, normalizeAxis } from '../../ops/operator.js';
import { reducedAxes } from '../../ops/reduction.js';
import { checkMatrixSize, extentVector, reduceKeeping, requiredInput, requiredOutput, type Rule, type RuleContext } from '../rule.js';

function axesOf(context: RuleContext): readonly number[] {
  const axes = reducedAxes(context.node, shapeOf(requiredInput(context, 0)).length, context.where);
  if (!axes) throw new UnsupportedError(`${context.where}: its axes must be constants.`);
  return axes;
}

/** Gives a reduced value its axes back, with extent 1. */
function withAxes({ builder, node }: RuleContext, value: Value, axes: readonly number[]): Value {
  return intOf(node, 'keepdims', 1) === 1 || axes.length === 0 ? value : builder.op('Unsqueeze', [value, builder.ints(axes)]);
}

/** Repeats a value along `axes`. Expand broadcasts both ways, so extents of other axes need not be known. */
export function spread(context: RuleContext, value: Value, axes: readonly number[]): Value {
  const { builder } = context;
  if (axes.length === 0) return value;
  const x = requiredInput(context, 0);
  const shape = shapeOf(x);
  const known = axes.every((axis) => typeof shape[axis] === 'number');
  const target = known
    ? builder.ints(shape.map((extent, axis) => (axes.includes(axis) ? (extent as number) : 1)))
    : builder.op('Concat', shape.map((_, axis) => (axes.includes(axis) ? extentVector(context, x, axis) : builder.ints([1]))), { axis: 0 });
  const result = builder.op('Expand', [value, target]);
  result.shape = shape;
  return result;
}

/** 1 / the number of elements that are reduced into one. */
export function inverseCount(context: RuleContext, axes: readonly number[], like: Value): Value {
  const { builder } = context;
  const x = requiredInput(context, 0);
  const shape = shapeOf(x);
  if (axes.every((axis) => typeof shape[axis] === 'number')) return builder.scalar(1 / axes.reduce((count, axis) => count * (shape[axis] as number), 1), like);
  // One product of a few extents, outside the hot path.
  const extents = builder.op('Concat', axes.map((axis) => extentVector(context, x, axis)), { axis: 0 });
  const floating = builder.op('Cast', [extents], { to: dataTypeCodes[dtypeOf(like)] });
  return builder.op('Reciprocal', [builder.opset >= 18
    ? builder.op('ReduceProd', [floating, builder.ints([0])], { keepdims: 0 })
    : builder.op('ReduceProd', [floating], { axes: [0], keepdims: 0 })]);
}

interface Reduction {
  readonly builder: GraphBuilder;
  readonly x: Value;
  /** Result and gradient, with the reduced axes as extent 1. */
  readonly y: Value;
  readonly g: Value;
  readonly axes: readonly number[];
  readonly context: RuleContext;
}

/** Rule of a reduction; the formula's result is broadcast to the shape of x by an operator that involves x. */
const reduction = (formula: (r: Reduction) => Value): Rule => (context) => {
  const axes = axesOf(context);
  return [formula({
    builder: context.builder, context, axes,
    x: requiredInput(context, 0), y: withAxes(context, requiredOutput(context), axes), g: withAxes(context, context.gradient, axes),
  })];
};

/** Extreme elements share the gradient evenly. */
function extremeShare({ builder, context, x, y, g, axes }: Reduction): Value {
  const held = builder.op('Cast', [builder.op('Equal', [x, y])], { to: dataTypeCodes[dtypeOf(x)] });
  const count = axes.length === 0 ? held : builder.op('ReduceSum', [held, builder.ints(axes)], { keepdims: 1 });
  return withShapeOf(builder.op('Mul', [held, builder.op('Div', [g, count])]), context);
}

const withShapeOf = (value: Value, context: RuleContext): Value => Object.assign(value, { shape: shapeOf(requiredInput(context, 0)) });

/** A divisor whose zeros, where everything that was reduced is zero and the slope is taken as zero, are ones. */
const nonZero = (builder: GraphBuilder, y: Value): Value => builder.op('Where', [builder.op('Equal', [y, builder.scalar(0, y)]), builder.scalar(1, y), y]);

export const reductionRules: Readonly<Record<string, Rule>> = {
  ReduceSum: reduction(({ context, g, axes }) => spread(context, g, axes)),
  ReduceMean: reduction(({ builder, context, g, axes }) => spread(context, builder.op('Mul', [g, inverseCount(context, axes, g)]), axes)),
  ReduceMax: reduction(extremeShare),
  ReduceMin: reduction(extremeShare),
  ReduceProd: reduction(({ builder, x, g, axes }) => {
    // The product of the others, also where elements are zero: from the product of what is not zero.
    const zero = builder.op('Equal', [x, builder.scalar(0, x)]);
    const safe = builder.op('Where', [zero, builder.scalar(1, x), x]);
    const isZero = builder.op('Cast', [zero], { to: dataTypeCodes[dtypeOf(x)] });
    const zeros = axes.length === 0 ? isZero : builder.op('ReduceSum', [isZero, builder.ints(axes)], { keepdims: 1 });
    const product = axes.length === 0 ? safe : reduceKeeping({ builder }, 'ReduceProd', safe, axes);
    const otherZeros = builder.op('Sub', [zeros, isZero]);
    const others = builder.op('Where', [builder.op('Equal', [otherZeros, builder.scalar(0, x)]), builder.op('Div', [product, safe]), builder.scalar(0, x)]);
    return builder.op('Mul', [others, g]);
  }),
  ReduceL1: reduction(({ builder, x, g }) => builder.op('Mul', [builder.op('Sign', [x]), g])),
  ReduceL2: reduction(({ builder, x, y, g }) => builder.op('Mul', [x, builder.op('Div', [g, nonZero(builder, y)])])),
  ReduceSumSquare: reduction(({ builder, x, g }) => builder.op('Mul', [x, builder.op('Add', [g, g])])),
  ReduceLogSum: reduction(({ builder, context, y, g, axes }) => spread(context, builder.op('Div', [g, builder.op('Exp', [y])]), axes)),
  ReduceLogSumExp: reduction(({ builder, x, y, g }) => builder.op('Mul', [builder.op('Exp', [builder.op('Sub', [x, y])]), g])),
  CumProd: (context) => {
    // The product of what comes before, row by row of a triangle: its own rule bears zeros.
    const { builder, node, where } = context;
    const x = requiredInput(context, 0);
    const shape = shapeOf(x);
    const at = knownInts(requiredInput(context, 1))?.[0];
    const axis = at === undefined ? -1 : normalizeAxis(at, shape.length, where);
    const extent = shape[axis];
    if (typeof extent !== 'number') throw new UnsupportedError(`${where}: its axis and the extent along it must be known.`);
    checkMatrixSize(context, extent, extent);
    const [exclusive, reverse] = [intOf(node, 'exclusive', 0), intOf(node, 'reverse', 0)];
    const taken = Array.from({ length: extent * extent }, (_, i) => {
      const behind = (Math.floor(i / extent) - (i % extent)) * (reverse === 1 ? -1 : 1);
      return behind >= exclusive ? 1 : 0;
    });
    return context.expand(() => {
      const triangle = builder.op('Cast', [builder.constant(floats(dtypeOf(x), taken, [extent, extent, ...shape.slice(axis + 1).map(() => 1)]), 'triangle')], { to: dataTypeCodes.bool });
      const rows = builder.op('Where', [triangle, builder.op('Unsqueeze', [x, builder.ints([axis])]), builder.scalar(1, x)]);
      return builder.op('ReduceProd', [rows, builder.ints([axis + 1])], { keepdims: 0 });
    }, [x]);
  },
  CumSum: (context) => {
    const { builder, node, gradient } = context;
    const axis = requiredInput(context, 1);
    return [builder.op('CumSum', [gradient, axis], { exclusive: intOf(node, 'exclusive', 0), reverse: 1 - intOf(node, 'reverse', 0) })];
  },
};
