/** Operators that move elements without computing: reshaping, slicing, joining; and the integers that steer them. */
import { GraphError } from '../errors.js';
import { numbersOf } from '../ir/constant.js';
import type { Node, Shape, Value } from '../ir/types.js';
import { contentFromTensorAttribute, tensorOf } from './tensor-attribute.js';
import { product, quotient, sum, type MaybeDim } from './symbolic.js';
import { contentLimit, broadcastShapes, inputOf, intOf, intsOf, knownInts, normalizeAxis, sameDtype, showShape, type Operator, type OutputType } from './operator.js';

export const shapingOperators: Readonly<Record<string, Operator>> = {
  Shape: {
    inputs: [1, 1],
    attributes: { start: 'int', end: 'int' },
    infer: (node) => {
      const shape = inputOf(node, 0).shape;
      if (!shape) return [{ dtype: 'int64', shape: undefined }];
      const part = shape.slice(intOf(node, 'start', 0), node.attributes.has('end') ? intOf(node, 'end', 0) : undefined);
      return [{ dtype: 'int64', shape: [part.length], content: part }];
    },
  },
  Reshape: {
    inputs: [2, 2],
    attributes: { allowzero: 'int' },
    infer: (node, where) => [{ dtype: inputOf(node, 0).dtype, shape: reshaped(node, where), content: inputOf(node, 0).content }],
  },
  Flatten: {
    inputs: [1, 1],
    attributes: { axis: 'int' },
    infer: (node, where) => {
      const x = inputOf(node, 0);
      if (!x.shape) return [{ dtype: x.dtype, shape: undefined }];
      const rank = x.shape.length;
      const axis = intOf(node, 'axis', 1);
      const at = axis === rank ? rank : normalizeAxis(axis, rank, where);
      const [outer, inner] = [x.shape.slice(0, at), x.shape.slice(at)];
      return [{ dtype: x.dtype, shape: [product(outer), product(inner)] }];
    },
  },
  Squeeze: {
    inputs: [1, 2],
    attributes: {},
    infer: (node, where) => {
      const x = inputOf(node, 0);
      const given = node.inputs[1] ? knownInts(node.inputs[1]) : undefined;
      if (!x.shape || (node.inputs[1] && !given) || (!node.inputs[1] && x.shape.some((dim) => typeof dim !== 'number'))) return [{ dtype: x.dtype, shape: undefined }];
      const axes = given?.map((axis) => normalizeAxis(axis, x.shape!.length, where)) ?? x.shape.flatMap((dim, axis) => (dim === 1 ? [axis] : []));
      for (const axis of axes) {
        if (typeof x.shape[axis] === 'number' && x.shape[axis] !== 1) throw new GraphError(`${where}: axis ${axis} of ${showShape(x.shape)} is not 1.`);
      }
      return [{ dtype: x.dtype, shape: x.shape.filter((_, axis) => !axes.includes(axis)), content: x.content }];
    },
  },
  Unsqueeze: {
    inputs: [2, 2],
    attributes: {},
    infer: (node, where) => {
      const x = inputOf(node, 0);
      const given = knownInts(node.inputs[1]);
      if (!x.shape || !given) return [{ dtype: x.dtype, shape: undefined }];
      const rank = x.shape.length + given.length;
      const axes = new Set(given.map((axis) => normalizeAxis(axis, rank, where)));
      const rest = [...x.shape];
      return [{ dtype: x.dtype, shape: Array.from({ length: rank }, (_, axis) => (axes.has(axis) ? 1 : rest.shift()!)), content: x.content }];
    },
  },
  Transpose: {
    inputs: [1, 1],
    attributes: { perm: 'ints' },
    infer: (node, where) => {
      const x = inputOf(node, 0);
      const shape = x.shape;
      if (!shape) return [{ dtype: x.dtype, shape: undefined }];
      const perm = intsOf(node, 'perm') ?? shape.map((_, axis) => shape.length - 1 - axis);
      if ([...perm].sort((a, b) => a - b).join() !== shape.map((_, axis) => axis).join()) {
        throw new GraphError(`${where}: [${perm.join(', ')}] is no permutation of the axes of ${showShape(shape)}.`);
      }
      return [{ dtype: x.dtype, shape: perm.map((axis) => shape[axis]!), content: x.content && permuted(x.content, shape, perm) }];
    },
  },
  Concat: {
    inputs: [1, Infinity],
    attributes: { axis: 'int' },
    infer: (node, where) => {
      const dtype = sameDtype(node, node.inputs.map((_, index) => index), where);
      const shapes = node.inputs.map((input) => input?.shape);
      const contents = node.inputs.map((input) => input?.content);
      const first = shapes[0];
      if (!first || shapes.some((shape) => !shape)) return [{ dtype, shape: undefined }];
      const axis = normalizeAxis(intOf(node, 'axis', 0), first.length, where);
      const content = axis === 0 && contents.every((part) => part !== undefined) ? contents.flat() : undefined;
      for (const shape of shapes as Shape[]) {
        const fits = shape.length === first.length && shape.every((dim, i) => i === axis || typeof dim !== 'number' || typeof first[i] !== 'number' || dim === first[i]);
        if (!fits) throw new GraphError(`${where}: shapes ${shapes.map(showShape).join(', ')} do not join along axis ${axis}.`);
      }
      const total = (shapes as Shape[]).map((shape): MaybeDim => shape[axis]).reduce((left, right) => sum(left, right));
      const known = (at: number): MaybeDim => (shapes as Shape[]).map((shape) => shape[at]).find((dim) => typeof dim === 'number') ?? first[at];
      return [{ dtype, shape: first.map((_, i) => (i === axis ? total : known(i))), content: content && content.length <= contentLimit ? content : undefined }];
    },
  },
  Split: {
    inputs: [1, 2],
    attributes: { axis: 'int', num_outputs: 'int' },
    infer: (node, where, outputCount) => {
      const x = inputOf(node, 0);
      if (!x.shape) return Array.from({ length: outputCount }, () => ({ dtype: x.dtype, shape: undefined }));
      const axis = normalizeAxis(intOf(node, 'axis', 0), x.shape.length, where);
      const parts = splitSizes(node, outputCount, x.shape[axis], where);
      let to: MaybeDim = 0;
      return parts.map((part) => {
        const from = to;
        to = sum(from, part);
        const content = x.shape!.length === 1 && typeof from === 'number' && typeof to === 'number' ? x.content?.slice(from, to) : undefined;
        return { dtype: x.dtype, shape: x.shape!.map((dim, i): MaybeDim => (i === axis ? part : dim)), content };
      });
    },
  },
  Tile: {
    inputs: [2, 2],
    attributes: {},
    infer: (node, where) => {
      const x = inputOf(node, 0);
      const repeats = inputOf(node, 1).content;
      if (repeats && x.shape && repeats.length !== x.shape.length) throw new GraphError(`${where}: ${repeats.length} repeats for ${showShape(x.shape)}.`);
      return [{ dtype: x.dtype, shape: x.shape?.map((dim, axis) => product([dim, repeats?.[axis]])) }];
    },
  },
  Slice: {
    inputs: [3, 5],
    attributes: {},
    infer: (node, where) => [sliced(node, where)],
  },
  Pad: {
    inputs: [2, 4],
    attributes: { mode: 'string' },
    infer: (node, where) => {
      const x = inputOf(node, 0);
      const pads = inputOf(node, 1).content;
      const axes = node.inputs[3] ? knownInts(node.inputs[3]) : x.shape?.map((_, axis) => axis);
      if (!x.shape || !pads || !axes) return [{ dtype: x.dtype, shape: x.shape?.map(() => undefined) }];
      if (pads.length !== 2 * axes.length) throw new GraphError(`${where}: ${pads.length} amounts of padding for ${axes.length} axes.`);
      const shape: MaybeDim[] = [...x.shape];
      axes.forEach((given, i) => {
        const axis = normalizeAxis(given, x.shape!.length, where);
        shape[axis] = sum(shape[axis], sum(pads[i], pads[i + axes.length]));
      });
      if (shape.some((dim) => typeof dim === 'number' && dim < 0)) throw new GraphError(`${where}: crops more than ${showShape(x.shape)} has.`);
      return [{ dtype: x.dtype, shape }];
    },
  },
  Expand: {
    inputs: [2, 2],
    attributes: {},
    infer: (node, where) => {
      const x = inputOf(node, 0);
      const target = inputOf(node, 1).content;
      if (!x.shape || !target) return [{ dtype: x.dtype, shape: undefined }];
      const one = (dim: MaybeDim): MaybeDim => (dim === -1 ? 1 : dim);
      return [{ dtype: x.dtype, shape: broadcastShapes([x.shape, target.map(one)], where) }];
    },
  },
  Constant: {
    inputs: [0, 0],
    attributes: { value: 'tensor', value_float: 'float', value_floats: 'floats', value_int: 'int', value_ints: 'ints', value_string: 'string', value_strings: 'strings' },
    infer: (node) => [contentFromTensorAttribute(node)],
  },
  ConstantOfShape: {
    inputs: [1, 1],
    attributes: { value: 'tensor' },
    infer: (node) => {
      const fill = node.attributes.get('value');
      const shape = inputOf(node, 0).content;
      const tensor = tensorOf(node);
      const count = shape?.length === 1 && typeof shape[0] === 'number' && shape[0] >= 0 && shape[0] <= contentLimit ? shape[0] : undefined;
      const integer = tensor?.dtype === 'int64' && tensor.data instanceof Uint8Array && tensor.data.byteLength === 8;
      const content = count !== undefined && integer ? Array.from({ length: count }, () => numbersOf(tensor)[0]) : undefined;
      return [{ dtype: fill?.type === 'tensor' ? fill.value.dtype : 'float32', shape, content }];
    },
  },
};

/** Extents of the parts of a Split: given, or as equal as can be. */
export function splitSizes(node: Node, outputCount: number, extent: MaybeDim, where: string): MaybeDim[] {
  const given = node.inputs[1];
  if (given) {
    if (given.content && given.content.length !== outputCount) throw new GraphError(`${where}: ${given.content.length} sizes for ${outputCount} outputs.`);
    return Array.from({ length: outputCount }, (_, i) => given.content?.[i]);
  }
  if (typeof extent !== 'number') return Array.from({ length: outputCount }, () => quotient(extent, outputCount));
  const size = Math.ceil(extent / outputCount);
  return Array.from({ length: outputCount }, (_, i) => Math.max(0, Math.min(size, extent - i * size)));
}

function reshaped(node: Node, where: string): readonly MaybeDim[] | undefined {
  const x = inputOf(node, 0).shape;
  const steering = inputOf(node, 1);
  const target = steering.content;
  const length = steering.shape?.[0];
  if (!target) return typeof length === 'number' && length <= contentLimit ? Array.from({ length }, () => undefined) : undefined;
  const keepsZero = intOf(node, 'allowzero', 0) === 1;
  // Content that is anonymous may turn out to be 0 or −1.
  const shape = target.map((dim, axis): MaybeDim => (dim === 0 && !keepsZero ? x?.[axis] : typeof dim === 'string' && dim.includes('?=') ? undefined : dim));
  const open = shape.indexOf(-1);
  if (shape.filter((dim) => dim === -1).length > 1) throw new GraphError(`${where}: more than one -1 in ${showShape(target)}.`);
  if (shape.some((dim) => typeof dim === 'number' && dim < -1)) throw new GraphError(`${where}: negative extents in ${showShape(target)}.`);
  const total = x && product(x);
  if (open < 0) {
    const after = product(shape);
    if (typeof total === 'number' && typeof after === 'number' && total !== after) throw new GraphError(`${where}: ${showShape(x)} does not reshape to ${showShape(target)}.`);
    const gap = shape.indexOf(undefined);
    return gap >= 0 && shape.lastIndexOf(undefined) === gap ? shape.with(gap, quotient(total, product(shape.filter((_, axis) => axis !== gap)))) : shape;
  }
  const rest = product(shape.filter((_, axis) => axis !== open));
  if (typeof total === 'number' && typeof rest === 'number' && rest !== 0 && total % rest !== 0) throw new GraphError(`${where}: ${showShape(x)} does not reshape to ${showShape(target)}.`);
  return shape.with(open, quotient(total, rest));
}

function sliced(node: Node, where: string): OutputType {
  const x = inputOf(node, 0);
  const [starts, ends] = [knownInts(node.inputs[1]), knownInts(node.inputs[2])];
  const optional = (value: Value | null | undefined, fallback: readonly number[] | undefined): readonly number[] | undefined => (value ? knownInts(value) : fallback);
  const axes = optional(node.inputs[3], starts?.map((_, i) => i));
  const steps = optional(node.inputs[4], starts?.map(() => 1));
  if (!x.shape) return { dtype: x.dtype, shape: undefined };
  if (!axes) return { dtype: x.dtype, shape: x.shape.map(() => undefined) };
  const shape: MaybeDim[] = [...x.shape];
  let content: readonly MaybeDim[] | undefined = x.content;
  const extents = x.shape.every((dim) => typeof dim === 'number') ? [...x.shape] : undefined;
  for (const [i, given] of axes.entries()) {
    const axis = normalizeAxis(given, shape.length, where);
    const [dim, start, end, step] = [shape[axis], starts?.[i], ends?.[i], steps?.[i]];
    if (step === 0) throw new GraphError(`${where}: step 0 on axis ${axis}.`);
    if (typeof dim !== 'number' || start === undefined || end === undefined || step === undefined) {
      shape[axis] = start === 0 && step === 1 && end !== undefined && end >= 2 ** 31 - 1 ? dim : undefined;
      content = undefined;
      continue;
    }
    const [from, count] = sliceRange(dim, start, end, step);
    shape[axis] = count;
    if (content && extents) content = picked(content, extents, axis, Array.from({ length: count }, (_, k) => from + k * step));
    if (extents) extents[axis] = count;
  }
  return { dtype: x.dtype, shape, content };
}

/** Elements at `indices` along one axis. */
function picked(content: readonly MaybeDim[], extents: readonly number[], axis: number, indices: readonly number[]): MaybeDim[] {
  const inner = extents.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = extents.slice(0, axis).reduce((a, b) => a * b, 1);
  return Array.from({ length: outer }, (_, o) => indices.flatMap((index) => content.slice((o * extents[axis]! + index) * inner, (o * extents[axis]! + index + 1) * inner))).flat();
}

/** Elements in the order that a transposition gives them. */
function permuted(content: readonly MaybeDim[], shape: Shape, perm: readonly number[]): MaybeDim[] | undefined {
  if (!shape.every((dim) => typeof dim === 'number')) return undefined;
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  return perm.reduce<number[]>((offsets, axis) => offsets.flatMap((offset) => Array.from({ length: shape[axis]! }, (_, i) => offset + i * strides[axis]!)), [0]).map((offset) => content[offset]);
}

/** Where a slice of an axis begins and how many elements it has. */
export function sliceRange(extent: number, start: number, end: number, step: number): [number, number] {
  const clampTo = (index: number, low: number, high: number): number => Math.min(high, Math.max(low, index < 0 ? index + extent : index));
  const from = clampTo(start, 0, step > 0 ? extent : extent - 1);
  const to = end < -extent && step < 0 ? -1 : clampTo(end, step > 0 ? 0 : -1, extent);
  return [from, Math.max(0, Math.ceil((to - from) / step))];
}
