/** Operators of GraphModels that take parts of a tensor. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import { axisIn, fixed, plain, tfjsShape, type Converted } from '../layout.js';
import { computed, converted, extents, input, integers, shapeOfTensor, valueTensor, type GraphTensor, type NodeContext, type NodeConverter } from './graph-tensor.js';
import { reshaped } from './shaping.js';

/** What a StridedSlice does along one axis of its input, or that it inserts one of extent 1. */
type Span = { readonly from: number; readonly to: number; readonly stride: number; readonly drops: boolean } | 'new-axis';

const farthest = 2 ** 31 - 1;
const whole: Span = { from: 0, to: farthest, stride: 1, drops: false };

/** The spans that begin, end, strides and the masks describe, ellipsis written out. */
function spansOf(context: NodeContext, inputs: readonly GraphTensor[], rank: number): Span[] {
  const [begin, end] = [integers(context, inputs, 1, 'begin'), integers(context, inputs, 2, 'end')];
  const strides = inputs[3] ? integers(context, inputs, 3, 'strides') : begin.map(() => 1);
  const has = (name: string, entry: number): boolean => (context.attributes.int(name, 0) & (1 << entry)) !== 0;
  const covered = begin.filter((_, entry) => !has('ellipsis_mask', entry) && !has('new_axis_mask', entry)).length;
  return begin.flatMap((from, entry): Span[] => {
    if (has('ellipsis_mask', entry)) return Array.from({ length: rank - covered }, () => whole);
    if (has('new_axis_mask', entry)) return ['new-axis'];
    if (has('shrink_axis_mask', entry)) return [{ from, to: from === -1 ? farthest : from + 1, stride: 1, drops: true }];
    const stride = strides[entry]!;
    const [first, last] = stride > 0 ? [0, farthest] : [farthest, -(2 ** 31)];
    return [{ from: has('begin_mask', entry) ? first : from, to: has('end_mask', entry) ? last : end[entry]!, stride, drops: false }];
  });
}

const stridedSlice: NodeConverter = (context, inputs) => {
  const { builder, where } = context;
  const tensor = input(context, inputs, 0);
  const rank = shapeOfTensor(tensor).length;
  const spans = spansOf(context, inputs, rank);
  const taken = spans.filter((span) => span !== 'new-axis');
  const all = [...spans, ...Array.from({ length: rank - taken.length }, () => whole)];
  if (tensor.kind === 'extents') {
    const [span] = taken;
    if (!span || all.length !== 1 || span.stride !== 1) throw new UnsupportedError(`${where}: takes other than a range of a shape, which is not supported.`);
    return { kind: 'extents', content: tensor.content.slice(span.from, span.to), scalar: span.drops };
  }
  const x = computed(context, inputs);
  const moved = taken.map((span, axis) => ({ ...span, axis })).filter(({ from, to, stride }) => from !== 0 || to !== farthest || stride !== 1);
  const value = moved.length === 0 ? x.value : builder.op('Slice', [
    x.value, builder.ints(moved.map(({ from }) => from)), builder.ints(moved.map(({ to }) => to)), builder.ints(moved.map(({ axis }) => axisIn(x, axis, where))), builder.ints(moved.map(({ stride }) => stride)),
  ]);
  const sliced: Converted = { value, layout: x.layout };
  if (all.every((span) => span !== 'new-axis' && !span.drops)) return converted(sliced);
  const dims = [...tfjsShape(sliced)];
  return converted(reshaped(context, sliced, all.flatMap((span) => {
    if (span === 'new-axis') return [1];
    const dim = dims.shift()!;
    return span.drops ? [] : [dim];
  })));
};

const slice: NodeConverter = (context, inputs) => {
  const { builder, where } = context;
  const x = computed(context, inputs);
  const [begin, sizes] = [integers(context, inputs, 1, 'begin'), extents(context, inputs, 2, 'size')];
  const dims = tfjsShape(x);
  const axes = begin.flatMap((from, axis) => (from !== 0 || (sizes[axis] !== -1 && sizes[axis] !== dims[axis]) ? [axis] : []));
  if (axes.length === 0) return converted(x);
  const ends = axes.map((axis) => (sizes[axis] === -1 ? 2 ** 31 - 1 : begin[axis]! + fixed(sizes[axis], where)));
  return valueTensor(builder.op('Slice', [x.value, builder.ints(axes.map((axis) => begin[axis]!)), builder.ints(ends), builder.ints(axes.map((axis) => axisIn(x, axis, where))), builder.ints(axes.map(() => 1))]), x.layout);
};

/** `Split` (axis, x) into equal parts, `SplitV` (x, sizes, axis). */
const split = (sized: boolean): NodeConverter => (context, inputs) => {
  const { builder, where } = context;
  const x = computed(context, inputs, sized ? 0 : 1);
  const [tfjsAxis] = integers(context, inputs, sized ? 2 : 0, 'axis');
  const axis = axisIn(x, tfjsAxis!, where);
  const extent = fixed(shapeOf(x.value)[axis], where);
  const count = context.attributes.int('num_split', sized ? 0 : undefined);
  const given = sized ? integers(context, inputs, 1, 'sizes') : Array.from({ length: count }, () => extent / count);
  const rest = extent - given.filter((size) => size >= 0).reduce((a, b) => a + b, 0);
  let from = 0;
  return given.map((size) => {
    const to = from + (size < 0 ? rest : size);
    const part = builder.op('Slice', [x.value, builder.ints([from]), builder.ints([to]), builder.ints([axis]), builder.ints([1])]);
    from = to;
    return valueTensor(part, x.layout);
  });
};

const gather: NodeConverter = (context, inputs) => {
  const tensor = input(context, inputs, 0);
  const [axis] = inputs[2] ? integers(context, inputs, 2, 'axis') : [0];
  if (tensor.kind === 'extents') {
    const at = integers(context, inputs, 1, 'indices');
    return { kind: 'extents', content: at.map((index) => tensor.content.at(index)!), scalar: shapeOfTensor(inputs[1]!).length === 0 };
  }
  const { builder } = context;
  const value = builder.op('Gather', [plain(builder, computed(context, inputs)), plain(builder, computed(context, inputs, 1))], { axis: axis! < 0 ? axis! + shapeOfTensor(tensor).length : axis! });
  return valueTensor(value);
};

/** One part for each index along an axis, without that axis. */
const unpack: NodeConverter = (context, inputs) => {
  const { builder, attributes, where } = context;
  const x = computed(context, inputs);
  const dims = tfjsShape(x);
  const given = attributes.int('axis', 0);
  const axis = given < 0 ? given + dims.length : given;
  const at = axisIn(x, axis, where);
  return Array.from({ length: fixed(dims[axis], where) }, (_, index) => {
    const value = builder.op('Slice', [x.value, builder.ints([index]), builder.ints([index + 1]), builder.ints([at]), builder.ints([1])]);
    return converted(reshaped(context, { value, layout: x.layout }, dims.filter((_extent, other) => other !== axis)));
  });
};

export const slicingNodes: Readonly<Record<string, NodeConverter>> = {
  Gather: gather, GatherV2: gather,
  Slice: slice,
  Split: split(false), SplitV: split(true),
  StridedSlice: stridedSlice,
  Unpack: unpack,
};
