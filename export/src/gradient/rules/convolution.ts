/**
 * Adjoints of convolutions. The lowering is chosen for speed and for what every engine gets right (docs/lowerings.md):
 * stride 1 → a plain Conv with the rotated, channel-swapped kernel; strided 2-D, and first layers of images → all phases in
 * one Conv, interleaved by a MatMul with a constant permutation, after a row Transpose where they are large; strided and
 * channel by channel, small → zeros between the gradient's elements and a plain Conv; everything else → ConvTranspose with
 * explicit padding.
 */
import { UnsupportedError } from '../../errors.js';
import { shapeOf, type GraphBuilder } from '../../ir/builder.js';
import { floats } from '../../ir/constant.js';
import type { Dim, Value } from '../../ir/types.js';
import { windowOf, type Window } from '../../ops/convolution.js';
import { intOf } from '../../ops/operator.js';
import { product } from '../../ops/symbolic.js';
import { fullLike, requiredInput, reshapeTo, type Contribution, type Rule, type RuleContext } from '../rule.js';

interface Convolution {
  readonly context: RuleContext;
  readonly builder: GraphBuilder;
  readonly x: Value;
  readonly w: Value;
  readonly window: Window;
  readonly group: number;
  /** Output channels, input channels per group. */
  readonly channels: readonly [number, number];
  readonly spatial: readonly Dim[];
  readonly gradient: Value;
}

export const convolutionRules: Readonly<Record<string, Rule>> = {
  Conv: (context) => {
    const convolution = describe(context);
    const { builder } = context;
    const bias = context.node.inputs[2];
    return [
      context.wants(0) ? inputAdjoint(convolution) : null,
      context.wants(1) ? kernelGradient(context, convolution.x, context.gradient, convolution.window, convolution.group) : null,
      bias && context.wants(2) ? builder.op('ReduceSum', [context.gradient, builder.ints(biasAxes(convolution))], { keepdims: 0 }) : null,
    ];
  },
};

const biasAxes = ({ window }: Convolution): number[] => [0, ...window.kernel.map((_, axis) => axis + 2)];

function describe(context: RuleContext): Convolution {
  const { builder, node, where, gradient } = context;
  const [x, w] = [requiredInput(context, 0), requiredInput(context, 1)];
  const [spatial, kernelShape] = [shapeOf(x).slice(2), shapeOf(w)];
  if (kernelShape.some((dim) => typeof dim !== 'number')) throw new UnsupportedError(`${where}: the kernel's shape must be static.`);
  const [o, c, ...kernel] = kernelShape as number[];
  return { context, builder, x, w, window: windowOf(node, kernel, spatial, where), group: intOf(node, 'group', 1), channels: [o!, c!], spatial, gradient };
}

function inputAdjoint(convolution: Convolution): Contribution {
  const { window, spatial, group } = convolution;
  const static_ = spatial.every((dim) => typeof dim === 'number');
  const reach = window.kernel.map((k, axis) => (k - 1) * window.dilations[axis]!);
  const fold = foldOf(convolution);
  if (window.strides.every((stride) => stride === 1) && reach.every((r, axis) => r >= window.begin[axis]! && r >= window.end[axis]!)) {
    return (fold > 1 ? phaseConvolution(convolution, fold) : null) ?? rotatedConvolution(convolution, reach);
  }
  if (!static_) throw new UnsupportedError(`${convolution.context.where}: the adjoint of a strided convolution needs static spatial extents, got [${spatial.join(', ')}].`);
  if (window.kernel.length === 2 && group === 1 && window.strides[0] === window.strides[1]) {
    const phases = phaseConvolution(convolution, fold) ?? (fold > 1 ? phaseConvolution(convolution, 1) : null);
    if (phases) return phases;
  }
  return spreadConvolution(convolution, reach) ?? transposedConvolution(convolution, spatial);
}

/** dx = Conv(dy, rotated and channel-swapped kernel). The kernel is one stored weight behind ops that engines fold. */
function rotatedConvolution(convolution: Convolution, reach: readonly number[]): Value {
  const { builder, gradient, window, group } = convolution;
  return builder.op('Conv', [gradient, rotatedKernel(convolution)], {
    kernel_shape: window.kernel,
    strides: window.kernel.map(() => 1),
    dilations: window.dilations,
    group,
    pads: adjointPads(window, reach),
  });
}

const adjointPads = (window: Window, reach: readonly number[]): number[] => [
  ...reach.map((r, axis) => r - window.begin[axis]!),
  ...reach.map((r, axis) => r - window.end[axis]!),
];

/** The kernel of the adjoint of stride 1, [C, O/g, …]: channels swapped, taps in reverse order. */
function rotatedKernel(convolution: Convolution): Value {
  const { builder, window } = convolution;
  const flipped = window.kernel.flatMap((extent, axis) => (extent > 1 ? [axis + 2] : []));
  const swapped = channelSwapped(convolution);
  if (flipped.length === 0) return swapped;
  const each = (value: number): Value => builder.ints(flipped.map(() => value));
  return builder.op('Slice', [swapped, each(-1), each(-(2 ** 31)), builder.ints(flipped), each(-1)]);
}

/** Output channels that engines compute together: fewer cost as much. */
export const channelBlock = 16;
/** Channels of an image, of which a first layer's adjoint has no more. */
export const mostImageChannels = 4;

/**
 * The adjoint of a first layer has the few channels of an image, and engines fill blocks of 16 with zeros. Instead, as many
 * neighbouring pixels as fit are computed as channels; of a grey image's work this leaves a quarter.
 * @returns by how much phases are coarser than the stride
 */
function foldOf({ window, group, channels: [, c], spatial }: Convolution): number {
  const stride = window.strides[0]!;
  if (window.kernel.length !== 2 || group !== 1 || window.strides[1] !== stride || c > mostImageChannels || window.kernel.every((extent) => extent === 1)) return 1;
  return [4, 3, 2].find((fold) => c * (fold * stride) ** 2 <= channelBlock && spatial.every((extent) => typeof extent === 'number' && extent % (fold * stride) === 0)) ?? 1;
}

/** [O, C/g, …] → [C, O/g, …], group by group. */
function channelSwapped({ builder, w, window, group, channels: [o, c] }: Convolution): Value {
  const rest = window.kernel.map((_, axis) => axis + 2);
  if (group === 1) return builder.op('Transpose', [w], { perm: [1, 0, ...rest] });
  if (c === 1 && o === group) return w;
  const split = builder.op('Reshape', [w, builder.ints([group, o / group, c, ...window.kernel])]);
  const swapped = builder.op('Transpose', [split], { perm: [0, 2, 1, ...rest.map((axis) => axis + 1)] });
  return builder.op('Reshape', [swapped, builder.ints([group * c, o / group, ...window.kernel])]);
}

/** One spatial axis of an adjoint by phases: which kernel tap meets which output, per phase. */
interface Phases {
  /** Inputs before the first that there is, which the first elements of some phases stand for. */
  readonly offset: number;
  /** Extent of a phase: inputs by phases, rounded up. */
  readonly extent: number;
  /** Kernel index per (phase, tap), or `none`. */
  readonly taps: readonly number[];
  readonly tapCount: number;
  /** The kernel's extent. */
  readonly none: number;
  readonly begin: number;
  readonly end: number;
}

/**
 * Input i = s·f·m + r − offset receives kernel tap κ from output j = (i + pad − d·κ)/s = f·m + δ whenever that is an integer:
 * for each of the s·f phases r a short correlation over j with stride f.
 */
function phasesFrom({ window, spatial, gradient }: Pick<Convolution, 'window' | 'spatial' | 'gradient'>, axis: number, fold: number, offset: number): Phases {
  const [s, d, k, pad] = [window.strides[axis]!, window.dilations[axis]!, window.kernel[axis]!, window.begin[axis]!];
  const meetings: { phase: number; tap: number; delta: number }[] = [];
  for (let phase = 0; phase < s * fold; phase++) {
    for (let tap = 0; tap < k; tap++) {
      const delta = (phase - offset + pad - d * tap) / s;
      if (Number.isInteger(delta)) meetings.push({ phase, tap, delta });
    }
  }
  const lowest = Math.min(...meetings.map((item) => item.delta));
  const tapCount = Math.max(...meetings.map((item) => item.delta)) - lowest + 1;
  const taps = Array.from({ length: s * fold * tapCount }, () => k);
  for (const { phase, tap, delta } of meetings) taps[phase * tapCount + delta - lowest] = tap;
  const extent = Math.ceil((offset + (spatial[axis] as number)) / (s * fold));
  const outputs = shapeOf(gradient)[axis + 2] as number;
  return { offset, extent, taps, tapCount, none: k, begin: -lowest, end: fold * (extent - 1) + tapCount - outputs + lowest };
}

/** The phases of least work; undefined where outputs lie beyond them. */
function phasesOf(convolution: Convolution, axis: number, fold: number): Phases | undefined {
  const work = ({ extent, tapCount }: Phases): number => extent * tapCount;
  return Array.from({ length: convolution.window.strides[axis]! * fold }, (_, offset) => phasesFrom(convolution, axis, fold, offset))
    .filter(({ begin, end }) => begin >= 0 && end >= 0).sort((a, b) => work(a) - work(b))[0];
}

/** Strides, and elements of a constant matrix that spreads or interleaves, beyond which ConvTranspose takes less. */
const largestStride = 256;
const largestMatrix = 2 ** 22;
/** Strides beyond which phases apart would be too many operators. */
const largestApart = 4;

/** dx as phases: every `stride · fold`-th element along both axes in channels of its own. @returns null where it does not fit */
function phaseConvolution(convolution: Convolution, fold: number): Contribution {
  const { context, builder, gradient, w, window, channels: [o, c], spatial } = convolution;
  const s = window.strides[0]! * fold;
  if (s > largestStride) return null;
  const [rows, columns] = [phasesOf(convolution, 0, fold), phasesOf(convolution, 1, fold)];
  if (!rows || !columns) return null;
  const axes = [rows, columns].map(({ offset, extent }, axis): Interleaved => ({ offset, extent, inputs: spatial[axis] as number })) as [Interleaved, Interleaved];
  if (permuted(s, axes) > largestMatrix) return null;
  const deferred = (parts: readonly (Value | null)[]): Contribution => ({
    key: `interleave ${parts.length} ${s} ${c} ${JSON.stringify(axes)}`, parts, finish: (sums) => interleave(builder, withZeros(builder, sums), s, c, axes),
  });
  const lacking = [rows, columns].some(({ taps, none }) => taps.includes(none));
  if (context.phases === 'apart' && lacking && s <= largestApart && fold === 1 && c % channelBlock === 0) return deferred(phasesApart(builder, gradient, w, rows, columns));
  const ordered = builder.op('Transpose', [tapsByPhase(builder, w, s, rows.taps, columns.taps)], { perm: [1, 2, 4, 0, 3, 5] });
  const kernel = builder.op('Reshape', [ordered, builder.ints([c * s * s, o, rows.tapCount, columns.tapCount])]);
  const pads = [rows.begin, columns.begin, rows.end, columns.end];
  return deferred([builder.op('Conv', [gradient, kernel], { kernel_shape: [rows.tapCount, columns.tapCount], strides: [fold, fold], dilations: [1, 1], group: 1, pads })]);
}

/** Every phase by a convolution of its own, with the taps that it has; in the order of (row, column). Null for those that no tap reaches. */
function phasesApart(builder: GraphBuilder, gradient: Value, kernel: Value, rows: Phases, columns: Phases): (Value | null)[] {
  return ownTaps(rows).flatMap((row) => ownTaps(columns).map((column) => {
    if (!row || !column) return null;
    const turned = builder.op('Transpose', [pickTaps(builder, kernel, row.taps, column.taps)], { perm: [1, 0, 2, 3] });
    const pads = [row.begin, column.begin, row.end, column.end];
    return builder.op('Conv', [gradient, turned], { kernel_shape: [row.taps.length, column.taps.length], strides: [1, 1], dilations: [1, 1], group: 1, pads });
  }));
}

/** The taps of each phase from the first to the last that it has, and the padding that these need; null for a phase without any. */
function ownTaps({ taps, tapCount, none, begin, end }: Phases): ({ readonly taps: readonly number[]; readonly begin: number; readonly end: number } | null)[] {
  return Array.from({ length: taps.length / tapCount }, (_, phase) => {
    const own = taps.slice(phase * tapCount, (phase + 1) * tapCount);
    const first = own.findIndex((tap) => tap !== none);
    if (first < 0) return null;
    const last = own.findLastIndex((tap) => tap !== none);
    // Padding is never negative: before inputs that are left out stand taps that are zero.
    const [from, to] = [Math.min(first, begin), Math.max(last, tapCount - 1 - end)];
    return { taps: Array.from({ length: to - from + 1 }, (_, i) => own[from + i] ?? none), begin: begin - from, end: end - (tapCount - 1 - to) };
  });
}

/**
 * The adjoint of a convolution of one group with stride s, every phase apart: [N, C, ⌈H / s⌉, ⌈W / s⌉] each, in the order of (row, column), null where
 * it is zero. Beyond H and W phases are whatever the taps give there.
 */
export function adjointInPhases(builder: GraphBuilder, gradient: Value, kernel: Value, window: Window, spatial: readonly number[]): (Value | null)[] {
  const [rows, columns] = [0, 1].map((axis) => phasesFrom({ window, spatial, gradient }, axis, 1, 0)) as [Phases, Phases];
  return phasesApart(builder, gradient, kernel, rows, columns);
}

/** Parts of equal shape with zeros for those that are null. */
function withZeros(builder: GraphBuilder, parts: readonly (Value | null)[]): Value[] {
  const some = parts.find((part) => part !== null)!;
  return parts.map((part) => part ?? fullLike({ builder }, some, 0));
}

/**
 * A kernel [a, b, …] with its taps in the order of (phase, tap) along both axes, [a, b, s, rows / s, s, columns / s], of the one stored weight.
 * @param rows kernel index per (phase, tap); the kernel's extent where a phase has no tap: zeros stand there
 */
function tapsByPhase(builder: GraphBuilder, kernel: Value, s: number, rows: readonly number[], columns: readonly number[]): Value {
  const [a, b] = shapeOf(kernel) as number[];
  return builder.op('Reshape', [pickTaps(builder, kernel, rows, columns), builder.ints([a!, b!, s, rows.length / s, s, columns.length / s])]);
}

/** A kernel [a, b, …] with the taps of these rows and columns; the kernel's extent stands for zeros. */
export function pickTaps(builder: GraphBuilder, kernel: Value, rows: readonly number[], columns: readonly number[]): Value {
  const extents = shapeOf(kernel).slice(2) as number[];
  const padded = [rows, columns].some((taps, axis) => taps.includes(extents[axis]!)) ? builder.op('Pad', [kernel, builder.ints([0, 0, 0, 0, 0, 0, 1, 1])]) : kernel;
  return builder.op('Gather', [builder.op('Gather', [padded, builder.ints(rows)], { axis: 2 }), builder.ints(columns)], { axis: 3 });
}

/** One axis of phases that become one image: elements of a phase, elements of the image, and those before it. */
interface Interleaved {
  readonly offset: number;
  readonly extent: number;
  readonly inputs: number;
}

/** Images of this many elements and fewer are interleaved by one product with a permutation of all of them. */
const smallImage = 64;

/** Elements of the permutation that interleaves. */
const permuted = (s: number, [rows, columns]: readonly [Interleaved, Interleaved]): number =>
  (rows.inputs * columns.inputs <= smallImage ? s * rows.extent * rows.inputs : 1) * s * columns.extent * columns.inputs;

/** [N, (c, phase row, phase column), rows, columns] as one value, or every phase [N, c, rows, columns] as one → [N, c, height, width]. */
function interleave(builder: GraphBuilder, phases: readonly Value[], s: number, c: number, [rows, columns]: readonly [Interleaved, Interleaved]): Value {
  const reshape = (value: Value, dims: readonly number[]): Value => builder.op('Reshape', [value, builder.ints(dims)]);
  const permutation = (places: readonly number[], from: number): Value => {
    const elements = new Array<number>(from * places.length).fill(0);
    for (const [to, place] of places.entries()) elements[place * places.length + to] = 1;
    return builder.constant(floats(phases[0]!.dtype!, elements, [from, places.length]), 'interleave');
  };
  /** Where an element of the image lies along an axis of (phase, element). */
  const placeOf = ({ offset, extent }: Interleaved, i: number): number => ((i + offset) % s) * extent + Math.floor((i + offset) / s);
  const along = (axis: Interleaved): number[] => Array.from({ length: axis.inputs }, (_, i) => placeOf(axis, i));
  if (rows.inputs * columns.inputs <= smallImage) {
    const area = rows.extent * columns.extent;
    const places = along(rows).flatMap((row) => along(columns).map((column) =>
      (Math.floor(row / rows.extent) * s + Math.floor(column / columns.extent)) * area + (row % rows.extent) * columns.extent + (column % columns.extent)));
    const flat = phases.map((phase) => reshape(phase, [-1, c, (s * s * area) / phases.length]));
    return reshape(builder.op('MatMul', [flat.length === 1 ? flat[0]! : builder.op('Concat', flat, { axis: 2 }), permutation(places, s * s * area)]), [-1, c, rows.inputs, columns.inputs]);
  }
  const byRow = phases.length === 1
    ? builder.op('Transpose', [reshape(phases[0]!, [-1, c, s, s, rows.extent, columns.extent])], { perm: [0, 1, 4, 2, 3, 5] }) : builder.op('Concat', phases, { axis: 3 });
  const wide = reshape(byRow, [-1, c, rows.extent * s, s * columns.extent]);
  const { offset, inputs } = rows;
  const cropped = rows.extent * s === inputs ? wide : builder.op('Slice', [wide, builder.ints([offset]), builder.ints([offset + inputs]), builder.ints([2])]);
  return builder.op('MatMul', [cropped, permutation(along(columns), s * columns.extent)]);
}

/** Rows of this many elements and fewer are spread faster than ConvTranspose, which engines leave to a loop over channels, takes. */
const widestSpread = 28;

/**
 * The adjoint of a strided convolution that works channel by channel: s − 1 zeros after each element and s − 1 rows of zeros
 * after each row, both by one MatMul with a constant matrix, then the rotated kernel with stride 1.
 * @returns null where it does not fit
 */
function spreadConvolution(convolution: Convolution, reach: readonly number[]): Value | null {
  const { builder, gradient, window, group, channels: [o, c], spatial } = convolution;
  const [s, other] = window.strides as [number, number];
  const [rows, columns] = shapeOf(gradient).slice(2) as [number, number];
  if (window.kernel.length !== 2 || group === 1 || c !== 1 || o !== group || s !== other || columns > widestSpread) return null;
  const before = reach.map((r, axis) => r - window.begin[axis]!);
  const after = [rows, columns].map((extent, axis) => (spatial[axis] as number) - s * extent + window.begin[axis]!);
  if ([...before, ...after].some((pad) => pad < 0) || (s * columns) ** 2 > largestMatrix) return null;
  const matrix = new Array<number>(columns * s * s * columns).fill(0);
  for (let column = 0; column < columns; column++) matrix[column * s * s * columns + column * s] = 1;
  const wide = builder.op('MatMul', [gradient, builder.constant(floats(gradient.dtype!, matrix, [columns, s * s * columns]), 'spread')]);
  const spread = builder.op('Reshape', [wide, builder.ints([-1, o, s * rows, s * columns])]);
  return builder.op('Conv', [spread, rotatedKernel(convolution)], {
    kernel_shape: window.kernel, strides: [1, 1], dilations: window.dilations, group, pads: [...before, ...after],
  });
}

function transposedConvolution({ context, builder, gradient, w, window, group }: Convolution, spatial: readonly number[]): Value {
  const outputPadding = spatial.map((extent, axis) => {
    const outputs = shapeOf(gradient)[axis + 2] as number;
    return extent - (window.strides[axis]! * (outputs - 1) + (window.kernel[axis]! - 1) * window.dilations[axis]! + 1 - window.begin[axis]! - window.end[axis]!);
  });
  if (outputPadding.some((pad) => pad < 0)) throw new UnsupportedError(`${context.where}: this combination of stride and padding cannot be differentiated.`);
  return builder.op('ConvTranspose', [gradient, w], {
    kernel_shape: window.kernel, strides: window.strides, dilations: window.dilations, group,
    pads: [...window.begin, ...window.end], output_padding: outputPadding,
  });
}

/**
 * The gradient of a kernel, [M, C / group, …]: the correlation of `image` [N, C, …] with `outputs` [N, M, …]. Batch and channels
 * change places, stride and dilation too; the groups of the image stand beside its batch.
 */
export function kernelGradient(context: RuleContext, image: Value, outputs: Value, window: Window, group: number): Value {
  const { builder, where } = context;
  const rest = window.kernel.map((_, axis) => axis + 2);
  const swap = (value: Value): Value => builder.op('Transpose', [value], { perm: [1, 0, ...rest] });
  const grouped = (): Value => {
    const [n, channels, ...spatial] = shapeOf(image);
    if (typeof channels !== 'number') throw new UnsupportedError(`${where}: the number of channels must be static.`);
    const split = reshapeTo(context, image, [n!, group, channels / group, ...spatial], [image]);
    const swapped = builder.op('Transpose', [split], { perm: [2, 1, 0, ...rest.map((axis) => axis + 1)] });
    return reshapeTo(context, swapped, [channels / group, product([group, n]) ?? `?${image.name}.groups`, ...spatial], [image]);
  };
  const full = builder.op('Conv', [group === 1 ? swap(image) : grouped(), swap(outputs)], {
    strides: window.dilations, dilations: window.strides, pads: [...window.begin, ...window.end], group,
  });
  // Rows and columns that the forward pass never reached give extra taps at the end.
  const cropped = builder.op('Slice', [full, builder.ints(rest.map(() => 0)), builder.ints(window.kernel), builder.ints(rest)]);
  return swap(cropped);
}
