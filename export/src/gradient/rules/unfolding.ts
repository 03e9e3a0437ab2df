/** Operators that scatter windows or maxima into an image: their adjoints read back from where each element was put. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { intsOf, knownInts } from '../../ops/operator.js';
import { checkMatrixSize, reshapeTo, requiredInput, type Rule } from '../rule.js';
import { padTo } from './padding.js';

const allPoints = (extents: readonly number[]): number[][] =>
  extents.reduce<number[][]>((points, extent) => points.flatMap((point) => Array.from({ length: extent }, (_, i) => [...point, i])), [[]]);

export const unfoldingRules: Readonly<Record<string, Rule>> = {
  Col2Im: (context) => {
    // Element (tap, window) was added to one place of the image, or fell outside: [N, C, pixels] → [N, C · taps, windows].
    const { builder, node, where, gradient } = context;
    const x = requiredInput(context, 0);
    const [image, block] = [knownInts(requiredInput(context, 1)), knownInts(requiredInput(context, 2))];
    if (!image || !block) throw new UnsupportedError(`${where}: its image and block shapes must be constants.`);
    const rank = image.length;
    const each = (name: string, fallback: number): readonly number[] => intsOf(node, name) ?? image.map(() => fallback);
    const [strides, dilations, pads] = [each('strides', 1), each('dilations', 1), intsOf(node, 'pads') ?? [...image, ...image].map(() => 0)];
    const windows = image.map((extent, axis) => Math.floor((extent + pads[axis]! + pads[axis + rank]! - dilations[axis]! * (block[axis]! - 1) - 1) / strides[axis]!) + 1);
    const count = (extents: readonly number[]): number => extents.reduce((a, b) => a * b, 1);
    const pixels = count(image);
    checkMatrixSize(context, count(block), Math.max(1, count(windows)));
    const [taps, places] = [allPoints(block), allPoints(windows)];
    const sources = taps.flatMap((tap) => places.map((place) => place.reduce((offset, step, axis) => {
      const position = step * strides[axis]! + tap[axis]! * dilations[axis]! - pads[axis]!;
      return position < 0 || position >= image[axis]! ? Number.NaN : offset * image[axis]! + position;
    }, 0))).map((offset) => (Number.isNaN(offset) ? pixels : offset));
    const [n, joined] = shapeOf(x);
    const channels = typeof joined === 'number' ? joined / taps.length : undefined;
    if (channels === undefined) throw new UnsupportedError(`${where}: the number of channels must be static.`);
    const line = Object.assign(builder.op('Reshape', [gradient, builder.ints([0, channels, -1])]), { shape: [n!, channels, pixels] });
    const padded = sources.includes(pixels) ? padTo(context, line, [0, 0, 0], [0, 0, 1]) : line;
    return [reshapeTo(context, builder.op('Gather', [padded, builder.ints(sources)], { axis: 2 }), shapeOf(x), [x])];
  },
  MaxUnpool: (context) => {
    // Every element was put where its index says, counted through the whole unpooled tensor.
    const { builder, node, where, gradient } = context;
    const x = requiredInput(context, 0);
    if (node.inputs[2]) throw new UnsupportedError(`${where}: with output_shape it cannot be differentiated.`);
    const flat = (value: Value): Value => builder.op('Reshape', [value, builder.ints([-1])]);
    const picked = builder.op('Gather', [flat(gradient), flat(requiredInput(context, 1))], { axis: 0 });
    return [Object.assign(builder.op('Reshape', [picked, builder.reshapeTarget(x)]), { shape: x.shape })];
  },
};
