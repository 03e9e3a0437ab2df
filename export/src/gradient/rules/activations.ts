/** Activation functions. Where the slope can be told from the output, it is: engines can then fuse what comes before. */
import { dtypeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { floatOf, intOf } from '../../ops/operator.js';
import { requiredInput, requiredOutput, type Rule, type RuleContext } from '../rule.js';

/**
 * Slope of a function that is linear on either side of zero: `left` below, 1 above. Clip(y · large, left, 1) costs a
 * quarter of Greater and Where on CPUs. The sign of the output is the sign of the input for 0 ≤ left < 1.
 */
function kinkedSlope(context: RuleContext, y: Value, left: number): Value {
  const { builder } = context;
  const large = dtypeOf(y) === 'float16' ? 6e4 : 1e30;
  return builder.op('Clip', [builder.op('Mul', [y, builder.scalar(large, y)]), builder.scalar(left, y), builder.scalar(1, y)]);
}

const times = (context: RuleContext, slope: Value): Value => context.builder.op('Mul', [context.gradient, slope]);

export const activationRules: Readonly<Record<string, Rule>> = {
  Relu: (context) => [times(context, kinkedSlope(context, requiredOutput(context), 0))],
  LeakyRelu: (context) => {
    const { builder, node } = context;
    const alpha = floatOf(node, 'alpha', 0.01);
    if (alpha > 0 && alpha <= 1) return [times(context, kinkedSlope(context, requiredOutput(context), alpha))];
    const x = requiredInput(context, 0);
    const slope = builder.op('Where', [builder.op('Greater', [x, builder.scalar(0, x)]), builder.scalar(1, x), builder.scalar(alpha, x)]);
    return [times(context, slope)];
  },
  Sigmoid: (context) => {
    const { builder } = context;
    const y = requiredOutput(context);
    return [times(context, builder.op('Mul', [y, builder.op('Sub', [builder.scalar(1, y), y])]))];
  },
  Tanh: (context) => {
    const { builder } = context;
    const y = requiredOutput(context);
    return [times(context, builder.op('Sub', [builder.scalar(1, y), builder.op('Mul', [y, y])]))];
  },
  Softplus: (context) => [times(context, context.builder.op('Sigmoid', [requiredInput(context, 0)]))],
  Softmax: (context) => {
    // dx = y ⊙ (g − Σ g ⊙ y)
    const { builder, node } = context;
    const y = requiredOutput(context);
    const weighted = builder.op('ReduceSum', [times(context, y), builder.ints([intOf(node, 'axis', -1)])], { keepdims: 1 });
    return [builder.op('Mul', [y, builder.op('Sub', [context.gradient, weighted])])];
  },
};
