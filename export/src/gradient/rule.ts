/** The form of a vector-Jacobian rule, and the few helpers that many rules share. */
import { UnsupportedError } from '../errors.js';
import { dtypeOf, shapeOf, type AttributeValues, type GraphBuilder } from '../ir/builder.js';
import { floats } from '../ir/constant.js';
import type { Node, Shape, Value } from '../ir/types.js';
import { product } from '../ops/symbolic.js';

/**
 * A gradient contribution whose last step is linear and can be shared: contributions to one value with equal keys are
 * added first, part by part, and `finish` runs once on the sums. (Adjoints of strided convolutions that meet in one sum share the
 * interleaving of their phases this way.)
 */
export interface Deferred {
  readonly key: string;
  /** Null is a part that is zero; not all of them are. */
  readonly parts: readonly (Value | null)[];
  readonly finish: (sums: readonly (Value | null)[]) => Value;
}

/** What a rule gives for one input; null where nothing flows, for example into integers. */
export type Contribution = Value | Deferred | null;

/**
 * How adjoints of strided convolutions compute every s-th row and column: all `together` by one convolution, in which zeros stand for the
 * taps that some do not have, or where channels fill blocks each `apart`: less work in more operators.
 */
export type Phasing = 'together' | 'apart';

export interface RuleContext {
  readonly node: Node;
  readonly builder: GraphBuilder;
  /** For messages: operator and name of the node. */
  readonly where: string;
  /** Gradients with respect to the outputs; null where none flows. */
  readonly outputGradients: readonly (Value | null)[];
  /** The gradient of the first output, which flows into most rules. */
  readonly gradient: Value;
  readonly phases: Phasing;
  /** Whether somebody needs the gradient of this input. Rules leave the others out. */
  readonly wants: (input: number) => boolean;
  /**
   * Differentiates the operator through an equivalent graph: `make` adds it and returns what stands for the first
   * output, or for the first few; the gradients of `inputs` come back, null where none flows or nobody wants it.
   */
  readonly expand: (make: () => Value | readonly Value[], inputs: readonly Value[]) => (Value | null)[];
}

/** A pure function from a node and its output gradients to its input gradients, in plain ai.onnx operators. */
export type Rule = (context: RuleContext) => readonly Contribution[];

/** Input `index`, which the operator requires. */
export function requiredInput(context: RuleContext, index: number): Value {
  const value = context.node.inputs[index];
  if (!value) throw new UnsupportedError(`${context.where}: lacks its input ${index}.`);
  return value;
}

export function requiredOutput(context: RuleContext, index = 0): Value {
  const value = context.node.outputs[index];
  if (!value) throw new UnsupportedError(`${context.where}: lacks its output ${index}.`);
  return value;
}

/** The attributes of a node, for another like it. */
export const attributesOf = (node: Node): AttributeValues =>
  Object.fromEntries([...node.attributes].flatMap(([name, attribute]) => (attribute.type === 'opaque' ? [] : [[name, attribute.value]])));

/** Sums a gradient over the axes along which `target` was broadcast. */
export function unbroadcast(context: RuleContext, gradient: Value, target: Value): Value {
  const { builder } = context;
  const [wide, narrow] = [shapeOf(gradient), shapeOf(target)];
  const lead = wide.length - narrow.length;
  const axes: number[] = [];
  for (const [axis, extent] of wide.entries()) {
    const own = axis < lead ? 1 : narrow[axis - lead]!;
    if (axis < lead || (own === 1 && extent !== 1)) axes.push(axis);
    else if (own !== extent && typeof own !== 'number') return unbroadcastAtRunTime(context, gradient, target);
  }
  if (axes.length === 0) return gradient;
  const sum = builder.op('ReduceSum', [gradient, builder.ints(axes)], { keepdims: lead === 0 ? 1 : 0 });
  return lead === 0 || axes.length === lead ? sum : builder.op('Reshape', [sum, builder.reshapeTarget(target)]);
}

/** Where symbols leave open which axes were broadcast: sums every axis whose extent in `target` turns out to be 1. */
function unbroadcastAtRunTime({ builder }: RuleContext, gradient: Value, target: Value): Value {
  const lead = shapeOf(gradient).length - shapeOf(target).length;
  const shape = builder.op('Shape', [target]);
  const padded = lead === 0 ? shape : builder.op('Concat', [builder.ints(Array.from({ length: lead }, () => 1)), shape], { axis: 0 });
  const axes = builder.op('Reshape', [builder.op('NonZero', [builder.op('Equal', [padded, builder.ints([1])])]), builder.ints([-1])]);
  const sum = builder.op('ReduceSum', [gradient, axes], { keepdims: 1, noop_with_empty_axes: 1 });
  const result = builder.op('Reshape', [sum, shape]);
  result.shape = target.shape;
  return result;
}

/** The whole shape of a value as int64 vector: a constant where it is known. */
export function shapeVector({ builder }: Pick<RuleContext, 'builder'>, value: Value): Value {
  const { shape } = value;
  return shape?.every((dim) => typeof dim === 'number') ? builder.ints(shape) : builder.op('Shape', [value]);
}

/** The extent of one axis as int64 vector of one element: a constant where it is known. */
export function extentVector({ builder }: Pick<RuleContext, 'builder'>, value: Value, axis: number): Value {
  const extent = shapeOf(value)[axis]!;
  return typeof extent === 'number' ? builder.ints([extent]) : builder.op('Gather', [builder.op('Shape', [value]), builder.ints([axis])], { axis: 0 });
}

/** `fill` in the shape of `value`. */
export function fullLike(context: Pick<RuleContext, 'builder'>, value: Value, fill: number): Value {
  const result = context.builder.op('Expand', [context.builder.scalar(fill, value), shapeVector(context, value)]);
  if (value.shape) result.shape = value.shape;
  return result;
}

/** Reshapes to extents that may be symbolic; each symbol is looked up in one of `sources`. */
export function reshapeTo({ builder, where }: RuleContext, value: Value, dims: Shape, sources: readonly Value[]): Value {
  const open = dims.filter((dim) => typeof dim !== 'number').length;
  if (open <= 1 && !dims.includes(0)) {
    const result = builder.op('Reshape', [value, builder.ints(dims.map((dim) => (typeof dim === 'number' ? dim : -1)))]);
    result.shape = dims;
    return result;
  }
  const parts = dims.map((dim) => {
    if (typeof dim === 'number') return builder.ints([dim]);
    for (const source of sources) {
      const axis = source.shape?.indexOf(dim) ?? -1;
      if (axis >= 0) return builder.op('Gather', [builder.op('Shape', [source]), builder.ints([axis])], { axis: 0 });
    }
    throw new UnsupportedError(`${where}: extent ${dim} cannot be told from the shapes at hand.`);
  });
  const result = builder.op('Reshape', [value, builder.op('Concat', parts, { axis: 0 })]);
  result.shape = dims;
  return result;
}

/** A reduction that keeps its axes, in the form that the model's opset has (axes became an input at 18). */
export function reduceKeeping({ builder }: Pick<RuleContext, 'builder'>, opType: 'ReduceMean' | 'ReduceMax' | 'ReduceProd' | 'ReduceL2', value: Value, axes: readonly number[]): Value {
  return builder.opset >= 18 ? builder.op(opType, [value, builder.ints(axes)], { keepdims: 1 }) : builder.op(opType, [value], { axes, keepdims: 1 });
}

/**
 * Applies a constant matrix [from, to] along one axis: the adjoint of every operator that is linear along an axis
 * (resizing, average pooling, padding by reflection), right on every engine because it is a MatMul.
 */
export function applyAlong(context: RuleContext, value: Value, axis: number, matrix: readonly (readonly number[])[]): Value {
  const { builder, where } = context;
  const shape = shapeOf(value);
  const [from, to] = [matrix.length, matrix[0]?.length ?? 0];
  if (shape[axis] !== from) throw new UnsupportedError(`${where}: the extent of axis ${axis} is ${String(shape[axis])} where ${from} was expected.`);
  const last = axis === shape.length - 1;
  if (last) return builder.op('MatMul', [value, builder.constant(floats(dtypeOf(value), matrix.flat(), [from, to]), 'matrix')]);
  const transposed = Array.from({ length: to }, (_, column) => matrix.map((row) => row[column]!)).flat();
  const weights = builder.constant(floats(dtypeOf(value), transposed, [to, from]), 'matrix');
  if (axis === shape.length - 2) return builder.op('MatMul', [weights, value]);
  const inner = shape.slice(axis + 1);
  const flat = builder.op('MatMul', [weights, flattenInner(context, value, axis)]);
  return reshapeTo(context, flat, [...shape.slice(0, axis), to, ...inner], [value]);
}

/** Refuses matrices that would not fit into memory, before they are made. */
export function checkMatrixSize({ where }: Pick<RuleContext, 'where'>, from: number, to: number): void {
  if (from * to > 2 ** 24) throw new UnsupportedError(`${where}: its gradient would need a constant matrix of ${from} × ${to} elements.`);
}

/** Axes beyond this have no constant list of indices, one for each element: the running graph makes it. */
export const longestList = 2 ** 16;

/** Joins all axes after `axis` into one. */
function flattenInner(context: RuleContext, value: Value, axis: number): Value {
  const shape = shapeOf(value);
  const joined = product(shape.slice(axis + 1));
  const outer = shape.slice(0, axis + 1);
  // One open extent is left to Reshape; more are looked up.
  if (typeof joined === 'number') return reshapeTo(context, value, [...outer, joined], [value]);
  if (outer.every((dim) => typeof dim === 'number')) return context.builder.op('Reshape', [value, context.builder.ints([...outer, -1])]);
  return context.builder.op('Reshape', [value, context.builder.op('Concat', [...outer.map((_, at) => extentVector(context, value, at)), context.builder.ints([-1])], { axis: 0 })]);
}

/**
 * z times so large a factor that all but tiny numbers go beyond 1: the slope of a kink at zero is Clip(magnified z, left, 1). No number of
 * float16 is large enough for its small ones (60000 takes 10⁻⁵ to 0.6), so that there are two factors.
 */
export function magnified(builder: GraphBuilder, z: Value): Value {
  const factors = dtypeOf(z) === 'float16' ? [6e4, 6e4] : [1e30];
  return factors.reduce((value, factor) => builder.op('Mul', [value, builder.scalar(factor, z)]), z);
}
