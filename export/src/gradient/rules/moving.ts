/** Adjoints of operators that only move elements, where what says where to is known no earlier than the graph runs. */
import { shapeOf } from '../../ir/builder.js';
import { int64 } from '../../ir/constant.js';
import type { Value } from '../../ir/types.js';
import { fullLike, requiredInput, shapeVector, type RuleContext } from '../rule.js';

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
