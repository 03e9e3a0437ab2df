/** Operators that change resolution or trade channels for resolution. */
import { GraphError } from '../errors.js';
import type { Node } from '../ir/types.js';
import { elementTypeNames, type DataTypeCode } from './data-type.js';
import { inputOf, intOf, intsOf, knownInts, normalizeAxis, stringOf, type Operator } from './operator.js';
import { product, quotient, type MaybeDim } from './symbolic.js';

/** The axes that a Resize node resizes (a choice since opset 18). */
export function resizedAxes(node: Node, rank: number, where: string): number[] {
  return intsOf(node, 'axes')?.map((axis) => normalizeAxis(axis, rank, where)) ?? Array.from({ length: rank }, (_, axis) => axis);
}

/**
 * The one factor of a Resize node that keeps the aspect ratio (a choice since opset 18): that of the axis which needs the smallest or the
 * largest. Undefined for a node that stretches, null where it cannot be told.
 */
export function commonScale(node: Node, shape: readonly MaybeDim[], where: string): number | null | undefined {
  const policy = stringOf(node, 'keep_aspect_ratio_policy', 'stretch');
  const sizes = node.inputs[3];
  if (policy === 'stretch' || !sizes) return undefined;
  if (policy !== 'not_larger' && policy !== 'not_smaller') throw new GraphError(`${where}: unknown keep_aspect_ratio_policy ${JSON.stringify(policy)}.`);
  const scales = resizedAxes(node, shape.length, where).map((axis, at) => {
    const [size, extent] = [sizes.content?.[at], shape[axis]];
    return typeof size === 'number' && typeof extent === 'number' ? size / extent : Number.NaN;
  });
  const scale = policy === 'not_larger' ? Math.min(...scales) : Math.max(...scales);
  return Number.isNaN(scale) ? null : scale;
}

export const resizingOperators: Readonly<Record<string, Operator>> = {
  Resize: {
    inputs: [1, 4],
    attributes: {
      antialias: 'int', axes: 'ints', coordinate_transformation_mode: 'string', cubic_coeff_a: 'float', exclude_outside: 'int',
      extrapolation_value: 'float', keep_aspect_ratio_policy: 'string', mode: 'string', nearest_mode: 'string',
    },
    infer: (node, where) => {
      const { dtype, shape } = inputOf(node, 0);
      if (!shape) return [{ dtype, shape: undefined }];
      const axes = resizedAxes(node, shape.length, where);
      const common = commonScale(node, shape, where);
      const sizes = common === undefined ? node.inputs[3]?.content : undefined;
      const scales = node.inputs[2]?.content;
      const result = shape.map((dim, axis): MaybeDim => {
        const at = axes.indexOf(axis);
        if (at < 0) return dim;
        const scale = scales?.[at];
        if (sizes) return sizes[at];
        if (common !== undefined) return common === null || typeof dim !== 'number' ? undefined : Math.round(common * dim);
        if (scale === 1) return dim;
        return typeof scale !== 'number' ? undefined : typeof dim === 'number' ? Math.floor(Math.fround(dim * scale)) : Number.isInteger(scale) ? product([dim, scale]) : undefined;
      });
      return [{ dtype, shape: result }];
    },
  },
  DepthToSpace: {
    inputs: [1, 1],
    attributes: { blocksize: 'int', mode: 'string' },
    infer: (node, where) => {
      const { dtype, shape } = inputOf(node, 0);
      const block = blockOf(node, where);
      if (shape && shape.length !== 4) throw new GraphError(`${where}: needs four axes.`);
      return [{ dtype, shape: shape && [shape[0], quotient(shape[1], block * block), product([shape[2], block]), product([shape[3], block])] }];
    },
  },
  SpaceToDepth: {
    inputs: [1, 1],
    attributes: { blocksize: 'int', mode: 'string' },
    infer: (node, where) => {
      const { dtype, shape } = inputOf(node, 0);
      const block = blockOf(node, where);
      if (shape && shape.length !== 4) throw new GraphError(`${where}: needs four axes.`);
      return [{ dtype, shape: shape && [shape[0], product([shape[1], block * block]), quotient(shape[2], block), quotient(shape[3], block)] }];
    },
  },
  GridSample: {
    inputs: [2, 2],
    attributes: { align_corners: 'int', mode: 'string', padding_mode: 'string' },
    infer: (node) => {
      const [x, grid] = [inputOf(node, 0), inputOf(node, 1)];
      return [{ dtype: x.dtype, shape: x.shape && grid.shape && [...x.shape.slice(0, 2), ...grid.shape.slice(1, -1)] }];
    },
  },
  AffineGrid: {
    inputs: [2, 2],
    attributes: { align_corners: 'int' },
    infer: (node) => {
      const size = inputOf(node, 1).content;
      return [{ dtype: inputOf(node, 0).dtype, shape: size && [size[0], ...size.slice(2), size.length - 2] }];
    },
  },
  Col2Im: {
    inputs: [3, 3],
    attributes: { dilations: 'ints', pads: 'ints', strides: 'ints' },
    infer: (node) => {
      const { dtype, shape } = inputOf(node, 0);
      const [image, block] = [inputOf(node, 1).content, knownInts(node.inputs[2])];
      return [{ dtype, shape: shape && image && block ? [shape[0], quotient(shape[1], block.reduce((a, b) => a * b, 1)), ...image] : undefined }];
    },
  },
  CastLike: { inputs: [2, 2], attributes: { saturate: 'int' }, infer: (node) => [{ dtype: inputOf(node, 1).dtype, shape: inputOf(node, 0).shape }] },
  RandomNormalLike: randomLike(),
  RandomUniformLike: randomLike(),
};

function randomLike(): Operator {
  return {
    inputs: [1, 1],
    attributes: { dtype: 'int', mean: 'float', scale: 'float', seed: 'float', low: 'float', high: 'float' },
    infer: (node) => [{ dtype: node.attributes.has('dtype') ? elementTypeNames[intOf(node, 'dtype', 0) as DataTypeCode] : inputOf(node, 0).dtype, shape: inputOf(node, 0).shape }],
  };
}

function blockOf(node: Node, where: string): number {
  const block = intOf(node, 'blocksize', 0);
  if (block < 1) throw new GraphError(`${where}: blocksize is ${block}.`);
  return block;
}
