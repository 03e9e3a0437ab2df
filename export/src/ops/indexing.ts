/** Operators that pick, place or count elements by index. */
import { GraphError } from '../errors.js';
import type { DataType } from '../ir/types.js';
import { inputOf, intOf, knownInts, normalizeAxis, showShape, type AttributeKind, type Operator } from './operator.js';
import { product } from './symbolic.js';

/** The result has the type of the first input. */
const likeFirst = (inputs: [number, number], attributes: Record<string, AttributeKind> = {}): Operator => ({
  inputs,
  attributes,
  infer: (node) => [{ dtype: inputOf(node, 0).dtype, shape: inputOf(node, 0).shape }],
});

export const indexingOperators: Readonly<Record<string, Operator>> = {
  Gather: {
    inputs: [2, 2],
    attributes: { axis: 'int' },
    infer: (node, where) => {
      const [x, indices] = [inputOf(node, 0), inputOf(node, 1)];
      if (!x.shape || !indices.shape) return [{ dtype: x.dtype, shape: undefined }];
      const axis = normalizeAxis(intOf(node, 'axis', 0), x.shape.length, where);
      const at = knownInts(indices);
      const extent = x.shape[axis];
      if (at && typeof extent === 'number' && at.some((i) => i >= extent || i < -extent)) throw new GraphError(`${where}: index ${at.find((i) => i >= extent || i < -extent)} is outside ${showShape(x.shape)} on axis ${axis}.`);
      const content = x.content && at && x.shape.length === 1 && at.every((i) => x.content!.at(i) !== undefined) ? at.map((i) => x.content!.at(i)) : undefined;
      return [{ dtype: x.dtype, shape: [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)], content }];
    },
  },
  GatherElements: { inputs: [2, 2], attributes: { axis: 'int' }, infer: (node) => [{ dtype: inputOf(node, 0).dtype, shape: inputOf(node, 1).shape }] },
  GatherND: {
    inputs: [2, 2],
    attributes: { batch_dims: 'int' },
    infer: (node) => {
      const [x, indices] = [inputOf(node, 0), inputOf(node, 1)];
      const depth = indices.shape?.at(-1);
      if (!x.shape || !indices.shape || typeof depth !== 'number') return [{ dtype: x.dtype, shape: undefined }];
      return [{ dtype: x.dtype, shape: [...indices.shape.slice(0, -1), ...x.shape.slice(intOf(node, 'batch_dims', 0) + depth)] }];
    },
  },
  Scatter: likeFirst([3, 3], { axis: 'int' }),
  ScatterElements: likeFirst([3, 3], { axis: 'int', reduction: 'string' }),
  ScatterND: likeFirst([3, 3], { reduction: 'string' }),
  TensorScatter: likeFirst([2, 3], { axis: 'int', mode: 'string' }),
  Unique: {
    inputs: [1, 1],
    attributes: { axis: 'int', sorted: 'int' },
    infer: (node, where) => {
      const x = inputOf(node, 0);
      const at = x.shape && node.attributes.has('axis') ? normalizeAxis(intOf(node, 'axis', 0), x.shape.length, where) : undefined;
      const list = { dtype: 'int64' as const, shape: [undefined] };
      return [{ dtype: x.dtype, shape: node.attributes.has('axis') ? x.shape?.map((dim, axis) => (axis === at ? undefined : dim)) : [undefined] }, list, list, list];
    },
  },
  ReverseSequence: likeFirst([2, 2], { batch_axis: 'int', time_axis: 'int' }),
  Trilu: likeFirst([1, 2], { upper: 'int' }),
  EyeLike: { ...likeFirst([1, 1], { dtype: 'int', k: 'int' }), infer: (node) => [{ dtype: node.attributes.has('dtype') ? undefined : inputOf(node, 0).dtype, shape: inputOf(node, 0).shape }] },
  TopK: {
    inputs: [2, 2],
    attributes: { axis: 'int', largest: 'int', sorted: 'int' },
    infer: (node, where) => {
      const x = inputOf(node, 0);
      const at = x.shape && normalizeAxis(intOf(node, 'axis', -1), x.shape.length, where);
      const shape = x.shape?.map((dim, axis) => (axis === at ? inputOf(node, 1).content?.[0] : dim));
      return [{ dtype: x.dtype, shape }, { dtype: 'int64', shape }];
    },
  },
  OneHot: {
    inputs: [3, 3],
    attributes: { axis: 'int' },
    infer: (node, where) => {
      const [indices, depth, values] = [inputOf(node, 0), inputOf(node, 1), inputOf(node, 2)];
      if (!indices.shape) return [{ dtype: values.dtype, shape: undefined }];
      const at = normalizeAxis(intOf(node, 'axis', -1), indices.shape.length + 1, where);
      return [{ dtype: values.dtype, shape: [...indices.shape.slice(0, at), depth.content?.[0], ...indices.shape.slice(at)] }];
    },
  },
  NonZero: { inputs: [1, 1], attributes: {}, infer: (node) => [{ dtype: 'int64', shape: [inputOf(node, 0).shape?.length, undefined] }] },
  Compress: {
    inputs: [2, 2],
    attributes: { axis: 'int' },
    infer: (node, where) => {
      const x = inputOf(node, 0);
      if (!node.attributes.has('axis')) return [{ dtype: x.dtype, shape: [undefined] }];
      const at = x.shape && normalizeAxis(intOf(node, 'axis', 0), x.shape.length, where);
      return [{ dtype: x.dtype, shape: x.shape?.map((dim, axis) => (axis === at ? undefined : dim)) }];
    },
  },
  Size: {
    inputs: [1, 1],
    attributes: {},
    infer: (node) => {
      const { shape } = inputOf(node, 0);
      return [{ dtype: 'int64', shape: [], content: shape && [product(shape)] }];
    },
  },
  Range: {
    inputs: [3, 3],
    attributes: {},
    infer: (node) => {
      const dtype: DataType | undefined = inputOf(node, 0).dtype;
      const [start, limit, delta] = [0, 1, 2].map((index) => knownInts(node.inputs[index])?.[0]);
      if (start === undefined || limit === undefined || delta === undefined || delta === 0) {
        const end = inputOf(node, 1).content?.[0];
        return [{ dtype, shape: [start === 0 && delta === 1 ? end : undefined] }];
      }
      const count = Math.max(0, Math.ceil((limit - start) / delta));
      return [{ dtype, shape: [count], content: count <= 64 ? Array.from({ length: count }, (_, i) => start + i * delta) : undefined }];
    },
  },
};
