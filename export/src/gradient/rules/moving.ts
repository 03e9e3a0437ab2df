/** Adjoints of operators whose effect is known no earlier than the graph runs: those that only move elements, and those that are linear along an axis. */
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { floats, int64 } from '../../ir/constant.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { extentVector, fullLike, requiredInput, shapeVector, type RuleContext } from '../rule.js';

const whole = (value: number): ReturnType<typeof int64> => int64([value], []);

/** 0, 1, … below the number that `count` holds. */
export function countTo({ builder }: Pick<RuleContext, 'builder'>, count: Value): Value {
  return builder.op('Range', [builder.constant(whole(0)), builder.op('Reshape', [count, builder.ints([])]), builder.constant(whole(1))]);
}

/**
 * The gradient of an operator that picks each element of x at most once: the same operator on the elements' numbers says
 * which they were.
 */
export function backToPlaces(context: RuleContext, again: (places: Value) => Value): Value {
  const { builder, gradient } = context;
  const x = requiredInput(context, 0);
  const flat = (value: Value): Value => builder.op('Reshape', [value, builder.ints([-1])]);
  const places = builder.op('Reshape', [countTo(context, builder.op('Size', [x])), shapeVector(context, x)]);
  const line = builder.op('ScatterElements', [flat(fullLike(context, x, 0)), flat(again(places)), flat(gradient)], { axis: 0 });
  return Object.assign(builder.op('Reshape', [line, builder.reshapeTarget(x)]), { shape: shapeOf(x) });
}

/**
 * The adjoint along one axis of an operator that is linear along it: what the running graph makes of the unit vectors of
 * that axis is the operator's matrix, whatever the extents and factors turn out to be.
 * @param value a gradient that has the operator's extent on that axis
 * @param make the operator along axis 2 of [extent, 1, extent, 1], the unit vectors
 */
export function backThroughUnits(context: RuleContext, value: Value, axis: number, make: (units: Value, extent: Value) => Value): Value {
  const { builder: b } = context;
  const x = requiredInput(context, 0);
  const shape = shapeOf(x);
  const [extent, one] = [extentVector(context, x, axis), b.ints([1])];
  // Engines have the identity matrix in these types alone.
  const type = dtypeOf(x) === 'float64' ? 'float64' : 'float32';
  const square = b.op('EyeLike', [b.op('ConstantOfShape', [b.op('Concat', [extent, extent], { axis: 0 })], { value: floats(type, [0], [1]) })]);
  const units = b.op('Reshape', [dtypeOf(x) === type ? square : b.op('Cast', [square], { to: dataTypeCodes[dtypeOf(x)] }), b.op('Concat', [extent, one, extent, one], { axis: 0 })]);
  const matrix = b.op('Reshape', [make(units, extent), b.op('Concat', [extent, b.ints([-1])], { axis: 0 })]);
  const order = [...shape.keys()].filter((other) => other !== axis);
  const product = b.op('MatMul', [b.op('Transpose', [value], { perm: [...order, axis] }), b.op('Transpose', [matrix], { perm: [1, 0] })]);
  const back = [...shape.keys()].map((other) => (other === axis ? shape.length - 1 : order.indexOf(other)));
  return Object.assign(b.op('Transpose', [product], { perm: back }), { shape: shapeOf(value).with(axis, shape[axis]!) });
}
