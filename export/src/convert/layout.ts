/**
 * Layouts: tfjs keeps channels last; an image-like tensor is held channels first from layer to layer, so that no
 * Transpose is needed between them.
 */
import { UnsupportedError } from '../errors.js';
import { shapeOf, type GraphBuilder } from '../ir/builder.js';
import type { Dim, Value } from '../ir/types.js';

/** `channels-first`: the last axis of the tfjs tensor is axis 1 here. `plain`: axes as in tfjs. */
export type Layout = 'plain' | 'channels-first';

/** A tfjs tensor on its way through the conversion. */
export interface Converted {
  readonly value: Value;
  readonly layout: Layout;
}

/** Axes of a channels-last tensor in channels-first order. */
export const toChannelsFirst = (rank: number): number[] => [0, rank - 1, ...range(1, rank - 1)];
/** Axes of a channels-first tensor in channels-last order. */
export const toChannelsLast = (rank: number): number[] => [0, ...range(2, rank), 1];

/** The numbers from `from` to before `to`. */
export const range = (from: number, to: number): number[] => Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);

/** Where an axis of the tfjs tensor is in the value that stands for it; negative axes count from the end. */
export function axisIn({ value, layout }: Converted, axis: number, where: string): number {
  const rank = shapeOf(value).length;
  const positive = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || positive < 0 || positive >= rank) throw new UnsupportedError(`${where}: axis ${axis} is outside a tensor of rank ${rank}.`);
  return layout === 'plain' ? positive : toChannelsFirst(rank).indexOf(positive);
}

/** Extents of the tfjs tensor. */
export function tfjsShape({ value, layout }: Converted): readonly Dim[] {
  const shape = shapeOf(value);
  return layout === 'plain' ? shape : toChannelsLast(shape.length).map((axis) => shape[axis]!);
}

/** The value with axes as in tfjs. */
export function plain(builder: GraphBuilder, { value, layout }: Converted): Value {
  return layout === 'plain' ? value : permuteAxes(builder, value, toChannelsLast(shapeOf(value).length));
}

/** The value with channels first. */
export function channelsFirst({ builder, where }: { readonly builder: GraphBuilder; readonly where: string }, { value, layout }: Converted): Value {
  if (layout === 'channels-first') return value;
  const rank = shapeOf(value).length;
  if (rank < 3) throw new UnsupportedError(`${where}: needs an image-like input, got rank ${rank}.`);
  return permuteAxes(builder, value, toChannelsFirst(rank));
}

/** The value in the given layout. */
export const inLayout = (context: { readonly builder: GraphBuilder; readonly where: string }, converted: Converted, layout: Layout): Value =>
  layout === 'plain' ? plain(context.builder, converted) : channelsFirst(context, converted);

/** Reorders axes; by Reshape where only axes of extent 1 move, and not at all where nothing moves. */
export function permuteAxes(builder: GraphBuilder, value: Value, perm: readonly number[]): Value {
  if (perm.every((axis, index) => axis === index)) return value;
  const shape = shapeOf(value);
  const moving = perm.filter((axis) => shape[axis] !== 1);
  const target = perm.map((axis) => shape[axis]!);
  const inOrder = moving.every((axis, index) => index === 0 || axis > moving[index - 1]!);
  if (!inOrder || target.filter((dim) => typeof dim !== 'number').length > 1) return builder.op('Transpose', [value], { perm });
  return builder.op('Reshape', [value, builder.ints(target.map((dim) => (typeof dim === 'number' ? dim : -1)))]);
}

/** Brings tensors of one rank into one layout: channels first where any of them is. */
export function sameLayout(context: { readonly builder: GraphBuilder; readonly where: string }, inputs: readonly Converted[]): { values: Value[]; layout: Layout } {
  const layout: Layout = inputs.some((input) => input.layout === 'channels-first') ? 'channels-first' : 'plain';
  return { values: inputs.map((input) => inLayout(context, input, layout)), layout };
}

/** A numeric extent, or an error that says what to do. */
export function fixed(dim: Dim | undefined, where: string, what = 'this layer'): number {
  if (typeof dim === 'number') return dim;
  throw new UnsupportedError(`${where}: ${what} needs a fixed extent where the model has ${String(dim)}; fix it with \`inputShapes\`.`);
}
