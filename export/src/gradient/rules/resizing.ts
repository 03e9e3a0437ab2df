/** Resizing: a matrix per axis, made as the operator's definition has it, and its transpose as the adjoint. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { floats } from '../../ir/constant.js';
import type { DataType, Node, Value } from '../../ir/types.js';
import { floatOf, intOf, stringOf } from '../../ops/operator.js';
import { commonScale, resizedAxes } from '../../ops/resizing.js';
import { applyAlong, attributesOf, checkMatrixSize, extentVector, requiredInput, requiredOutput, type Rule, type RuleContext } from '../rule.js';
import { backThroughUnits } from './moving.js';

interface Sampling {
  readonly mode: string;
  readonly coordinates: string;
  readonly nearest: string;
  readonly cubic: number;
  readonly antialias: boolean;
  readonly excludeOutside: boolean;
}

function samplingOf(node: Node): Sampling {
  return {
    mode: stringOf(node, 'mode', 'nearest'),
    coordinates: stringOf(node, 'coordinate_transformation_mode', 'half_pixel'),
    nearest: stringOf(node, 'nearest_mode', 'round_prefer_floor'),
    cubic: floatOf(node, 'cubic_coeff_a', -0.75),
    antialias: intOf(node, 'antialias', 0) === 1,
    excludeOutside: intOf(node, 'exclude_outside', 0) === 1,
  };
}

/** Position in the input that output `i` is taken from. */
function positionOf(i: number, from: number, to: number, scale: number, coordinates: string, where: string): number {
  switch (coordinates) {
    case 'half_pixel': return (i + 0.5) / scale - 0.5;
    case 'pytorch_half_pixel': return to > 1 ? (i + 0.5) / scale - 0.5 : 0;
    case 'asymmetric': return i / scale;
    case 'align_corners': return to > 1 ? (i * (from - 1)) / (to - 1) : 0;
    case 'half_pixel_symmetric': {
      const centre = from / 2;
      const offset = centre * (1 - to / (scale * from));
      return offset + (i + 0.5) / scale - 0.5;
    }
    default: throw new UnsupportedError(`${where}: coordinate_transformation_mode ${JSON.stringify(coordinates)} cannot be differentiated.`);
  }
}

function nearestIndex(position: number, mode: string, where: string): number {
  switch (mode) {
    case 'floor': return Math.floor(position);
    case 'ceil': return Math.ceil(position);
    case 'round_prefer_floor': return Math.ceil(position - 0.5);
    case 'round_prefer_ceil': return Math.floor(position + 0.5);
    default: throw new UnsupportedError(`${where}: nearest_mode ${JSON.stringify(mode)} is not known.`);
  }
}

/** Whether single precision, in which engines have factors and positions, decides which input is the nearest of some output. */
function isRounded(from: number, to: number, scale: number, { mode, nearest, coordinates }: Sampling, where: string): boolean {
  if (mode !== 'nearest') return false;
  const edge = nearest === 'floor' || nearest === 'ceil' ? 0 : 0.5;
  return Array.from({ length: to }, (_, i) => positionOf(i, from, to, scale, coordinates, where)).some((position) => {
    const beside = Math.abs(position - edge - Math.round(position - edge));
    return beside < 1e-5 * (1 + Math.abs(position)) && (beside > 0 || Math.fround(scale) !== scale);
  });
}

/** Weight of a tap at distance d: the hat function, or Keys's cubic. */
function weightAt(distance: number, { mode, cubic: a }: Sampling): number {
  const d = Math.abs(distance);
  if (mode === 'linear') return Math.max(0, 1 - d);
  if (d <= 1) return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1;
  return d < 2 ? a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a : 0;
}

/** Row i holds the weights with which the inputs make output i. */
function samplingMatrix(from: number, to: number, scale: number, sampling: Sampling, where: string): number[][] {
  return Array.from({ length: to }, (_, i) => {
    const row = new Array<number>(from).fill(0);
    const position = positionOf(i, from, to, scale, sampling.coordinates, where);
    const clamped = (index: number): number => Math.min(from - 1, Math.max(0, index));
    if (sampling.mode === 'nearest') {
      row[clamped(nearestIndex(position, sampling.nearest, where))] = 1;
      return row;
    }
    // Antialiasing widens the kernel by the factor of reduction.
    const stretch = sampling.antialias ? Math.min(scale, 1) : 1;
    const support = (sampling.mode === 'linear' ? 1 : 2) / stretch;
    const taps: { at: number; weight: number }[] = [];
    for (let at = Math.floor(position - support); at <= Math.ceil(position + support); at++) {
      const weight = weightAt((at - position) * stretch, sampling);
      if (weight !== 0) taps.push({ at, weight: sampling.excludeOutside && (at < 0 || at >= from) ? 0 : weight });
    }
    const total = taps.reduce((sum, { weight }) => sum + weight, 0);
    for (const { at, weight } of taps) row[clamped(at)]! += sampling.antialias || sampling.excludeOutside ? weight / total : weight;
    return row;
  });
}

const resize: Rule = (context) => {
  const { builder, node, where } = context;
  const [x, y] = [requiredInput(context, 0), requiredOutput(context)];
  const sampling = samplingOf(node);
  if (!['nearest', 'linear', 'cubic'].includes(sampling.mode)) throw new UnsupportedError(`${where}: mode ${JSON.stringify(sampling.mode)} is not known.`);
  const [shape, resized] = [shapeOf(x), shapeOf(y)];
  const axes = resizedAxes(node, shape.length, where);
  const given = node.inputs[2]?.shape?.[0] === 0 ? null : node.inputs[2];
  const common = commonScale(node, shape, where);
  if (common === null) throw new UnsupportedError(`${where}: with a keep_aspect_ratio_policy, its sizes and the extents of its input must be known.`);
  const scales = common !== undefined ? axes.map(() => common) : given ? builder.constantNumbers(given) : undefined;
  if (given && !scales) return [axes.reduce<Value>((value, axis, at) => alongAtRunTime(context, value, axis, at, given), context.gradient)];
  const pooled = poolInstead(context, axes, scales, sampling);
  if (pooled) return [pooled];
  // ONNX Runtime copies what keeps all its extents, whatever the factors.
  const copied = shape.every((from, axis) => from === resized[axis]);
  return [axes.reduce<Value>((value, axis, at) => {
    const [from, to, scale] = [shape[axis]!, resized[axis]!, scales?.[at]];
    if (scale === 1 || (from === to && scale === undefined)) return value;
    const open = typeof from !== 'number' || typeof to !== 'number';
    if (!open) checkMatrixSize(context, from, to);
    // Where engines differ (which corners, extents' or factors', are aligned; how positions are rounded), theirs is the answer.
    const disputed = open || sampling.coordinates === 'tf_crop_and_resize' || (copied && scale !== undefined)
      || (sampling.coordinates === 'align_corners' && scale !== undefined && !Number.isInteger(from * scale))
      || isRounded(from, to, scale ?? to / from, sampling, where);
    if (disputed && common !== undefined) throw new UnsupportedError(`${where}: a keep_aspect_ratio_policy with coordinate_transformation_mode ${JSON.stringify(sampling.coordinates)} cannot be differentiated for these extents.`);
    if (disputed) return alongAtRunTime(context, value, axis, at, given ?? null);
    return applyAlong(context, value, axis, samplingMatrix(from, to, scale ?? to / from, sampling, where));
  }, context.gradient)];
};

/** With factors or extents that only the running graph knows, and where engines differ: by the engine's own resizing. */
function alongAtRunTime(context: RuleContext, value: Value, axis: number, at: number, scales: Value | null): Value {
  const { builder: b, node, where } = context;
  const count = resizedAxes(node, shapeOf(requiredInput(context, 0)).length, where).length;
  const single = (list: Value, index: number): Value => b.op('Slice', [list, b.ints([index]), b.ints([index + 1])]);
  const typed = (dtype: DataType, numbers: readonly number[]): Value => b.constant(floats(dtype, numbers));
  const roi = stringOf(node, 'coordinate_transformation_mode', 'half_pixel') === 'tf_crop_and_resize' ? node.inputs[1] : null;
  const region = roi && b.op('Concat', [typed(dtypeOf(roi), [0, 0]), single(roi, at), typed(dtypeOf(roi), [0, 1, 1]), single(roi, at + count), typed(dtypeOf(roi), [1])], { axis: 0 });
  const attributes = { ...attributesOf(node), axes: undefined, keep_aspect_ratio_policy: undefined, extrapolation_value: undefined };
  return backThroughUnits(context, value, axis, (units, extent) => {
    const factors = scales && b.op('Concat', [typed('float32', [1, 1]), single(scales, at), typed('float32', [1])], { axis: 0 });
    const sizes = scales ? null : b.op('Concat', [extent, b.ints([1]), extentVector(context, requiredOutput(context), axis), b.ints([1])], { axis: 0 });
    return b.op('Resize', [units, region ?? null, factors, sizes], attributes);
  });
}

/** Enlarging by whole factors repeats every element: the adjoint is an average over blocks, times their size. */
function poolInstead({ builder, node, where, gradient }: RuleContext, axes: readonly number[], scales: readonly number[] | undefined, sampling: Sampling): Value | undefined {
  const x = node.inputs[0]!;
  const [shape, resized] = [shapeOf(x), shapeOf(node.outputs[0]!)];
  const factors = shape.map((from, axis): number => {
    const at = axes.indexOf(axis);
    if (at < 0) return 1;
    if (scales?.[at] !== undefined) return scales[at];
    const to = resized[axis]!;
    return from === to ? 1 : typeof from === 'number' && typeof to === 'number' ? to / from : Number.NaN;
  });
  const repeats = (factor: number): boolean => Number.isInteger(factor) && factor >= 1
    && (factor === 1 || samplingMatrix(5, 5 * factor, factor, sampling, where).every((row, i) => row[Math.floor(i / factor)] === 1));
  if (sampling.mode !== 'nearest' || shape.length < 3 || factors[0] !== 1 || factors[1] !== 1 || !factors.every(repeats)) return undefined;
  const block = factors.slice(2);
  if (block.every((factor) => factor === 1)) return gradient;
  // Scaled first: ONNX Runtime (1.30) fuses a Pad that ends right before a pool into it, and loses its zeros.
  const scaled = builder.op('Mul', [gradient, builder.scalar(block.reduce((a, b) => a * b, 1), gradient)]);
  return Object.assign(builder.op('AveragePool', [scaled], { kernel_shape: block, strides: block, pads: [...block, ...block].map(() => 0) }), { shape });
}

export const resizingRules: Readonly<Record<string, Rule>> = {
  Resize: resize,
  DepthToSpace: (context) => {
    const { builder, node, gradient } = context;
    const x = requiredInput(context, 0);
    const block = intOf(node, 'blocksize', 1);
    const depth = builder.op('SpaceToDepth', [gradient], { blocksize: block });
    if (stringOf(node, 'mode', 'DCR') === 'DCR') return [Object.assign(depth, { shape: x.shape })];
    // SpaceToDepth orders channels by (block row, block column, channel); CRD wants (channel, block row, block column).
    const channels = shapeOf(x)[1];
    if (typeof channels !== 'number') throw new UnsupportedError(`${context.where}: the number of channels must be static.`);
    const each = channels / block ** 2;
    const order = Array.from({ length: channels }, (_, i) => (i % block ** 2) * each + Math.floor(i / block ** 2));
    return [Object.assign(builder.op('Gather', [depth, builder.ints(order)], { axis: 1 }), { shape: x.shape, dtype: dtypeOf(x) })];
  },
  SpaceToDepth: (context) => {
    const { builder, node, gradient } = context;
    return [Object.assign(builder.op('DepthToSpace', [gradient], { blocksize: intOf(node, 'blocksize', 1), mode: stringOf(node, 'mode', 'DCR') }), { shape: requiredInput(context, 0).shape })];
  },
};
