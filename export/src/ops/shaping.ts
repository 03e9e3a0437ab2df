/** Operators that move elements without computing: reshaping, slicing, joining; and the integers that steer them. */
import { GraphError } from '../errors.js';
import type { Dim, Node, Shape, Value } from '../ir/types.js';
import { contentFromTensorAttribute } from './tensor-attribute.js';
import { inputOf, intOf, intsOf, knownInts, normalizeAxis, sameDtype, showShape, type Operator, type OutputType } from './operator.js';

const product = (dims: Shape): number | undefined => dims.every((dim) => typeof dim === 'number') ? (dims as number[]).reduce((a, b) => a * b, 1) : undefined;

export const shapingOperators: Readonly<Record<string, Operator>> = {
  Shape: {
    inputs: [1, 1],
    attributes: { start: 'int', end: 'int' },
    infer: (node) => {
      const shape = inputOf(node, 0).shape;
      if (!shape) return [{ dtype: 'int64', shape: undefined }];
      const part = shape.slice(intOf(node, 'start', 0), intOf(node, 'end', shape.length));
      return [{ dtype: 'int64', shape: [part.length], content: part }];
    },
  },
  Reshape: {
    inputs: [2, 2],
    attributes: { allowzero: 'int' },
    infer: (node, where) => [{ dtype: inputOf(node, 0).dtype, shape: reshaped(node, where), content: contentKept(node) }],
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
      const dim = (part: Shape): Dim | undefined => product(part) ?? (part.filter((d) => d !== 1).length === 1 ? part.find((d) => d !== 1) : undefined);
      const [rows, columns] = [dim(outer), dim(inner)];
      return [{ dtype: x.dtype, shape: rows !== undefined && columns !== undefined ? [rows, columns] : undefined }];
    },
  },
  Squeeze: {
    inputs: [1, 2],
    attributes: {},
    infer: (node, where) => {
      const x = inputOf(node, 0);
      const given = node.inputs[1] ? knownInts(node.inputs[1]) : undefined;
      if (!x.shape || (node.inputs[1] && !given)) return [{ dtype: x.dtype, shape: undefined }];
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
      return [{ dtype: x.dtype, shape: Array.from({ length: rank }, (_, axis) => (axes.has(axis) ? 1 : rest.shift()!)), content: rank <= 1 ? x.content : undefined }];
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
      return [{ dtype: x.dtype, shape: perm.map((axis) => shape[axis]!) }];
    },
  },
  Concat: {
    inputs: [1, Infinity],
    attributes: { axis: 'int' },
    infer: (node, where) => {
      const dtype = sameDtype(node, node.inputs.map((_, index) => index), where);
      const shapes = node.inputs.map((input) => input?.shape);
      const contents = node.inputs.map((input) => input?.content);
      const content = contents.every((part) => part !== undefined) ? contents.flat() : undefined;
      const first = shapes[0];
      if (!first || shapes.some((shape) => !shape)) return [{ dtype, shape: undefined, content }];
      const axis = normalizeAxis(intOf(node, 'axis', 0), first.length, where);
      for (const shape of shapes as Shape[]) {
        const fits = shape.length === first.length && shape.every((dim, i) => i === axis || typeof dim !== 'number' || typeof first[i] !== 'number' || dim === first[i]);
        if (!fits) throw new GraphError(`${where}: shapes ${shapes.map(showShape).join(', ')} do not join along axis ${axis}.`);
      }
      const extents = (shapes as Shape[]).map((shape) => shape[axis]!);
      const total = product(extents.map((dim) => dim)) === undefined ? undefined : (extents as number[]).reduce((a, b) => a + b, 0);
      return [{ dtype, shape: total === undefined ? undefined : first.map((dim, i) => (i === axis ? total : dim)), content }];
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
      const pads = knownInts(node.inputs[1]);
      if (!x.shape || !pads) return [{ dtype: x.dtype, shape: undefined }];
      const axes = node.inputs[3] ? knownInts(node.inputs[3]) : x.shape.map((_, axis) => axis);
      if (!axes) return [{ dtype: x.dtype, shape: undefined }];
      const shape: (Dim | undefined)[] = [...x.shape];
      axes.forEach((given, i) => {
        const axis = normalizeAxis(given, x.shape!.length, where);
        const sum = pads[i]! + pads[i + axes.length]!;
        const dim = shape[axis];
        shape[axis] = sum === 0 ? dim : typeof dim === 'number' ? dim + sum : undefined;
      });
      return [{ dtype: x.dtype, shape: shape.every((dim) => dim !== undefined) ? shape : undefined }];
    },
  },
  Gather: {
    inputs: [2, 2],
    attributes: { axis: 'int' },
    infer: (node, where) => {
      const [x, indices] = [inputOf(node, 0), inputOf(node, 1)];
      if (!x.shape || !indices.shape) return [{ dtype: x.dtype, shape: undefined }];
      const axis = normalizeAxis(intOf(node, 'axis', 0), x.shape.length, where);
      const at = knownInts(indices);
      const content = x.content && at && x.shape.length === 1 ? at.map((i) => x.content!.at(i)!) : undefined;
      return [{ dtype: x.dtype, shape: [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)], content }];
    },
  },
  Expand: {
    inputs: [2, 2],
    attributes: {},
    infer: (node, where) => {
      const x = inputOf(node, 0);
      const target = inputOf(node, 1).content;
      if (!x.shape || !target) return [{ dtype: x.dtype, shape: undefined }];
      const rank = Math.max(x.shape.length, target.length);
      const shape = Array.from({ length: rank }, (_, axis): Dim => {
        const own = x.shape![axis - rank + x.shape!.length] ?? 1;
        const wanted = target[axis - rank + target.length] ?? 1;
        if (typeof own === 'number' && typeof wanted === 'number' && own !== 1 && wanted !== 1 && own !== wanted) {
          throw new GraphError(`${where}: ${showShape(x.shape)} does not expand to ${showShape(target)}.`);
        }
        return own === 1 ? wanted : own;
      });
      return [{ dtype: x.dtype, shape }];
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
      return [{ dtype: fill?.type === 'tensor' ? fill.value.dtype : 'float32', shape: inputOf(node, 0).content }];
    },
  },
};

function contentKept(node: Node): readonly Dim[] | undefined {
  return node.inputs[1]?.shape?.[0] === 1 || node.inputs[1]?.shape?.[0] === 0 ? node.inputs[0]?.content : undefined;
}

function reshaped(node: Node, where: string): Shape | undefined {
  const x = inputOf(node, 0).shape;
  const target = inputOf(node, 1).content;
  if (!target) return undefined;
  const keepsZero = intOf(node, 'allowzero', 0) === 1;
  const shape = target.map((dim, axis): Dim | undefined => (dim === 0 && !keepsZero ? x?.[axis] : dim));
  const open = shape.indexOf(-1);
  if (shape.filter((dim) => dim === -1).length > 1) throw new GraphError(`${where}: more than one -1 in ${showShape(target)}.`);
  if (shape.some((dim) => dim === undefined)) return undefined;
  if (open < 0) {
    const [before, after] = [x && product(x), product(shape as Shape)];
    if (before !== undefined && after !== undefined && before !== after) throw new GraphError(`${where}: ${showShape(x)} does not reshape to ${showShape(target)}.`);
    return shape as Shape;
  }
  if (!x) return undefined;
  // Symbolic extents that stand on both sides cancel; what is left must divide.
  const rest = (shape as Dim[]).filter((_, axis) => axis !== open);
  const symbols = x.filter((dim) => typeof dim !== 'number');
  for (const dim of rest) {
    if (typeof dim === 'number') continue;
    const at = symbols.indexOf(dim);
    if (at < 0) return undefined;
    symbols.splice(at, 1);
  }
  const numbers = (dims: readonly Dim[]): number => dims.reduce<number>((total, dim) => (typeof dim === 'number' ? total * dim : total), 1);
  const quotient = numbers(x) / numbers(rest);
  if (symbols.length === 0) {
    if (!Number.isInteger(quotient)) throw new GraphError(`${where}: ${showShape(x)} does not reshape to ${showShape(target)}.`);
    return (shape as Dim[]).map((dim) => (dim === -1 ? quotient : dim));
  }
  return symbols.length === 1 && quotient === 1 ? (shape as Dim[]).map((dim) => (dim === -1 ? symbols[0]! : dim)) : undefined;
}

function sliced(node: Node, where: string): OutputType {
  const x = inputOf(node, 0);
  const [starts, ends] = [knownInts(node.inputs[1]), knownInts(node.inputs[2])];
  const optional = (value: Value | null | undefined, fallback: readonly number[] | undefined): readonly number[] | undefined => (value ? knownInts(value) : fallback);
  const axes = optional(node.inputs[3], starts?.map((_, i) => i));
  const steps = optional(node.inputs[4], starts?.map(() => 1));
  if (!x.shape || !starts || !ends || !axes || !steps) return { dtype: x.dtype, shape: undefined };
  const shape: (Dim | undefined)[] = [...x.shape];
  let content = x.content;
  for (const [i, given] of axes.entries()) {
    const axis = normalizeAxis(given, shape.length, where);
    const [dim, step] = [shape[axis], steps[i]!];
    if (step === 0) throw new GraphError(`${where}: step 0 on axis ${axis}.`);
    if (typeof dim !== 'number') { shape[axis] = starts[i] === 0 && step === 1 && ends[i]! >= 2 ** 31 - 1 ? dim : undefined; continue; }
    const clampTo = (index: number, low: number, high: number): number => Math.min(high, Math.max(low, index < 0 ? index + dim : index));
    const from = clampTo(starts[i]!, 0, step > 0 ? dim : dim - 1);
    const to = ends[i]! < -dim && step < 0 ? -1 : clampTo(ends[i]!, step > 0 ? 0 : -1, dim);
    shape[axis] = Math.max(0, Math.ceil((to - from) / step));
    if (content && x.shape.length === 1) {
      const source: readonly Dim[] = content;
      content = Array.from({ length: shape[axis] }, (_, k) => source[from + k * step]!);
    }
  }
  return { dtype: x.dtype, shape: shape.every((dim) => dim !== undefined) ? shape : undefined, content: x.shape.length === 1 ? content : undefined };
}
