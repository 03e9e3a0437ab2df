/** Activation functions. Where the slope can be told from the output, it is: engines can then fuse what comes before. */
import { dtypeOf, type GraphBuilder } from '../../ir/builder.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { floatOf, intOf, stringOf } from '../../ops/operator.js';
import { magnified, requiredInput, requiredOutput, unbroadcast, type Rule, type RuleContext } from '../rule.js';

/**
 * Slope of a function that is linear on either side of zero: `left` below, 1 above. Clip(y · large, left, 1) costs a
 * quarter of Greater and Where on CPUs. The sign of the output is the sign of the input for 0 ≤ left < 1.
 */
function kinkedSlope(context: RuleContext, y: Value, left: number): Value {
  const { builder } = context;
  return builder.op('Clip', [magnified(builder, y), builder.scalar(left, y), builder.scalar(1, y)]);
}

const times = (context: RuleContext, slope: Value): Value => context.builder.op('Mul', [context.gradient, slope]);

/** Short forms for formulas: numbers become scalars of the type of x. */
interface Calculator {
  readonly add: (a: Value | number, b: Value | number) => Value;
  readonly sub: (a: Value | number, b: Value | number) => Value;
  readonly mul: (a: Value | number, b: Value | number) => Value;
  readonly of: (opType: string, x: Value, attributes?: Readonly<Record<string, number>>) => Value;
  /** 1 where z is positive, else 0. */
  readonly step: (z: Value) => Value;
  readonly greater: (a: Value, b: number) => Value;
  readonly where: (condition: Value, yes: Value | number, no: Value | number) => Value;
}

function calculator(builder: GraphBuilder, x: Value): Calculator {
  const value = (item: Value | number): Value => (typeof item === 'number' ? builder.scalar(item, x) : item);
  const binary = (opType: string) => (a: Value | number, b: Value | number): Value => builder.op(opType, [value(a), value(b)]);
  const mul = binary('Mul');
  return {
    add: binary('Add'), sub: binary('Sub'), mul,
    of: (opType, item, attributes = {}) => builder.op(opType, [item], attributes),
    step: (z) => builder.op('Clip', [magnified(builder, z), value(0), value(1)]),
    greater: binary('Greater'),
    where: (condition, yes, no) => builder.op('Where', [condition, value(yes), value(no)]),
  };
}

/** Rule of y = f(x) from f′, written as a formula of x and y. */
const slope = (formula: (c: Calculator, x: Value, y: Value, context: RuleContext) => Value): Rule => (context) => {
  const x = requiredInput(context, 0);
  return [times(context, formula(calculator(context.builder, x), x, requiredOutput(context), context))];
};

/** Φ(x) + x φ(x), the normal distribution function and its density. */
function geluSlope({ add, mul, of }: Calculator, x: Value): Value {
  const distribution = mul(add(of('Erf', mul(x, Math.SQRT1_2)), 1), 0.5);
  const density = mul(of('Exp', mul(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return add(distribution, mul(x, density));
}

/** With u = √(2/π)(x + 0.044715 x³): ½(1 + tanh u) + ½ x (1 − tanh² u) u′. */
function tanhGeluSlope({ add, sub, mul, of }: Calculator, x: Value): Value {
  const scale = Math.sqrt(2 / Math.PI);
  const square = mul(x, x);
  const t = of('Tanh', mul(x, add(mul(square, 0.044715 * scale), scale)));
  const inner = add(mul(square, 3 * 0.044715 * scale), scale);
  return mul(add(add(t, 1), mul(mul(x, sub(1, mul(t, t))), inner)), 0.5);
}

/**
 * A row of attention that is masked altogether comes out of Softmax as no numbers, which the model then replaces by
 * Where. Its gradient there is zero, but zero times no number is none: such outputs are replaced here too.
 */
function withoutGaps({ builder }: RuleContext, y: Value): Value {
  const same = new Set([y]);
  const conditions = new Map<Value, Value>();
  for (const node of builder.graph.nodes) {
    const [first, second, third] = node.inputs;
    if (!node.inputs.some((value) => value && same.has(value))) continue;
    const output = node.outputs[0];
    if (output && (node.opType === 'Cast' || node.opType === 'Identity')) same.add(output);
    else if (output && node.opType === 'IsNaN') conditions.set(output, first!);
    else if (output && node.opType === 'Where') {
      // Where(IsNaN(y), 0, y) is just what is needed.
      if (third === y && first && conditions.get(first) === y && second && builder.constantNumbers(second)?.every((value) => value === 0)) return output;
      return builder.op('Where', [builder.op('IsNaN', [y]), builder.scalar(0, y), y]);
    }
  }
  return y;
}

export const activationRules: Readonly<Record<string, Rule>> = {
  Relu: (context) => [times(context, kinkedSlope(context, requiredOutput(context), 0))],
  LeakyRelu: (context) => {
    const alpha = floatOf(context.node, 'alpha', 0.01);
    if (alpha > 0 && alpha <= 1) return [times(context, kinkedSlope(context, requiredOutput(context), alpha))];
    const x = requiredInput(context, 0);
    const { greater, where } = calculator(context.builder, x);
    return [times(context, where(greater(x, 0), 1, alpha))];
  },
  ThresholdedRelu: slope(({ greater, where }, x, _, { node }) => where(greater(x, floatOf(node, 'alpha', 1)), 1, 0)),
  PRelu: (context) => {
    const { builder, gradient } = context;
    const [x, alpha] = [requiredInput(context, 0), requiredInput(context, 1)];
    const zero = builder.scalar(0, x);
    return [
      context.wants(0) ? builder.op('Where', [builder.op('Less', [x, zero]), builder.op('Mul', [gradient, alpha]), gradient]) : null,
      context.wants(1) ? unbroadcast(context, builder.op('Mul', [gradient, builder.op('Min', [x, zero])]), alpha) : null,
    ];
  },
  // Below zero the slope is y + α; above, 1.
  Elu: slope(({ add, greater, where }, x, y, { node }) => where(greater(x, 0), 1, add(y, floatOf(node, 'alpha', 1)))),
  // Below zero the slope is exp(x / α) = y / α + 1 < 1; above, y / α + 1 > 1.
  Celu: slope((c, x, y, { node, builder }) => builder.op('Clip', [c.add(c.mul(y, 1 / floatOf(node, 'alpha', 1)), 1), builder.scalar(0, x), builder.scalar(1, x)])),
  Selu: slope(({ add, greater, where }, x, y, { node }) => {
    const [alpha, gamma] = [floatOf(node, 'alpha', 1.67326319217681884765625), floatOf(node, 'gamma', 1.05070102214813232421875)];
    return where(greater(x, 0), gamma, add(y, alpha * gamma));
  }),
  Sigmoid: slope(({ sub, mul }, _, y) => mul(y, sub(1, y))),
  Tanh: slope(({ sub, mul }, _, y) => sub(1, mul(y, y))),
  Softplus: slope(({ of }, x) => of('Sigmoid', x)),
  Softsign: (context) => {
    const x = requiredInput(context, 0);
    const { add, mul, of } = calculator(context.builder, x);
    const one = add(of('Abs', x), 1);
    return [context.builder.op('Div', [context.gradient, mul(one, one)])];
  },
  HardSigmoid: slope(({ sub, mul, step }, _, y, { node }) => mul(step(mul(y, sub(1, y))), floatOf(node, 'alpha', 0.2))),
  HardSwish: slope(({ add, sub, mul, of, step }, x) => {
    // ONNX defines it by HardSigmoid, whose attribute is single precision in a float64 model, too.
    const alpha = Math.fround(1 / 6);
    const s = of('HardSigmoid', x, { alpha, beta: 0.5 });
    return add(s, mul(mul(x, alpha), step(mul(s, sub(1, s)))));
  }),
  Mish: slope(({ add, sub, mul, of }, x) => {
    const t = of('Tanh', of('Softplus', x));
    return add(t, mul(mul(x, sub(1, mul(t, t))), of('Sigmoid', x)));
  }),
  Swish: slope(({ add, sub, mul, of }, x, y, { node }) => {
    const alpha = floatOf(node, 'alpha', 1);
    const s = of('Sigmoid', mul(x, alpha));
    return add(s, mul(mul(y, sub(1, s)), alpha));
  }),
  SwiGLU: (context) => {
    const { builder, node } = context;
    const [gate, value] = [requiredInput(context, 0), requiredInput(context, 1)];
    return context.expand(() => {
      const { mul, of } = calculator(builder, gate);
      return builder.op('Mul', [mul(gate, of('Sigmoid', mul(gate, floatOf(node, 'alpha', 1)))), value]);
    }, [gate, value]);
  },
  Gelu: slope((c, x, _, { node }) => (stringOf(node, 'approximate', 'none') === 'tanh' ? tanhGeluSlope(c, x) : geluSlope(c, x))),
  Shrink: slope(({ of, greater, where }, x, _, { node }) => where(greater(of('Abs', x), floatOf(node, 'lambd', 0.5)), 1, 0)),
  Dropout: (context) => {
    // y = x · mask / (1 − ratio) in training mode, with the mask that this very node drew.
    const { node, builder, gradient } = context;
    const [ratio, training] = [node.inputs[1] ?? builder.scalar(0.5, 'float32'), node.inputs[2]];
    const mode = training ? builder.constantNumbers(training)?.[0] : 0;
    if (mode === 0) return [gradient];
    const mask = node.outputs[1] ?? builder.value(`${node.outputs[0]!.name}_mask`, { dtype: 'bool', shape: node.outputs[0]!.shape });
    if (!node.outputs[1]) node.outputs = [node.outputs[0]!, mask];
    const one = builder.scalar(1, ratio);
    const kept = builder.op('Reciprocal', [builder.op('Sub', [one, ratio])]);
    const factor = mode === undefined ? builder.op('Where', [training!, kept, one]) : kept;
    const typed = dtypeOf(factor) === dtypeOf(gradient) ? factor : builder.op('Cast', [factor], { to: dataTypeCodes[dtypeOf(gradient)] });
    return [builder.op('Where', [mask, builder.op('Mul', [gradient, typed]), builder.scalar(0, gradient)])];
  },
  Softmax: (context) => {
    // dx = y ⊙ (g − Σ g ⊙ y)
    const { builder, node } = context;
    const y = withoutGaps(context, requiredOutput(context));
    const weighted = builder.op('ReduceSum', [times(context, y), builder.ints([intOf(node, 'axis', -1)])], { keepdims: 1 });
    return [builder.op('Mul', [y, builder.op('Sub', [context.gradient, weighted])])];
  },
  LogSoftmax: (context) => {
    // dx = g − exp(y) Σ g
    const { builder, node, gradient } = context;
    const total = builder.op('ReduceSum', [gradient, builder.ints([intOf(node, 'axis', -1)])], { keepdims: 1 });
    return [builder.op('Sub', [gradient, builder.op('Mul', [builder.op('Exp', [requiredOutput(context)]), total])])];
  },
};
