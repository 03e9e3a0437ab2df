/** Reductions over axes; from opset 18 all of them take the axes as an input. */
import { inputOf, intOf, knownInts, normalizeAxis, type Operator } from './operator.js';

const reduction: Operator = {
  inputs: [1, 2],
  attributes: { keepdims: 'int', noop_with_empty_axes: 'int' },
  infer: (node, where) => {
    const x = inputOf(node, 0);
    const keep = intOf(node, 'keepdims', 1) === 1;
    const given = node.inputs[1] ? knownInts(node.inputs[1]) : [];
    if (!x.shape || !given) return [{ dtype: x.dtype, shape: undefined }];
    const shape = x.shape;
    if (given.length === 0 && intOf(node, 'noop_with_empty_axes', 0) === 1) return [{ dtype: x.dtype, shape }];
    const axes = new Set(given.length === 0 ? shape.keys() : given.map((axis) => normalizeAxis(axis, shape.length, where)));
    return [{ dtype: x.dtype, shape: keep ? shape.map((dim, axis) => (axes.has(axis) ? 1 : dim)) : shape.filter((_, axis) => !axes.has(axis)) }];
  },
};

export const reductionOperators: Readonly<Record<string, Operator>> = {
  ReduceSum: reduction, ReduceMean: reduction, ReduceMax: reduction, ReduceMin: reduction, ReduceProd: reduction,
  ReduceL1: reduction, ReduceL2: reduction, ReduceLogSum: reduction, ReduceLogSumExp: reduction, ReduceSumSquare: reduction,
};
