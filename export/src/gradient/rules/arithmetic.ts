/** Element by element: arithmetic and elementary functions, with broadcasting. */
import { dtypeOf, type GraphBuilder } from '../../ir/builder.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { requiredInput, requiredOutput, unbroadcast, type Rule, type RuleContext } from '../rule.js';

/** Rule of y = f(x) from f′ as a graph of x and y. */
const unary = (derivative: (builder: GraphBuilder, x: Value, y: Value) => Value): Rule => (context) => {
  const { builder } = context;
  return [builder.op('Mul', [context.gradient, derivative(builder, requiredInput(context, 0), requiredOutput(context))])];
};

/** Rule of a broadcasting operator from the gradients before un-broadcasting; null where nothing flows. */
const broadcasting = (...gradients: ((context: RuleContext) => Value)[]): Rule => (context) =>
  gradients.map((gradient, index) => (context.wants(index) ? unbroadcast(context, gradient(context), requiredInput(context, index)) : null));

const a = (context: RuleContext): Value => requiredInput(context, 0);
const b = (context: RuleContext): Value => requiredInput(context, 1);
const g = (context: RuleContext): Value => context.gradient;

const identity: Rule = (context) => [context.gradient];

/** Sum and Mean: every input receives the gradient, times `scale(count)`. */
const variadic = (scale: (count: number) => number): Rule => (context) => {
  const { builder, node } = context;
  const factor = scale(node.inputs.length);
  const share = factor === 1 ? context.gradient : builder.op('Mul', [context.gradient, builder.scalar(factor, context.gradient)]);
  return node.inputs.map((input, index) => (input && context.wants(index) ? unbroadcast(context, share, input) : null));
};

export const arithmeticRules: Readonly<Record<string, Rule>> = {
  Identity: identity,
  Cast: (context) => {
    // A gradient takes the type of the input whose gradient it is.
    const { builder, node } = context;
    return [builder.op('Cast', [context.gradient], { to: dataTypeCodes[dtypeOf(node.inputs[0]!)] })];
  },
  Neg: (context) => [context.builder.op('Neg', [context.gradient])],
  Abs: unary((builder, x) => builder.op('Sign', [x])),
  Exp: unary((_, __, y) => y),
  Log: (context) => [context.builder.op('Div', [context.gradient, requiredInput(context, 0)])],
  Sqrt: (context) => {
    const { builder } = context;
    const y = requiredOutput(context);
    return [builder.op('Div', [context.gradient, builder.op('Add', [y, y])])];
  },
  Reciprocal: unary((builder, _, y) => builder.op('Neg', [builder.op('Mul', [y, y])])),
  Sin: unary((builder, x) => builder.op('Cos', [x])),
  Cos: unary((builder, x) => builder.op('Neg', [builder.op('Sin', [x])])),
  Erf: unary((builder, x) => builder.op('Mul', [builder.op('Exp', [builder.op('Neg', [builder.op('Mul', [x, x])])]), builder.scalar(2 / Math.sqrt(Math.PI), x)])),
  Add: broadcasting(g, g),
  Sub: broadcasting(g, (context) => context.builder.op('Neg', [context.gradient])),
  Mul: broadcasting(
    (context) => context.builder.op('Mul', [context.gradient, b(context)]),
    (context) => context.builder.op('Mul', [context.gradient, a(context)]),
  ),
  Div: broadcasting(
    (context) => context.builder.op('Div', [context.gradient, b(context)]),
    (context) => {
      const { builder } = context;
      return builder.op('Neg', [builder.op('Mul', [context.gradient, builder.op('Div', [requiredOutput(context), b(context)])])]);
    },
  ),
  Sum: variadic(() => 1),
  Mean: variadic((count) => 1 / count),
};
