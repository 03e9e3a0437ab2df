/** Matrix products and determinants. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { floats, int64 } from '../../ir/constant.js';
import { floatOf, intOf } from '../../ops/operator.js';
import type { Value } from '../../ir/types.js';
import { requiredInput, reshapeTo, unbroadcast, type Rule, type RuleContext } from '../rule.js';
import { einsumRule } from './einsum.js';

/** Swaps the last two axes. */
function transposed(context: RuleContext, value: Value): Value {
  const axes = shapeOf(value).map((_, axis) => axis);
  const last = axes.length - 1;
  return context.builder.op('Transpose', [value], { perm: [...axes.slice(0, -2), last, last - 1] });
}

/** Products with vectors, as products with matrices of one row or column. */
const matMulWithVectors: Rule = (context) => {
  const { builder } = context;
  const [a, b] = [requiredInput(context, 0), requiredInput(context, 1)];
  const [rowless, columnless] = [shapeOf(a).length === 1, shapeOf(b).length === 1];
  return context.expand(() => {
    const left = rowless ? builder.op('Unsqueeze', [a, builder.ints([0])]) : a;
    const right = columnless ? builder.op('Unsqueeze', [b, builder.ints([1])]) : b;
    const product = builder.op('MatMul', [left, right]);
    const rank = shapeOf(product).length;
    return builder.op('Squeeze', [product, builder.ints([...(rowless ? [rank - 2] : []), ...(columnless ? [rank - 1] : [])])]);
  }, [a, b]);
};

/** dB of A B for a plain matrix B: all rows of A at once, where a batch of products would have to be summed. */
function sharedMatrixGradient(context: RuleContext, a: Value, b: Value): Value | undefined {
  const { builder, gradient } = context;
  const [inner, columns] = shapeOf(b);
  if (shapeOf(a).length === 2 || shapeOf(b).length !== 2 || typeof inner !== 'number' || typeof columns !== 'number') return undefined;
  const rows = (value: Value, extent: number): Value => builder.op('Reshape', [value, builder.ints([-1, extent])]);
  return builder.op('Gemm', [rows(a, inner), rows(gradient, columns)], { transA: 1 });
}

/** dA of A B for a plain matrix B: by an operator that reads B as it stands, so that engines need no transposed copy of a weight. */
function sharedInputGradient(context: RuleContext, a: Value, b: Value): Value | undefined {
  const { builder, gradient } = context;
  const columns = shapeOf(b)[1];
  if (shapeOf(b).length !== 2 || typeof columns !== 'number') return undefined;
  if (shapeOf(a).length === 2) return builder.op('Gemm', [gradient, b], { transB: 1 });
  const rows = builder.op('Reshape', [gradient, builder.ints([-1, columns])]);
  return reshapeTo(context, builder.op('Gemm', [rows, b], { transB: 1 }), shapeOf(a), [a]);
}

/** Orders of matrices whose cofactors are written out: there are as many minors as elements. */
const mostRows = 32;

/** ∂ det X / ∂ X is the matrix of cofactors, which holds where X has no inverse, too. */
const determinant: Rule = (context) => {
  const { builder, where, gradient } = context;
  const x = requiredInput(context, 0);
  const [rank, n] = [shapeOf(x).length, shapeOf(x).at(-1)];
  if (typeof n !== 'number' || n > mostRows) throw new UnsupportedError(`${where}: the number of rows must be known and at most ${mostRows}, got ${String(n)}.`);
  const spread = builder.op('Unsqueeze', [gradient, builder.ints([rank - 2, rank - 1])]);
  if (n === 1) return [spread];
  const indices = indicesTo(n);
  const others = builder.constant(int64(indices.flatMap((left) => indices.filter((index) => index !== left)), [n, n - 1]), 'others');
  // [..., n, n] → [..., i, rows but i, n] → [..., i, rows but i, j, columns but j] → [..., i, j, rows, columns]
  const rows = builder.op('Gather', [x, others], { axis: rank - 2 });
  const parts = builder.op('Gather', [rows, others], { axis: rank });
  const minors = builder.op('Transpose', [parts], { perm: [...indicesTo(rank - 2), rank - 2, rank, rank - 1, rank + 1] });
  const signs = builder.constant(floats(dtypeOf(x), indices.flatMap((i) => indices.map((j) => ((i + j) % 2 === 0 ? 1 : -1))), [n, n]), 'signs');
  return [builder.op('Mul', [spread, builder.op('Mul', [builder.op('Det', [minors]), signs])])];
};

const indicesTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

export const linearAlgebraRules: Readonly<Record<string, Rule>> = {
  MatMul: (context) => {
    const { builder } = context;
    const [a, b] = [requiredInput(context, 0), requiredInput(context, 1)];
    if (shapeOf(a).length < 2 || shapeOf(b).length < 2) return matMulWithVectors(context);
    return [
      context.wants(0) ? (sharedInputGradient(context, a, b) ?? unbroadcast(context, builder.op('MatMul', [context.gradient, transposed(context, b)]), a)) : null,
      context.wants(1) ? (sharedMatrixGradient(context, a, b) ?? unbroadcast(context, builder.op('MatMul', [transposed(context, a), context.gradient]), b)) : null,
    ];
  },
  Gemm: (context) => {
    // y = α A′B′ + β C, where A′ is A or its transpose.
    const { builder, node } = context;
    const [a, b] = [requiredInput(context, 0), requiredInput(context, 1)];
    const [transA, transB] = [intOf(node, 'transA', 0), intOf(node, 'transB', 0)];
    const [alpha, beta] = [floatOf(node, 'alpha', 1), floatOf(node, 'beta', 1)];
    const g = context.gradient;
    const product = (left: Value, right: Value, transLeft: number, transRight: number): Value =>
      builder.op('Gemm', [left, right], { alpha, transA: transLeft, transB: transRight });
    const gradients = [
      context.wants(0) ? (transA ? product(b, g, transB, 1) : product(g, b, 0, transB ? 0 : 1)) : null,
      context.wants(1) ? (transB ? product(g, a, 1, transA) : product(a, g, transA ? 0 : 1, 0)) : null,
    ];
    const c = node.inputs[2];
    if (!c || !context.wants(2)) return gradients;
    const scaled = beta === 1 ? g : builder.op('Mul', [g, builder.scalar(beta, g)]);
    return [...gradients, unbroadcast(context, scaled, c)];
  },
  Einsum: einsumRule,
  Det: determinant,
};
