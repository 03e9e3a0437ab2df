/** The form of a layer's converter, and what converters share. */
import type { layers } from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '../errors.js';
import { shapeOf, type GraphBuilder } from '../ir/builder.js';
import { float32 } from '../ir/constant.js';
import type { Value } from '../ir/types.js';

export type Layer = layers.Layer;

/**
 * A tfjs tensor on its way through the conversion. tfjs keeps channels last; an image-like tensor is held channels first
 * throughout, so that no Transpose is needed between layers.
 */
export interface Converted {
  readonly value: Value;
  /** `channels-first`: the last axis of the tfjs tensor is axis 1 here. `plain`: axes as in tfjs. */
  readonly layout: 'plain' | 'channels-first';
}

/** A trainable array of the network and the initializer that holds it. */
export interface Parameter {
  /** The initializer in the graph. */
  readonly value: Value;
  /** Name of the tfjs weight. */
  readonly weight: string;
  /** Axes of the tfjs weight in the initializer's order; null: the same order. */
  readonly permutation: readonly number[] | null;
}

export interface LayerContext {
  readonly builder: GraphBuilder;
  readonly layer: Layer;
  readonly config: Readonly<Record<string, unknown>>;
  /** For messages: class and name of the layer. */
  readonly where: string;
  /** Stores the layer's weight as an initializer. @param permutation axes of the tfjs weight in the order wanted */
  readonly parameter: (weight: string, permutation?: readonly number[]) => Value;
}

/** Translates one application of a layer. */
export type LayerConverter = (context: LayerContext, inputs: readonly Converted[]) => Converted;

/** The single input of a layer. */
export function only({ where }: LayerContext, inputs: readonly Converted[]): Converted {
  if (inputs.length !== 1) throw new UnsupportedError(`${where}: expected one input, got ${inputs.length}.`);
  return inputs[0]!;
}

/** The value with axes as in tfjs. */
export function plain(builder: GraphBuilder, { value, layout }: Converted): Value {
  if (layout === 'plain') return value;
  const shape = shapeOf(value);
  const rank = shape.length;
  const trivial = shape[1] === 1 || shape.slice(2).every((dim) => dim === 1);
  const perm = [0, ...Array.from({ length: rank - 2 }, (_, axis) => axis + 2), 1];
  if (!trivial) return builder.op('Transpose', [value], { perm });
  return builder.op('Reshape', [value, builder.ints([-1, ...perm.slice(1).map((axis) => shape[axis] as number)])]);
}

/** The value with channels first. */
export function channelsFirst(context: LayerContext, { value, layout }: Converted): Value {
  if (layout === 'channels-first') return value;
  const rank = shapeOf(value).length;
  if (rank < 3) throw new UnsupportedError(`${context.where}: needs an image-like input, got rank ${rank}.`);
  return context.builder.op('Transpose', [value], { perm: [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, axis) => axis + 1)] });
}

/** Refuses attributes whose value this converter does not implement, by name. */
export function requireConfig(context: LayerContext, key: string, allowed: readonly unknown[]): void {
  const found = context.config[key];
  if (found !== undefined && !allowed.includes(found)) {
    throw new UnsupportedError(`${context.where}: ${key} = ${JSON.stringify(found)} is not supported (supported: ${allowed.map((item) => JSON.stringify(item)).join(', ')}).`);
  }
}

/** Reorders the axes of a row-major array. */
export function permuted(data: Float32Array, dims: readonly number[], permutation: readonly number[]): { data: Float32Array; dims: number[] } {
  const target = permutation.map((axis) => dims[axis]!);
  const strides = dims.map((_, axis) => dims.slice(axis + 1).reduce((a, b) => a * b, 1));
  const result = new Float32Array(data.length);
  const index = target.map(() => 0);
  for (let at = 0; at < result.length; at++) {
    let from = 0;
    for (let axis = 0; axis < index.length; axis++) from += index[axis]! * strides[permutation[axis]!]!;
    result[at] = data[from]!;
    for (let axis = index.length - 1; axis >= 0 && ++index[axis]! === target[axis]; axis--) index[axis] = 0;
  }
  return { data: result, dims: target };
}

export const constantOf = (data: Float32Array, dims: readonly number[]): ReturnType<typeof float32> => float32(data, dims);
