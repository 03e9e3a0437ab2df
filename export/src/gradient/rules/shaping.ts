/** Operators that move elements: their adjoints move them back. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import { intOf, intsOf, knownInts, normalizeAxis } from '../../ops/operator.js';
import { requiredInput, unbroadcast, type Rule } from '../rule.js';

/** The gradient takes the shape of the input back. */
const reshapeBack: Rule = (context) => [context.builder.op('Reshape', [context.gradient, context.builder.reshapeTarget(requiredInput(context, 0))])];

export const shapingRules: Readonly<Record<string, Rule>> = {
  Reshape: reshapeBack,
  Flatten: reshapeBack,
  Squeeze: reshapeBack,
  Unsqueeze: reshapeBack,
  Expand: (context) => [unbroadcast(context, context.gradient, requiredInput(context, 0))],
  Transpose: (context) => {
    const rank = shapeOf(requiredInput(context, 0)).length;
    const perm = intsOf(context.node, 'perm') ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
    return [context.builder.op('Transpose', [context.gradient], { perm: perm.map((_, axis) => perm.indexOf(axis)) })];
  },
  Concat: (context) => {
    const { builder, node, where } = context;
    const axis = normalizeAxis(intOf(node, 'axis', 0), shapeOf(context.gradient).length, where);
    let start = 0;
    return node.inputs.map((input, index) => {
      const extent = shapeOf(requiredInput(context, index))[axis];
      if (typeof extent !== 'number') throw new UnsupportedError(`${where}: joins along axis ${axis}, whose extents are not static.`);
      const from = start;
      start += extent;
      return input && context.wants(index) ? builder.op('Slice', [context.gradient, builder.ints([from]), builder.ints([start]), builder.ints([axis])]) : null;
    });
  },
  Pad: (context) => {
    const { builder, node, where } = context;
    const pads = knownInts(node.inputs[1]);
    const x = requiredInput(context, 0);
    const rank = shapeOf(x).length;
    const mode = node.attributes.get('mode');
    if (!pads || node.inputs[3] || (mode?.type === 'string' && mode.value !== 'constant')) {
      throw new UnsupportedError(`${where}: only constant padding by known amounts on all axes can be differentiated.`);
    }
    const axes = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => pads[axis] !== 0 || pads[axis + rank] !== 0);
    if (axes.length === 0) return [context.gradient];
    const extents = axes.map((axis) => shapeOf(x)[axis]!);
    if (extents.some((extent) => typeof extent !== 'number') || axes.some((axis) => pads[axis]! < 0 || pads[axis + rank]! < 0)) {
      throw new UnsupportedError(`${where}: padding of symbolic axes and cropping cannot be differentiated yet.`);
    }
    const starts = axes.map((axis) => pads[axis]!);
    const ends = axes.map((axis, i) => pads[axis]! + (extents[i] as number));
    return [builder.op('Slice', [context.gradient, builder.ints(starts), builder.ints(ends), builder.ints(axes)])];
  },
};
