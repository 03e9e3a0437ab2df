/** Matrix products. */
import { shapeOf } from '../../ir/builder.js';
import { UnsupportedError } from '../../errors.js';
import { floatOf, intOf } from '../../ops/operator.js';
import type { Value } from '../../ir/types.js';
import { requiredInput, unbroadcast, type Rule, type RuleContext } from '../rule.js';

/** Swaps the last two axes. */
function transposed(context: RuleContext, value: Value): Value {
  const axes = shapeOf(value).map((_, axis) => axis);
  const last = axes.length - 1;
  return context.builder.op('Transpose', [value], { perm: [...axes.slice(0, -2), last, last - 1] });
}

export const linearAlgebraRules: Readonly<Record<string, Rule>> = {
  MatMul: (context) => {
    const { builder } = context;
    const [a, b] = [requiredInput(context, 0), requiredInput(context, 1)];
    if (shapeOf(a).length < 2 || shapeOf(b).length < 2) throw new UnsupportedError(`${context.where}: products with vectors cannot be differentiated yet; reshape them to matrices.`);
    return [
      context.wants(0) ? unbroadcast(context, builder.op('MatMul', [context.gradient, transposed(context, b)]), a) : null,
      context.wants(1) ? unbroadcast(context, builder.op('MatMul', [transposed(context, a), context.gradient]), b) : null,
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
};
