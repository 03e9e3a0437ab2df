/** The classification losses that are operators, through the plain operators that define them. */
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { intOf, stringOf } from '../../ops/operator.js';
import { requiredInput, type Rule, type RuleContext } from '../rule.js';

/** −weight[target] · x[target] along axis 1, reduced; a mean is over the weights. */
function negativeLogLikelihood(context: RuleContext, x: Value, target: Value, weight: Value | null): Value {
  const { builder: b, node } = context;
  const ignored = node.attributes.has('ignore_index') ? b.op('Equal', [target, b.constant(indexLike(target, intOf(node, 'ignore_index', 0)))]) : null;
  // An ignored index may lie outside the classes.
  const index = ignored ? b.op('Where', [ignored, b.constant(indexLike(target, 0)), target]) : target;
  const column = b.op('Unsqueeze', [index, b.ints([1])]);
  const picked = b.op('Squeeze', [b.op('GatherElements', [x, column], { axis: 1 }), b.ints([1])]);
  const zero = b.scalar(0, x);
  const own = weight ? b.op('Gather', [weight, index], { axis: 0 }) : null;
  const counted = ignored ? b.op('Where', [ignored, zero, own ?? b.scalar(1, x)]) : own;
  const loss = b.op('Neg', [counted ? b.op('Mul', [picked, counted]) : picked]);
  const total = (value: Value): Value => b.op('ReduceSum', [value], { keepdims: 0 });
  switch (stringOf(node, 'reduction', 'mean')) {
    case 'none': return loss;
    case 'sum': return total(loss);
    default: return b.op('Div', [total(loss), counted ? total(counted) : b.op('Cast', [b.op('Size', [picked])], { to: dataTypeCodes[dtypeOf(x)] })]);
  }
}

const indexLike = (target: Value, value: number): { dtype: 'int32' | 'int64'; dims: number[]; data: Uint8Array } => (dtypeOf(target) === 'int32'
  ? { dtype: 'int32', dims: [], data: new Uint8Array(Int32Array.of(value).buffer) }
  : { dtype: 'int64', dims: [], data: new Uint8Array(BigInt64Array.of(BigInt(value)).buffer) });

const loss = (make: (context: RuleContext, x: Value, rest: (logProbabilities: Value) => Value) => Value[]): Rule => (context) => {
  const [x, target, weight] = [requiredInput(context, 0), requiredInput(context, 1), context.node.inputs[2] ?? null];
  shapeOf(x);
  const [dx, dw] = context.expand(() => make(context, x, (value) => negativeLogLikelihood(context, value, target, weight)), weight ? [x, weight] : [x]);
  return [dx ?? null, null, dw ?? null];
};

export const lossRules: Readonly<Record<string, Rule>> = {
  NegativeLogLikelihoodLoss: loss((_, x, rest) => [rest(x)]),
  SoftmaxCrossEntropyLoss: loss(({ builder }, x, rest) => {
    const logProbabilities = builder.op('LogSoftmax', [x], { axis: 1 });
    return [rest(logProbabilities), logProbabilities];
  }),
};
