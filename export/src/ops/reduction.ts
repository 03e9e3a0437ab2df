/** Reductions over axes: an input from opset 18 on (ReduceSum: 13), an attribute before. */
import type { Node } from '../ir/types.js';
import { inputOf, intOf, intsOf, knownInts, normalizeAxis, type Operator } from './operator.js';
import { product, sum, type MaybeDim } from './symbolic.js';

/** The axes that a reduction runs over, non-negative; undefined when they are not known before it runs. */
export function reducedAxes(node: Node, rank: number, where: string): number[] | undefined {
  const given = node.inputs[1] ? knownInts(node.inputs[1]) : (intsOf(node, 'axes') ?? []);
  if (!given) return undefined;
  if (given.length > 0) return [...new Set(given.map((axis) => normalizeAxis(axis, rank, where)))].sort((a, b) => a - b);
  return intOf(node, 'noop_with_empty_axes', 0) === 1 ? [] : Array.from({ length: rank }, (_, axis) => axis);
}

const reduction: Operator = {
  inputs: [1, 2],
  attributes: { axes: 'ints', keepdims: 'int', noop_with_empty_axes: 'int' },
  infer: (node, where) => {
    const { dtype, shape } = inputOf(node, 0);
    if (!shape) return [{ dtype, shape: undefined }];
    const keep = intOf(node, 'keepdims', 1) === 1;
    const axes = reducedAxes(node, shape.length, where);
    if (!axes) {
      const count = node.inputs[1]?.shape?.[0];
      const rest = typeof count === 'number' && count > 0 ? Array.from({ length: Math.max(0, shape.length - count) }, () => undefined) : undefined;
      return [{ dtype, shape: keep ? shape.map(() => undefined) : rest }];
    }
    return [{ dtype, shape: keep ? shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim)) : shape.filter((_, axis) => !axes.includes(axis)) }];
  },
};

/** A reduction of known integers, such as a shape, to one. */
const folding = (fold: (content: readonly MaybeDim[]) => MaybeDim): Operator => ({
  ...reduction,
  infer: (node, where) => {
    const { content, shape, dtype } = inputOf(node, 0);
    const [type] = reduction.infer(node, where, 1);
    const whole = content && shape?.length === 1 && ['int64', 'int32'].includes(dtype ?? '') && reducedAxes(node, 1, where)?.length === 1;
    return [{ ...type!, ...(whole && { content: [fold(content)] }) }];
  },
});

const arg: Operator = {
  inputs: [1, 1],
  attributes: { axis: 'int', keepdims: 'int', select_last_index: 'int' },
  infer: (node, where) => {
    const { shape } = inputOf(node, 0);
    if (!shape) return [{ dtype: 'int64', shape: undefined }];
    const at = normalizeAxis(intOf(node, 'axis', 0), shape.length, where);
    return [{ dtype: 'int64', shape: intOf(node, 'keepdims', 1) === 1 ? shape.map((dim, axis) => (axis === at ? 1 : dim)) : shape.filter((_, axis) => axis !== at) }];
  },
};

/** Operators that run along one axis and keep the shape. */
const running = (attributes: Operator['attributes']): Operator => ({ inputs: [2, 2], attributes, infer: (node) => [{ dtype: inputOf(node, 0).dtype, shape: inputOf(node, 0).shape }] });

export const reductionOperators: Readonly<Record<string, Operator>> = {
  ReduceSum: folding((content) => content.reduce((left, right) => sum(left, right), 0)), ReduceProd: folding(product),
  ReduceMean: reduction, ReduceMax: reduction, ReduceMin: reduction,
  ReduceL1: reduction, ReduceL2: reduction, ReduceLogSum: reduction, ReduceLogSumExp: reduction, ReduceSumSquare: reduction,
  ArgMax: arg, ArgMin: arg,
  CumProd: running({ exclusive: 'int', reverse: 'int' }),
  CumSum: running({ exclusive: 'int', reverse: 'int' }),
};
