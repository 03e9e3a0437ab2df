/**
 * Winograd's minimal filtering F(4×4, 3×3) as plain MatMuls: 16 outputs of a 3×3 convolution from 36 products instead of 144
 * (Lavin and Gray 2016, arXiv 1509.09308). Channels come last, so that every operand lies as MatMul reads it.
 */
import type { GraphBuilder } from '../ir/builder.js';
import { shapeOf } from '../ir/builder.js';
import { float32, type Constant } from '../ir/constant.js';
import type { Dim, Value } from '../ir/types.js';
import type { Window } from '../ops/convolution.js';

/** Outputs and inputs of a tile, along one axis. */
const [outputs, inputs, taps] = [4, 6, 3];

/**
 * Where the polynomials are evaluated, besides infinity. Of the points tried these round least: 8·10⁻⁷ of the output at 128
 * channels, where the customary 0, ±1, ±2 give 2·10⁻⁶ and direct summation 1·10⁻⁷.
 */
const points = [0, 0.6, -0.6, 1.5, -1.5];

/** Coefficients of Π (t − root), constant term first. */
const polynomial = (roots: readonly number[]): number[] =>
  roots.reduce<number[]>((product, root) => [0, ...product].map((shifted, power) => shifted - root * (product[power] ?? 0)), [1]);

const others = (i: number): number[] => points.filter((_, j) => j !== i);
const powers = (point: number, count: number): number[] => Array.from({ length: count }, (_, power) => point ** power);
const last = (length: number): number[] => Array.from({ length }, (_, i) => (i === length - 1 ? 1 : 0));

/** Kernel [3] → its values at the points [6], divided so that the other two matrices need no fractions. */
const ofKernel = [...points.map((point, i) => powers(point, taps).map((power) => power / others(i).reduce((product, other) => product * (point - other), 1))), last(taps)];
/** Inputs of a tile [6] → their values at the points [6]. */
const ofInput = [...points.map((_, i) => [...polynomial(others(i)), 0]), polynomial(points)];
/** Values at the points [6] → outputs of a tile [4]. */
const ofOutput = Array.from({ length: outputs }, (_, row) => [...points.map((point) => point ** row), row === outputs - 1 ? 1 : 0]);

/** One object for each geometry, so that all graphs of a bundle share it. */
const kept = new Map<string, Constant>();
function constant(builder: GraphBuilder, dims: readonly number[], key: string, make: () => number[]): Value {
  const name = `${key} ${dims.join()}`;
  let value = kept.get(name);
  if (!value) kept.set(name, value = float32(make(), dims));
  return builder.constant(value, 'winograd');
}

/**
 * [6, …ones, tiles, extent]: for each point the rows that take an axis with this padding to its tiles' values there.
 * Most of it is zeros, and still a MatMul with it is faster than cutting out the tiles.
 */
function tiling(builder: GraphBuilder, ones: readonly number[], tiles: number, extent: number, begin: number): Value {
  return constant(builder, [inputs, ...ones, tiles, extent], `tiles ${begin}`, () =>
    ofInput.flatMap((row) => Array.from({ length: tiles }, (_, tile) => Array.from({ length: extent }, (_, at) => row[at + begin - outputs * tile] ?? 0)).flat()));
}

/** Whether tiles cover an axis of so many outputs exactly. */
export const isCovered = (extent: number): boolean => extent % outputs === 0;

/** Whether the algorithm computes this convolution: 3×3, stride 1, no dilation. */
export const isTiled = ({ kernel, strides, dilations }: Window): boolean =>
  kernel.length === 2 && kernel.every((extent) => extent === taps) && strides.every((stride) => stride === 1) && dilations.every((dilation) => dilation === 1);

/**
 * Convolution of x [N, H, W, C] with a kernel [O, C, 3, 3] → [N, H′, W′, O], for which `isTiled` holds.
 * @param extents [H′, W′]: where they are no multiples of 4, the last tiles reach beyond them, which costs their work and a copy
 */
export function winogradConvolution(builder: GraphBuilder, x: Value, kernel: Value, window: Window, [rows, columns]: readonly [number, number]): Value {
  const [n, height, width, c] = shapeOf(x) as [Dim, number, number, number];
  const o = shapeOf(kernel)[0] as number;
  const [down, across] = [Math.ceil(rows / outputs), Math.ceil(columns / outputs)];
  const reshape = (value: Value, dims: readonly number[]): Value => builder.op('Reshape', [value, builder.ints(dims)]);

  // [j, i] for the points of columns and rows, then tiles.
  const byRow = builder.op('MatMul', [tiling(builder, [1], down, height, window.begin[0]!), reshape(x, [-1, height, width * c])]);
  const byColumn = builder.op('MatMul', [tiling(builder, [1, 1], across, width, window.begin[1]!), reshape(byRow, [inputs, -1, width, c])]);
  const products = builder.op('MatMul', [reshape(byColumn, [inputs * inputs, -1, c]), transformedKernel(builder, kernel)]);

  const inverse = constant(builder, [outputs, inputs], 'outputs', () => ofOutput.flat());
  const ofColumns = builder.op('MatMul', [inverse, reshape(products, [inputs, -1])]);
  const ofRows = builder.op('MatMul', [inverse, reshape(ofColumns, [outputs, inputs, -1])]);
  const tiles = reshape(ofRows, [outputs, outputs, -1, down, across, o]);
  const ordered = builder.op('Transpose', [tiles], { perm: [2, 3, 1, 4, 0, 5] });
  const covered = reshape(ordered, [-1, outputs * down, outputs * across, o]);
  const exact = outputs * down === rows && outputs * across === columns;
  const result = exact ? covered : builder.op('Slice', [covered, builder.ints([0, 0]), builder.ints([rows, columns]), builder.ints([1, 2])]);
  result.shape = [n, rows, columns, o];
  return result;
}

/** [O, C, 3, 3] → [36, C, O], of weights alone: engines compute it when they load the graph. */
function transformedKernel(builder: GraphBuilder, kernel: Value): Value {
  const transform = constant(builder, [inputs * inputs, taps, taps], 'kernel', () =>
    ofKernel.flatMap((column) => ofKernel.flatMap((row) => row.flatMap((a) => column.map((b) => a * b)))));
  // One operator: engines keep the result of each until they have loaded the graph.
  return builder.op('Einsum', [transform, kernel], { equation: 'pab,ocab->pco' });
}
