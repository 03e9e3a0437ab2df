/** Convolutions whose spatial extents are symbolic, or whose grouped kernel is differentiated; the rest is left to the rule given. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { windowOf } from '../../ops/convolution.js';
import { intOf } from '../../ops/operator.js';
import { extentVector, requiredInput, type Rule, type RuleContext } from '../rule.js';

/** Wraps the rule of Conv for static extents. */
export const windowedRule = (rule: Rule): Rule => (context) => {
  const { where, node, builder } = context;
  const [x, w] = [requiredInput(context, 0), requiredInput(context, 1)];
  const [spatial, kernelShape] = [shapeOf(x).slice(2), shapeOf(w)];
  if (spatial.every((extent) => typeof extent === 'number') || !context.wants(0) || kernelShape.some((dim) => typeof dim !== 'number')) return rule(context);
  const kernel = kernelShape.slice(2) as number[];
  const window = windowOf(node, kernel, spatial, where);
  const reach = kernel.map((extent, axis) => (extent - 1) * window.dilations[axis]!);
  if (window.strides.every((stride) => stride === 1) && reach.every((r, axis) => r >= window.begin[axis]! && r >= window.end[axis]!)) return rule(context);
  // The rule for static extents still makes the gradients of kernel and bias.
  const rest = rule({ ...context, wants: (index) => index !== 0 && context.wants(index) });
  const full = builder.op('ConvTranspose', [context.gradient, w], {
    kernel_shape: kernel, strides: window.strides, dilations: window.dilations, group: intOf(node, 'group', 1),
    pads: [...kernel, ...kernel].map(() => 0),
  });
  return [fitted(context, full, x, window.begin), ...rest.slice(1)];
};

/** Cuts `begin` off the front of every spatial axis, and cuts or fills the end to the extents of x. */
function fitted(context: RuleContext, full: Value, x: Value, begin: readonly number[]): Value {
  const { builder } = context;
  const ends = begin.map((cut, axis) => builder.op('Sub', [
    builder.op('Add', [extentVector(context, x, axis + 2), builder.ints([cut])]),
    builder.op('Slice', [builder.op('Shape', [full]), builder.ints([axis + 2]), builder.ints([axis + 3])]),
  ]));
  const pads = builder.op('Concat', [builder.ints([0, 0, ...begin.map((cut) => -cut), 0, 0]), ...ends], { axis: 0 });
  const result = builder.op('Pad', [full, pads, builder.scalar(0, full)]);
  if (!x.shape) throw new UnsupportedError(`${context.where}: the rank of its input is not known.`);
  return Object.assign(result, { shape: x.shape });
}
