/** Operators that choose between values: Where, Clip, Max, Min. At ties the gradient is shared or dropped, never doubled. */
import { dtypeOf } from '../../ir/builder.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { magnified, requiredInput, requiredOutput, unbroadcast, type Rule, type RuleContext } from '../rule.js';

/** Bounds beyond this are no bounds: exporters write the largest number for "none". */
const unbounded = 1e30;
/** Products of distances to bounds up to this cannot overflow. */
const moderate = { float16: 100, other: 1e15 } as const;

export const selectionRules: Readonly<Record<string, Rule>> = {
  Where: (context) => {
    const { builder, gradient } = context;
    const condition = requiredInput(context, 0);
    const zero = builder.scalar(0, gradient);
    return [
      null,
      context.wants(1) ? unbroadcast(context, builder.op('Where', [condition, gradient, zero]), requiredInput(context, 1)) : null,
      context.wants(2) ? unbroadcast(context, builder.op('Where', [condition, zero, gradient]), requiredInput(context, 2)) : null,
    ];
  },
  Clip: (context) => [
    context.wants(0) ? clippedInput(context) : null,
    context.wants(1) ? clipBound(context, 1) : null,
    context.wants(2) ? clipBound(context, 2) : null,
  ],
  Max: extreme(1),
  Min: extreme(-1),
};

function clippedInput(context: RuleContext): Value {
  const { builder, node, gradient } = context;
  const [x, y] = [requiredInput(context, 0), requiredOutput(context)];
  const numbers = [node.inputs[1], node.inputs[2]].map((bound) => (bound ? builder.constantNumbers(bound)?.[0] : Infinity));
  const limit = dtypeOf(x) === 'float16' ? moderate.float16 : moderate.other;
  // Distances of the result to its bounds: zero where it was clipped.
  const distances: Value[] = [];
  for (const [index, number] of numbers.entries()) {
    if (number !== undefined && Math.abs(number) >= unbounded) continue;
    if (number === undefined || Math.abs(number) > limit) {
      return builder.op('Where', [builder.op('Equal', [x, y]), gradient, builder.scalar(0, gradient)]);
    }
    const bound = builder.scalar(number, y);
    distances.push(index === 1 ? builder.op('Sub', [bound, y]) : number === 0 ? y : builder.op('Sub', [y, bound]));
  }
  if (distances.length === 0) return gradient;
  const distance = distances.reduce((left, right) => builder.op('Mul', [left, right]));
  const slope = builder.op('Clip', [magnified(builder, distance), builder.scalar(0, y), builder.scalar(1, y)]);
  return builder.op('Mul', [gradient, slope]);
}

/** y = min(max(x, low), high): a bound receives the gradient of the elements that it holds. */
function clipBound(context: RuleContext, index: 1 | 2): Value {
  const { builder, node, gradient } = context;
  const x = requiredInput(context, 0);
  const [low, high] = [node.inputs[1], node.inputs[2]];
  const held = index === 1
    ? builder.op('And', [builder.op('Less', [x, low!]), high ? builder.op('Less', [low!, high]) : builder.op('Equal', [low!, low!])])
    : builder.op('Greater', [low ? builder.op('Max', [x, low]) : x, high!]);
  return unbroadcast(context, builder.op('Where', [held, gradient, builder.scalar(0, gradient)]), node.inputs[index]!);
}

/** Max (sign 1) and Min (sign −1); where inputs are equal, they share the gradient evenly. */
function extreme(sign: 1 | -1): Rule {
  return (context) => {
    const { builder, node, gradient } = context;
    const inputs = node.inputs.map((_, index) => requiredInput(context, index));
    if (inputs.length === 1) return [gradient];
    if (inputs.length === 2) {
      return inputs.map((input, index) => {
        if (!context.wants(index)) return null;
        const other = inputs[1 - index]!;
        const lead = magnified(builder, builder.op('Sub', sign > 0 ? [input, other] : [other, input]));
        const slope = builder.op('Clip', [builder.op('Add', [lead, builder.scalar(0.5, lead)]), builder.scalar(0, lead), builder.scalar(1, lead)]);
        return unbroadcast(context, builder.op('Mul', [gradient, slope]), input);
      });
    }
    const y = requiredOutput(context);
    const held = inputs.map((input) => builder.op('Cast', [builder.op('Equal', [input, y])], { to: dataTypeCodes[dtypeOf(y)] }));
    const share = builder.op('Div', [gradient, builder.op('Sum', held)]);
    return inputs.map((input, index) => (context.wants(index) ? unbroadcast(context, builder.op('Mul', [share, held[index]!]), input) : null));
  };
}
