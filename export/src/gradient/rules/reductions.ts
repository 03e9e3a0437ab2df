/** Reductions: the gradient spreads back over the axes that were reduced. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf, type GraphBuilder } from '../../ir/builder.js';
import { floats } from '../../ir/constant.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { intOf, knownInts, normalizeAxis } from '../../ops/operator.js';
import { reducedAxes } from '../../ops/reduction.js';
import { checkMatrixSize, extentVector, reduceKeeping, requiredInput, requiredOutput, type Rule, type RuleContext } from '../rule.js';

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

type Reducing = 'ReduceSum' | 'ReduceProd';

interface Reduction {
  readonly builder: GraphBuilder;
  readonly x: Value;
  /** Result and gradient, with the reduced axes as extent 1. */
  readonly y: Value;
  readonly g: Value;
  /** Reduces another value of the shape of x over the same axes, which keep the extent 1. */
  readonly reduce: (opType: Reducing, value: Value) => Value;
  /** Repeats a value along the reduced axes. */
  readonly spread: (value: Value) => Value;
  /** 1 / the number of elements that are reduced into one. */
  readonly inverseCount: (like: Value) => Value;
}

/** Rule of a reduction; the formula's result is broadcast to the shape of x by an operator that involves x. */
const reduction = (formula: (r: Reduction) => Value): Rule => (context) => {
  const { builder, node, where } = context;
  const x = requiredInput(context, 0);
  const axes = reducedAxes(node, shapeOf(x).length, where);
  const keeps = intOf(node, 'keepdims', 1) === 1;
  const [reduce, withAxes]: [Reduction['reduce'], (value: Value) => Value] = axes
    ? [
      (opType, value) => (axes.length === 0 ? value : opType === 'ReduceSum' ? builder.op(opType, [value, builder.ints(axes)], { keepdims: 1 }) : reduceKeeping(context, opType, value, axes)),
      (value) => (keeps || axes.length === 0 ? value : builder.op('Unsqueeze', [value, builder.ints(axes)])),
    ]
    : overRunTimeAxes(context, keeps);
  return [Object.assign(formula({
    builder, x, reduce, y: withAxes(requiredOutput(context)), g: withAxes(context.gradient),
    spread: (value) => (axes ? spread(context, value, axes) : builder.op('Expand', [value, builder.op('Shape', [x])])),
    inverseCount: (like) => (axes ? inverseCount(context, axes, like) : inverseRunTimeCount(context, reduce('ReduceSum', x), like)),
  }), { shape: shapeOf(x) })];
};

/** The same reduction once more says which axes it is, where only the running graph knows them. */
function overRunTimeAxes(context: RuleContext, keeps: boolean): [Reduction['reduce'], (value: Value) => Value] {
  const { builder, node } = context;
  const [x, axes] = [requiredInput(context, 0), requiredInput(context, 1)];
  const reduce = (opType: Reducing, value: Value): Value => builder.op(opType, [value, axes], { keepdims: 1, noop_with_empty_axes: intOf(node, 'noop_with_empty_axes', 0) });
  return [reduce, (value) => (keeps ? value : builder.op('Reshape', [value, builder.op('Shape', [reduce('ReduceSum', x)])]))];
}

function inverseRunTimeCount({ builder, node }: RuleContext, reduced: Value, like: Value): Value {
  const size = (value: Value): Value => builder.op('Cast', [builder.op('Size', [value])], { to: dataTypeCodes[dtypeOf(like)] });
  return builder.op('Div', [size(reduced), size(node.inputs[0]!)]);
}

/** Extreme elements share the gradient evenly. */
function extremeShare({ builder, x, y, g, reduce }: Reduction): Value {
  const held = builder.op('Cast', [builder.op('Equal', [x, y])], { to: dataTypeCodes[dtypeOf(x)] });
  return builder.op('Mul', [held, builder.op('Div', [g, reduce('ReduceSum', held)])]);
}

/** A divisor whose zeros, where everything that was reduced is zero and the slope is taken as zero, are ones. */
const nonZero = (builder: GraphBuilder, y: Value): Value => builder.op('Where', [builder.op('Equal', [y, builder.scalar(0, y)]), builder.scalar(1, y), y]);

export const reductionRules: Readonly<Record<string, Rule>> = {
  ReduceSum: reduction((r) => r.spread(r.g)),
  ReduceMean: reduction((r) => r.spread(r.builder.op('Mul', [r.g, r.inverseCount(r.g)]))),
  ReduceMax: reduction(extremeShare),
  ReduceMin: reduction(extremeShare),
  ReduceProd: reduction(({ builder, x, g, reduce }) => {
    // The product of the others, also where elements are zero: from the product of what is not zero.
    const zero = builder.op('Equal', [x, builder.scalar(0, x)]);
    const safe = builder.op('Where', [zero, builder.scalar(1, x), x]);
    const isZero = builder.op('Cast', [zero], { to: dataTypeCodes[dtypeOf(x)] });
    const zeros = reduce('ReduceSum', isZero);
    const product = reduce('ReduceProd', safe);
    const otherZeros = builder.op('Sub', [zeros, isZero]);
    const others = builder.op('Where', [builder.op('Equal', [otherZeros, builder.scalar(0, x)]), builder.op('Div', [product, safe]), builder.scalar(0, x)]);
    return builder.op('Mul', [others, g]);
  }),
  ReduceL1: reduction(({ builder, x, g }) => builder.op('Mul', [builder.op('Sign', [x]), g])),
  ReduceL2: reduction(({ builder, x, y, g }) => builder.op('Mul', [x, builder.op('Div', [g, nonZero(builder, y)])])),
  ReduceSumSquare: reduction(({ builder, x, g }) => builder.op('Mul', [x, builder.op('Add', [g, g])])),
  ReduceLogSum: reduction((r) => r.spread(r.builder.op('Div', [r.g, r.builder.op('Exp', [r.y])]))),
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
