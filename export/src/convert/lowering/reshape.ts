/** Reshape, Permute and axis-wise helpers on tensors of either layout. */
import { UnsupportedError } from '../../errors.js';
import type { GraphBuilder } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { fixed, permuteAxes, plain, range, tfjsShape, toChannelsFirst, type Converted } from '../layout.js';

/**
 * Reshape of a tfjs tensor, batch axis kept. A tensor with channels first stays so where the last extent is kept.
 * @param target extents after the batch axis; one of them may be −1
 */
export function reshape(builder: GraphBuilder, input: Converted, target: readonly number[], where: string): Converted {
  const [, ...extents] = tfjsShape(input).map((dim, axis) => (axis === 0 ? 0 : fixed(dim, where, 'Reshape')));
  const resolved = resolveExtents(extents, target, where);
  if (resolved.length === extents.length && resolved.every((dim, axis) => dim === extents[axis])) return input;
  if (input.layout === 'channels-first' && resolved.length >= 2 && resolved.at(-1) === extents.at(-1)) {
    return { value: builder.op('Reshape', [input.value, builder.ints([-1, resolved.at(-1)!, ...resolved.slice(0, -1)])]), layout: 'channels-first' };
  }
  return { value: builder.op('Reshape', [plain(builder, input), builder.ints([-1, ...resolved])]), layout: 'plain' };
}

function resolveExtents(extents: readonly number[], target: readonly number[], where: string): number[] {
  const total = extents.reduce((a, b) => a * b, 1);
  const known = target.filter((dim) => dim >= 0).reduce((a, b) => a * b, 1);
  const resolved = target.map((dim) => (dim < 0 ? total / known : dim));
  const size = resolved.reduce((a, b) => a * b, 1);
  if (size !== total || !resolved.every(Number.isInteger)) throw new UnsupportedError(`${where}: [${extents.join(', ')}] does not reshape to [${target.join(', ')}].`);
  return resolved;
}

/** Transpose of a tfjs tensor; the result takes whichever layout spares moving elements. */
export function permute(builder: GraphBuilder, input: Converted, perm: readonly number[]): Converted {
  const rank = perm.length;
  const order = input.layout === 'plain' ? range(0, rank) : toChannelsFirst(rank);
  // Axis of the value that holds axis perm[i] of the tfjs tensor.
  const toPlain = perm.map((axis) => order.indexOf(axis));
  const isIdentity = (axes: readonly number[]): boolean => axes.every((axis, index) => axis === index);
  if (rank >= 3) {
    const toImage = toChannelsFirst(rank).map((axis) => toPlain[axis]!);
    if (isIdentity(toImage)) return { value: input.value, layout: 'channels-first' };
  }
  return { value: permuteAxes(builder, input.value, toPlain), layout: 'plain' };
}

/** Slices one axis of a value, from `start` to before `end`. */
export const sliceAxis = (builder: GraphBuilder, x: Value, axis: number, start: number, end: number, step = 1): Value =>
  builder.op('Slice', [x, builder.ints([start]), builder.ints([end]), builder.ints([axis]), builder.ints([step])]);

/** Pads of a tfjs tensor, [before, after] per tfjs axis, in the order of the value's axes. */
export function padValue(builder: GraphBuilder, input: Converted, amounts: readonly (readonly [number, number])[], options: { mode?: string; fill?: number } = {}): Converted {
  const ordered = input.layout === 'plain' ? amounts : toChannelsFirst(amounts.length).map((axis) => amounts[axis]!);
  if (ordered.every(([before, after]) => before === 0 && after === 0)) return input;
  const pads = builder.ints([...ordered.map(([before]) => before), ...ordered.map(([, after]) => after)]);
  const fill = options.fill ? builder.scalar(options.fill, input.value) : null;
  return { value: builder.op('Pad', [input.value, pads, fill], options.mode ? { mode: options.mode } : {}), layout: input.layout };
}

