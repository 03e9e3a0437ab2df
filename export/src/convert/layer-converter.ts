/** The form of a layer's converter, and what converters share. */
import { UnsupportedError } from '../errors.js';
import { shapeOf, type GraphBuilder } from '../ir/builder.js';
import type { Value } from '../ir/types.js';
import { axisIn, channelsFirst, plain, type Converted } from './layout.js';
import { activate } from './lowering/activations.js';
import type { Layer } from './tfjs-types.js';
import type { WeightArray } from './weights.js';

export { channelsFirst, plain, type Converted } from './layout.js';

export type { Layer } from './tfjs-types.js';

/** An array of the network and the initializer that holds it. */
export interface Parameter {
  /** The initializer in the graph. */
  readonly value: Value;
  /** Name of the tfjs weight. */
  readonly weight: string;
  /** Which of the network's `weights` it is; names need not be unique across nested models. */
  readonly index: number;
  /** Axes of the tfjs weight in the initializer's order; null: the same order. */
  readonly permutation: readonly number[] | null;
  /** What is done to the elements after that, where an order of axes does not say it all. */
  readonly arrange?: (data: Float32Array) => Float32Array;
}

/** How a weight is stored. */
export interface ParameterOptions {
  /** The layer that owns the weight. @default the layer that is converted */
  readonly of?: Layer;
  /** Extents of the initializer, where they are not those of the permuted weight. */
  readonly shape?: readonly number[];
  /** Reorders the elements of the permuted weight. */
  readonly arrange?: (data: Float32Array) => Float32Array;
}

/** What a converter has of the layer that it converts. */
export interface LayerContext {
  readonly builder: GraphBuilder;
  readonly layer: Layer;
  readonly config: Readonly<Record<string, unknown>>;
  /** What the layer was called with beside its inputs, for example `useCausalMask`. */
  readonly callArgs: Readonly<Record<string, unknown>>;
  /** For messages: class and name of the layer. */
  readonly where: string;
  /** Stores the layer's weight as an initializer. @param permutation axes of the tfjs weight in the order wanted */
  readonly parameter: (weight: string, permutation?: readonly number[], options?: ParameterOptions) => Value;
  /** The layer's weight as it is, for converters that bake in something derived from it. */
  readonly weight: (weight: string) => WeightArray;
  /** Converts one application of another layer, for wrappers and layers that hold others. */
  readonly apply: (layer: Layer, inputs: readonly Converted[], callArgs?: Readonly<Record<string, unknown>>) => readonly Converted[];
}

/** Translates one application of a layer; layers with several outputs give one each. */
export type LayerConverter = (context: LayerContext, inputs: readonly Converted[]) => Converted | readonly Converted[];

/** The single input of a layer. */
export function only({ where }: LayerContext, inputs: readonly Converted[]): Converted {
  if (inputs.length !== 1) throw new UnsupportedError(`${where}: expected one input, got ${inputs.length}.`);
  return inputs[0]!;
}

/** Refuses attributes whose value this converter does not implement, by name. */
export function requireConfig(context: LayerContext, key: string, allowed: readonly unknown[]): void {
  const found = context.config[key];
  if (found !== undefined && !allowed.includes(found)) {
    throw new UnsupportedError(`${context.where}: ${key} = ${JSON.stringify(found)} is not supported (supported: ${allowed.map((item) => JSON.stringify(item)).join(', ')}).`);
  }
}

/** An attribute that is a number for all spatial axes, or one number for each. */
export function perAxis(context: LayerContext, key: string, rank: number, fallback?: number): number[] {
  const value = context.config[key] ?? fallback;
  const numbers = Array.isArray(value) ? (value as unknown[]) : Array.from({ length: rank }, () => value);
  if (numbers.length !== rank || !numbers.every((number) => typeof number === 'number')) {
    throw new UnsupportedError(`${context.where}: ${key} = ${JSON.stringify(value)} is not supported (supported: a number, or ${rank} of them).`);
  }
  return numbers;
}

/** A numeric attribute. */
export function numberOf(context: LayerContext, key: string, fallback?: number): number {
  const value = context.config[key] ?? fallback;
  if (typeof value !== 'number') throw new UnsupportedError(`${context.where}: ${key} = ${JSON.stringify(value)} is not supported (supported: a number).`);
  return value;
}

/** The layer's activation function, over the last axis of the tfjs tensor where it concerns an axis. */
export function activated(context: LayerContext, x: Converted, key = 'activation'): Converted {
  const axis = axisIn(x, -1, context.where);
  return { value: activate(context.builder, context.config[key] ?? 'linear', x.value, axis, context.where, key), layout: x.layout };
}

/** The input of an image layer with channels first, whichever `dataFormat` the layer has. */
export function imageInput(context: LayerContext, inputs: readonly Converted[], rank?: number): Value {
  requireConfig(context, 'dataFormat', ['channelsLast', 'channelsFirst', null]);
  const input = only(context, inputs);
  const found = shapeOf(input.value).length;
  if (rank !== undefined && found !== rank) throw new UnsupportedError(`${context.where}: needs an input of rank ${rank}, got rank ${found}.`);
  return hasChannelsFirst(context) ? plain(context.builder, input) : channelsFirst(context, input);
}

/** The output of an image layer, made with channels first. */
export const imageOutput = (context: LayerContext, value: Value): Converted => ({ value, layout: hasChannelsFirst(context) ? 'plain' : 'channels-first' });

const hasChannelsFirst = ({ config }: LayerContext): boolean => config['dataFormat'] === 'channelsFirst';
