/** Tensors on their way through the conversion of a GraphModel, and what its operators' converters share. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf, type GraphBuilder } from '../../ir/builder.js';
import { boolean, float32, int64, type Constant } from '../../ir/constant.js';
import type { Dim, Value } from '../../ir/types.js';
import { product } from '../../ops/symbolic.js';
import { channelsFirst, plain, tfjsShape, toChannelsFirst, type Converted, type Layout } from '../layout.js';
import { permuted } from '../weights.js';
import type { DecodedWeight } from './decode-weights.js';
import type { Attributes } from './graph-def.js';

/**
 * A tensor is computed by the graph (`value`), a weight (`constant`), integers known at conversion that may name
 * symbolic extents (`extents`: a shape or a part of one), or one number in extents that are not all fixed (`uniform`).
 */
export type GraphTensor =
  | ({ readonly kind: 'value' } & Converted)
  | ({ readonly kind: 'constant'; readonly name: string } & DecodedWeight)
  | { readonly kind: 'extents'; readonly content: readonly Dim[]; readonly scalar: boolean }
  | { readonly kind: 'uniform'; readonly number: number; readonly dims: readonly Dim[] };

export const valueTensor = (value: Value, layout: Layout = 'plain'): GraphTensor => ({ kind: 'value', value, layout });
export const converted = ({ value, layout }: Converted): GraphTensor => ({ kind: 'value', value, layout });

/** What a converter has of the operator that it converts. */
export interface NodeContext {
  readonly builder: GraphBuilder;
  readonly attributes: Attributes;
  /** For messages: name and operator of the node. */
  readonly where: string;
  /** For names of nodes. */
  readonly name: string;
  /** Stores a weight. @param permutation axes in the order wanted @param shape extents after that */
  readonly store: (tensor: GraphTensor & { kind: 'constant' }, permutation?: readonly number[], shape?: readonly number[]) => Value;
}

/** Translates one node; its outputs in order. */
export type NodeConverter = (context: NodeContext, inputs: readonly GraphTensor[]) => GraphTensor | readonly GraphTensor[];

/** The n-th input. */
export function input({ where }: NodeContext, inputs: readonly GraphTensor[], index: number): GraphTensor {
  const tensor = inputs[index];
  if (!tensor) throw new UnsupportedError(`${where}: lacks its input ${index}.`);
  return tensor;
}

/** The n-th input as something computed, whatever it was. */
export function computed(context: NodeContext, inputs: readonly GraphTensor[], index = 0): Converted {
  const tensor = input(context, inputs, index);
  switch (tensor.kind) {
    case 'value': return tensor;
    case 'constant': return { value: context.store(tensor), layout: 'plain' };
    case 'extents': {
      const numbers = tensor.content.map((dim) => (typeof dim === 'number' ? dim : refuseSymbolic(context)));
      return { value: context.builder.op('Cast', [context.builder.constant(int64(numbers, tensor.scalar ? [] : [numbers.length]), 'ints')], { to: 6 }), layout: 'plain' };
    }
    case 'uniform': return refuseSymbolic(context);
    default: return tensor satisfies never;
  }
}

function refuseSymbolic({ where }: NodeContext): never {
  throw new UnsupportedError(`${where}: computes with an extent that is not fixed, which is not supported; fix it with \`inputShapes\`.`);
}

/** The n-th input as a weight. */
export function constant(context: NodeContext, inputs: readonly GraphTensor[], index: number, what: string): GraphTensor & { kind: 'constant' } {
  const tensor = input(context, inputs, index);
  if (tensor.kind !== 'constant') throw new UnsupportedError(`${context.where}: its ${what} is not a constant, which is not supported.`);
  return tensor;
}

/** Integers of the n-th input, names of symbolic extents included. */
export function extents(context: NodeContext, inputs: readonly GraphTensor[], index: number, what: string): readonly Dim[] {
  const tensor = input(context, inputs, index);
  if (tensor.kind === 'extents') return tensor.content;
  if (tensor.kind === 'constant') return Array.from(tensor.data);
  throw new UnsupportedError(`${context.where}: its ${what} is computed from data, which is not supported.`);
}

/** Integers of the n-th input, all of them known. */
export function integers(context: NodeContext, inputs: readonly GraphTensor[], index: number, what: string): number[] {
  return extents(context, inputs, index, what).map((dim) => (typeof dim === 'number' ? dim : refuseSymbolic(context)));
}

/** The product of extents, as a number of the conversion. */
export function productOf({ where }: NodeContext, dims: readonly Dim[]): GraphTensor {
  const total = product(dims);
  if (total === undefined) throw new UnsupportedError(`${where}: of the extents [${dims.join(', ')}], which is not supported; fix them with \`inputShapes\`.`);
  return { kind: 'extents', content: [total], scalar: true };
}

/** Extents of a tensor as TensorFlow orders them. */
export function shapeOfTensor(tensor: GraphTensor): readonly Dim[] {
  switch (tensor.kind) {
    case 'value': return tfjsShape(tensor);
    case 'constant': case 'uniform': return tensor.dims;
    case 'extents': return tensor.scalar ? [] : [tensor.content.length];
    default: return tensor satisfies never;
  }
}

/** The operands of an elementwise operator in one layout, ready for ONNX's broadcasting (which aligns the last axes). */
export function broadcastable(context: NodeContext, inputs: readonly GraphTensor[]): { values: Value[]; layout: Layout } {
  const rank = Math.max(...inputs.map((tensor) => shapeOfTensor(tensor).length));
  const image = rank >= 3 && inputs.some((tensor) => tensor.kind === 'value' && tensor.layout === 'channels-first' && shapeOf(tensor.value).length === rank);
  const values = inputs.map((tensor, index) => {
    const dims = shapeOfTensor(tensor);
    if (!image || dims.length === 0) return plain(context.builder, computed(context, inputs, index));
    if (tensor.kind === 'constant') {
      const full = [...Array.from({ length: rank - dims.length }, () => 1), ...tensor.dims];
      return context.store({ ...tensor, dims: full }, toChannelsFirst(rank), trimmed(toChannelsFirst(rank).map((axis) => full[axis]!)));
    }
    const operand = computed(context, inputs, index);
    if (dims.length === rank) return channelsFirst(context, operand);
    const raised = context.builder.op('Unsqueeze', [plain(context.builder, operand), context.builder.ints(Array.from({ length: rank - dims.length }, (_, axis) => axis))]);
    return channelsFirst(context, { value: raised, layout: 'plain' });
  });
  return { values, layout: image ? 'channels-first' : 'plain' };
}

/** Without leading extents of 1, which broadcasting supplies. */
function trimmed(shape: readonly number[]): number[] {
  const first = shape.findIndex((extent) => extent !== 1);
  return first < 0 ? [] : shape.slice(first);
}

/** A weight as a constant of the graph, with axes moved. */
export function constantOf({ dtype, dims, data }: DecodedWeight, permutation?: readonly number[], shape?: readonly number[]): Constant {
  if (dtype === 'bool') {
    if (data.length === 1) return { ...boolean(data[0] !== 0), dims: shape ?? dims };
    return { dtype, dims: shape ?? dims, data: Uint8Array.from(data) };
  }
  const moved = permutation ? permuted(data as Float32Array, dims, permutation) : { data, dims };
  if (dtype === 'float32') return float32(moved.data as Float32Array, shape ?? moved.dims);
  const integers = Int32Array.from(moved.data);
  return { dtype, dims: shape ?? moved.dims, data: new Uint8Array(integers.buffer) };
}
