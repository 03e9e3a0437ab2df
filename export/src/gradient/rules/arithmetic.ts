/** Element by element: arithmetic and elementary functions, with broadcasting. */
import { dtypeOf, type GraphBuilder } from '../../ir/builder.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { requiredInput, requiredOutput, unbroadcast, type Rule, type RuleContext } from '../rule.js';

type Derivative = (builder: GraphBuilder, x: Value, y: Value) => Value;

/** Rule of y = f(x) from f′ as a graph of x and y. */
const unary = (derivative: Derivative): Rule => (context) => {
  const { builder } = context;
  return [builder.op('Mul', [context.gradient, derivative(builder, requiredInput(context, 0), requiredOutput(context))])];
};

/** Rule of y = f(x) from 1 / f′. */
const unaryInverse = (inverse: Derivative): Rule => (context) => {
  const { builder } = context;
  return [builder.op('Div', [context.gradient, inverse(builder, requiredInput(context, 0), requiredOutput(context))])];
};

/** x² + offset. */
const squarePlus = (builder: GraphBuilder, x: Value, offset: number): Value => builder.op('Add', [builder.op('Mul', [x, x]), builder.scalar(offset, x)]);
/** 1 − x². */
const oneMinusSquare = (builder: GraphBuilder, x: Value): Value => builder.op('Sub', [builder.scalar(1, x), builder.op('Mul', [x, x])]);

/** Rule of a broadcasting operator from the gradients before un-broadcasting. */
const broadcasting = (...gradients: ((context: RuleContext) => Value)[]): Rule => (context) =>
  gradients.map((gradient, index) => (context.wants(index) ? unbroadcast(context, gradient(context), requiredInput(context, index)) : null));

const a = (context: RuleContext): Value => requiredInput(context, 0);
const b = (context: RuleContext): Value => requiredInput(context, 1);
const g = (context: RuleContext): Value => context.gradient;

const identity: Rule = (context) => [context.gradient];

/** Piecewise constant: its derivative is zero wherever it exists, so that nothing flows. */
const flat: Rule = () => [null];

/** Sum and Mean: every input receives the gradient, times `scale(count)`. */
const variadic = (scale: (count: number) => number): Rule => (context) => {
  const { builder, node } = context;
  const factor = scale(node.inputs.length);
  const share = factor === 1 ? context.gradient : builder.op('Mul', [context.gradient, builder.scalar(factor, context.gradient)]);
  return node.inputs.map((input, index) => (input && context.wants(index) ? unbroadcast(context, share, input) : null));
};

/** A gradient takes the type of the input whose gradient it is. */
const castBack: Rule = (context) => [context.builder.op('Cast', [context.gradient], { to: dataTypeCodes[dtypeOf(requiredInput(context, 0))] })];

export const arithmeticRules: Readonly<Record<string, Rule>> = {
  Identity: identity,
  Cast: castBack,
  CastLike: castBack,
  Ceil: flat, Floor: flat, Round: flat, Sign: flat,
  Neg: (context) => [context.builder.op('Neg', [context.gradient])],
  Abs: unary((builder, x) => builder.op('Sign', [x])),
  Exp: unary((_, __, y) => y),
  Log: unaryInverse((_, x) => x),
  Sqrt: unaryInverse((builder, _, y) => builder.op('Add', [y, y])),
  Reciprocal: unary((builder, _, y) => builder.op('Neg', [builder.op('Mul', [y, y])])),
  Sin: unary((builder, x) => builder.op('Cos', [x])),
  Cos: unary((builder, x) => builder.op('Neg', [builder.op('Sin', [x])])),
  Tan: unary((builder, _, y) => squarePlus(builder, y, 1)),
  Asin: unaryInverse((builder, x) => builder.op('Sqrt', [oneMinusSquare(builder, x)])),
  Acos: unaryInverse((builder, x) => builder.op('Neg', [builder.op('Sqrt', [oneMinusSquare(builder, x)])])),
  Atan: unaryInverse((builder, x) => squarePlus(builder, x, 1)),
  Sinh: unary((builder, x) => builder.op('Cosh', [x])),
  Cosh: unary((builder, x) => builder.op('Sinh', [x])),
  Asinh: unaryInverse((builder, x) => builder.op('Sqrt', [squarePlus(builder, x, 1)])),
  Acosh: unaryInverse((builder, x) => builder.op('Sqrt', [squarePlus(builder, x, -1)])),
  Atanh: unaryInverse(oneMinusSquare),
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
  // y = a − b q, where the integer q does not change for small changes of a and b.
  Mod: broadcasting(g, (context) => {
    const { builder } = context;
    const q = builder.op('Round', [builder.op('Div', [builder.op('Sub', [a(context), requiredOutput(context)]), b(context)])]);
    return builder.op('Neg', [builder.op('Mul', [context.gradient, q])]);
  }),
  Pow: broadcasting(powerBase, powerExponent),
  Sum: variadic(() => 1),
  Mean: variadic((count) => 1 / count),
};

/** g · b · a^(b − 1). */
function powerBase(context: RuleContext): Value {
  const { builder, gradient } = context;
  const base = a(context);
  const numbers = builder.constantNumbers(b(context));
  const exponent = numbers?.length === 1 ? numbers[0]! : undefined;
  const scalar = (value: number): Value => builder.scalar(value, base);
  if (exponent === 2) return builder.op('Mul', [gradient, builder.op('Add', [base, base])]);
  if (exponent !== undefined && exponent !== 0) return builder.op('Mul', [gradient, builder.op('Mul', [builder.op('Pow', [base, scalar(exponent - 1)]), scalar(exponent)])]);
  const power = castTo(context, b(context), base);
  const slope = builder.op('Mul', [power, builder.op('Pow', [base, builder.op('Sub', [power, scalar(1)])])]);
  // 0 · 0^(−1) would be no number, but a⁰ has slope 0 everywhere.
  return builder.op('Mul', [gradient, builder.op('Where', [builder.op('Equal', [power, scalar(0)]), scalar(0), slope])]);
}

/** g · a^b · log a; 0 where a is 0, as the limit for positive b. */
function powerExponent(context: RuleContext): Value {
  const { builder, gradient } = context;
  const base = a(context);
  const zero = builder.op('Equal', [base, builder.scalar(0, base)]);
  const logarithm = builder.op('Log', [builder.op('Where', [zero, builder.scalar(1, base), base])]);
  return castTo(context, builder.op('Mul', [gradient, builder.op('Mul', [requiredOutput(context), logarithm])]), b(context));
}

const castTo = ({ builder }: RuleContext, value: Value, like: Value): Value =>
  dtypeOf(value) === dtypeOf(like) ? value : builder.op('Cast', [value], { to: dataTypeCodes[dtypeOf(like)] });
