/** Linear dequantisation: the quantised numbers are constants to a derivative, the scale is not. */
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { intOf, normalizeAxis } from '../../ops/operator.js';
import { extentVector, requiredInput, requiredOutput, type Rule, type RuleContext } from '../rule.js';

/** A scale or zero point as it meets the elements of x: one for all, one for each place along an axis, or one for each block of places. */
function perElement({ builder, node, where }: RuleContext, x: Value, parameter: Value): Value {
  const [rank, own] = [shapeOf(x).length, shapeOf(parameter).length];
  if (own === 0 || rank === 0 || (own === 1 && shapeOf(parameter)[0] === 1)) return parameter;
  const axis = normalizeAxis(intOf(node, 'axis', 1), rank, where);
  const block = intOf(node, 'block_size', 0);
  if (block === 0) return own === 1 ? builder.op('Reshape', [parameter, builder.ints(shapeOf(x).map((_, at) => (at === axis ? -1 : 1)))]) : parameter;
  const places = builder.op('Unsqueeze', [parameter, builder.ints([axis + 1])]);
  const repeated = builder.op('Expand', [places, builder.ints(Array.from({ length: rank + 1 }, (_, at) => (at === axis + 1 ? block : 1)))]);
  const joined = builder.op('Reshape', [repeated, builder.op('Concat', shapeOf(x).map((_, at) => (at === axis ? builder.ints([-1]) : extentVector({ builder }, x, at))), { axis: 0 })]);
  // The last block may be cut short.
  return Object.assign(builder.op('Slice', [joined, builder.ints([0]), extentVector({ builder }, x, axis), builder.ints([axis])]), { shape: x.shape });
}

/** y = (x − zero point) · scale. */
const dequantizeLinear: Rule = (context) => {
  const { builder } = context;
  const [x, scale, y] = [requiredInput(context, 0), requiredInput(context, 1), requiredOutput(context)];
  const zero = context.node.inputs[2];
  const float = (value: Value): Value => builder.op('Cast', [value], { to: dataTypeCodes[dtypeOf(scale)] });
  const [dscale] = context.expand(() => {
    const offset = zero ? builder.op('Sub', [float(x), perElement(context, x, float(zero))]) : float(x);
    const product = builder.op('Mul', [offset, perElement(context, x, scale)]);
    return dtypeOf(y) === dtypeOf(scale) ? product : builder.op('Cast', [product], { to: dataTypeCodes[dtypeOf(y)] });
  }, [scale]);
  return [null, dscale ?? null, null];
};

/** Of what it makes, the scale (max(x, 0) − min(x, 0)) / 255 alone is no integer. */
const dynamicQuantizeLinear: Rule = (context) => {
  const { builder } = context;
  const x = requiredInput(context, 0);
  const zero = builder.scalar(0, x);
  return context.expand(() => {
    const [high, low] = [builder.op('Max', [builder.op('ReduceMax', [x], { keepdims: 0 }), zero]), builder.op('Min', [builder.op('ReduceMin', [x], { keepdims: 0 }), zero])];
    return [x, builder.op('Div', [builder.op('Sub', [high, low]), builder.scalar(255, x)])];
  }, [x]);
};

export const quantizationRules: Readonly<Record<string, Rule>> = { DequantizeLinear: dequantizeLinear, DynamicQuantizeLinear: dynamicQuantizeLinear };
