/** Operators of GraphModels that move elements, and the integers that steer them. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Dim } from '../../ir/types.js';
import { axisIn, channelsFirst, fixed, plain, tfjsShape, toChannelsFirst, type Converted } from '../layout.js';
import { padValue, permute, reshape as reshapeConverted, sliceAxis } from '../lowering/reshape.js';
import { gatherAxis } from '../lowering/resize.js';
import { computed, converted, extents, input, integers, productOf, shapeOfTensor, valueTensor, type GraphTensor, type NodeContext, type NodeConverter } from './graph-tensor.js';

const identity: NodeConverter = (context, inputs) => input(context, inputs, 0);

const shape: NodeConverter = (context, inputs) => ({ kind: 'extents', content: shapeOfTensor(input(context, inputs, 0)), scalar: false });

/** Keeps the batch axis where the target does; else a plain Reshape. */
const reshape: NodeConverter = (context, inputs) => {
  const target = extents(context, inputs, 1, 'shape');
  const source = input(context, inputs, 0);
  if (source.kind === 'extents') return { ...source, scalar: target.length === 0 };
  return converted(reshaped(context, computed(context, inputs), target));
};

/** A reshaped tensor; −1 and names of symbolic extents stand for what is open. */
export function reshaped(context: NodeContext, x: Converted, target: readonly Dim[]): Converted {
  const { builder, where } = context;
  const [batch, ...rest] = tfjsShape(x);
  const inner = rest.every((dim) => typeof dim === 'number') ? (rest).reduce((a, b) => a * b, 1) : undefined;
  const [first, ...others] = target;
  const known = others.filter((dim) => dim !== -1);
  const product = known.every((dim) => typeof dim === 'number') ? (known).reduce((a, b) => a * b, 1) : undefined;
  const open = others.includes(-1);
  const keepsBatch = target.length > 0 && inner !== undefined && product !== undefined
    && (first === batch || (first === -1 && !open)) && (open ? inner % product === 0 : inner === product);
  if (keepsBatch) return reshapeConverted(builder, x, others as number[], where);
  if (target.filter((dim) => typeof dim !== 'number' || dim === -1).length > 1) throw new UnsupportedError(`${where}: a shape [${target.join(', ')}] with several open extents is not supported; fix them with \`inputShapes\`.`);
  const value = builder.op('Reshape', [plain(builder, x), builder.ints(target.map((dim) => (typeof dim === 'number' ? dim : -1)))]);
  if (!value.shape) throw new UnsupportedError(`${where}: the extents after reshaping [${tfjsShape(x).join(', ')}] to [${target.join(', ')}] cannot be told, which is not supported.`);
  return { value, layout: 'plain' };
}

const squeeze: NodeConverter = (context, inputs) => {
  const tensor = input(context, inputs, 0);
  const dims = shapeOfTensor(tensor);
  const given = context.attributes.ints('squeeze_dims', context.attributes.ints('axis')).map((axis) => (axis < 0 ? axis + dims.length : axis));
  const axes = given.length > 0 ? given : dims.flatMap((dim, axis) => (dim === 1 ? [axis] : []));
  if (tensor.kind === 'extents') return { ...tensor, scalar: true };
  return converted(reshaped(context, computed(context, inputs), dims.filter((_, axis) => !axes.includes(axis))));
};

const expandDims: NodeConverter = (context, inputs) => {
  const tensor = input(context, inputs, 0);
  const dims = [...shapeOfTensor(tensor)];
  const [given] = integers(context, inputs, 1, 'axis');
  if (tensor.kind === 'extents') return { ...tensor, scalar: false };
  dims.splice(given! < 0 ? given! + dims.length + 1 : given!, 0, 1);
  return converted(reshaped(context, computed(context, inputs), dims));
};

const transpose: NodeConverter = (context, inputs) => converted(permute(context.builder, computed(context, inputs), integers(context, inputs, 1, 'permutation')));

const concat: NodeConverter = (context, inputs) => {
  const parts = inputs.slice(0, -1);
  if (parts.every((tensor) => tensor.kind !== 'value') && parts.some((tensor) => tensor.kind === 'extents')) {
    return { kind: 'extents', content: parts.flatMap((_, index) => extents(context, parts, index, 'part')), scalar: false };
  }
  const values = parts.map((_, index) => computed(context, parts, index));
  const image = values.some(({ layout }) => layout === 'channels-first');
  const aligned = values.map((value) => (image ? channelsFirst(context, value) : plain(context.builder, value)));
  const layout = image ? 'channels-first' : 'plain';
  const [axis] = integers(context, inputs, inputs.length - 1, 'axis');
  return valueTensor(context.builder.op('Concat', aligned, { axis: axisIn({ value: aligned[0]!, layout }, axis!, context.where) }), layout);
};

const pack: NodeConverter = (context, inputs) => {
  if (inputs.every((tensor) => tensor.kind !== 'value') && inputs.some((tensor) => tensor.kind === 'extents')) {
    return { kind: 'extents', content: inputs.flatMap((_, index) => extents(context, inputs, index, 'part')), scalar: false };
  }
  const axis = context.attributes.int('axis', 0);
  const values = inputs.map((_, index) => plain(context.builder, computed(context, inputs, index)));
  const at = axis < 0 ? axis + shapeOf(values[0]!).length + 1 : axis;
  return valueTensor(context.builder.op('Concat', values.map((value) => context.builder.op('Unsqueeze', [value, context.builder.ints([at])])), { axis: at }));
};

/** Padded by the tensor's own border, the last element twice. */
function mirrored({ builder, where }: NodeContext, x: Converted, amounts: readonly (readonly [number, number])[]): Converted {
  const value = amounts.reduce((image, [before, after], axis) => {
    if (before === 0 && after === 0) return image;
    const at = axisIn(x, axis, where);
    const extent = fixed(shapeOf(x.value)[at], where, 'mirroring');
    return gatherAxis(builder, image, at, Array.from({ length: before + extent + after }, (_, index) => {
      const position = index - before;
      return position < 0 ? -1 - position : position < extent ? position : 2 * extent - 1 - position;
    }));
  }, x.value);
  return { value, layout: x.layout };
}

const reverse: NodeConverter = (context, inputs) => {
  const { builder } = context;
  const x = computed(context, inputs);
  const axes = integers(context, inputs, 1, 'axes').map((axis) => axisIn(x, axis, context.where));
  return valueTensor(builder.op('Slice', [x.value, builder.ints(axes.map(() => -1)), builder.ints(axes.map(() => -(2 ** 31))), builder.ints(axes), builder.ints(axes.map(() => -1))]), x.layout);
};

const roll: NodeConverter = (context, inputs) => {
  const { builder, where } = context;
  const x = computed(context, inputs);
  const shifts = integers(context, inputs, 1, 'shift');
  const value = integers(context, inputs, 2, 'axis').reduce((rolled, given, index) => {
    const axis = axisIn(x, given, where);
    const extent = fixed(shapeOf(rolled)[axis], where, 'rolling');
    const first = ((-shifts[index]! % extent) + extent) % extent;
    return first === 0 ? rolled : builder.op('Concat', [sliceAxis(builder, rolled, axis, first, extent), sliceAxis(builder, rolled, axis, 0, first)], { axis });
  }, x.value);
  return valueTensor(value, x.layout);
};

const pad = (mode: string | undefined): NodeConverter => (context, inputs) => {
  const x = computed(context, inputs);
  const flat = integers(context, inputs, 1, 'paddings');
  const amounts = Array.from({ length: flat.length / 2 }, (_, axis): [number, number] => [flat[2 * axis]!, flat[2 * axis + 1]!]);
  if (mode === undefined) return converted(padValue(context.builder, x, amounts, inputs[2] ? { fill: scalarOf(context, inputs, 2) } : {}));
  const name = context.attributes.string('mode').toUpperCase();
  if (name === 'SYMMETRIC') return converted(mirrored(context, x, amounts));
  if (name !== 'REFLECT') context.attributes.refuse('mode', name, '"REFLECT", "SYMMETRIC"');
  return converted(padValue(context.builder, x, amounts, { mode: 'reflect' }));
};

function scalarOf(context: NodeContext, inputs: readonly GraphTensor[], index: number): number {
  const tensor = input(context, inputs, index);
  if (tensor.kind !== 'constant' || tensor.data.length !== 1) throw new UnsupportedError(`${context.where}: its value ${index} is not a constant number, which is not supported.`);
  return tensor.data[0]!;
}

const tile: NodeConverter = (context, inputs) => {
  const x = computed(context, inputs);
  const repeats = integers(context, inputs, 1, 'multiples');
  const ordered = x.layout === 'plain' ? repeats : toChannelsFirst(repeats.length).map((axis) => repeats[axis]!);
  return repeats.every((count) => count === 1) ? converted(x) : valueTensor(context.builder.op('Tile', [x.value, context.builder.ints(ordered)]), x.layout);
};

const size: NodeConverter = (context, inputs) => productOf(context, shapeOfTensor(input(context, inputs, 0)));

export const shapingNodes: Readonly<Record<string, NodeConverter>> = {
  CheckNumerics: identity, EnsureShape: identity, Identity: identity, IdentityN: (_, inputs) => inputs, PreventGradient: identity, Snapshot: identity, StopGradient: identity,
  PlaceholderWithDefault: identity,
  Concat: (context, [axis, ...parts]) => concat(context, [...parts, axis!]), ConcatV2: concat,
  ExpandDims: expandDims,
  MirrorPad: pad('reflect'), Pad: pad(undefined), PadV2: pad(undefined),
  Pack: pack,
  Rank: (context, inputs) => ({ kind: 'extents', content: [shapeOfTensor(input(context, inputs, 0)).length], scalar: true }),
  Reshape: reshape,
  ReverseV2: reverse, Roll: roll,
  Shape: shape,
  Size: size,
  Squeeze: squeeze,
  Tile: tile,
  Transpose: transpose,
};

