/** Matrix products and determinants. */
import { GraphError } from '../errors.js';
import type { Dim, Shape } from '../ir/types.js';
import type { MaybeDim } from './symbolic.js';
import { einsumOperator } from './einsum.js';
import { broadcastShapes, inputOf, intOf, sameDtype, showShape, type Operator } from './operator.js';

const agree = (a: Dim, b: Dim): boolean => typeof a !== 'number' || typeof b !== 'number' || a === b;

export const linearAlgebraOperators: Readonly<Record<string, Operator>> = {
  MatMul: {
    inputs: [2, 2],
    attributes: {},
    infer: (node, where) => [{ dtype: sameDtype(node, [0, 1], where), shape: matMulShape(inputOf(node, 0).shape, inputOf(node, 1).shape, where) }],
  },
  Gemm: {
    inputs: [2, 3],
    attributes: { alpha: 'float', beta: 'float', transA: 'int', transB: 'int' },
    infer: (node, where) => {
      const [a, b] = [inputOf(node, 0).shape, inputOf(node, 1).shape];
      const dtype = sameDtype(node, [0, 1, 2], where);
      if (!a || !b) return [{ dtype, shape: undefined }];
      if (a.length !== 2 || b.length !== 2) throw new GraphError(`${where}: needs matrices, got ${showShape(a)} and ${showShape(b)}.`);
      const [rows, inner] = intOf(node, 'transA', 0) ? [a[1]!, a[0]!] : [a[0]!, a[1]!];
      const [innerB, columns] = intOf(node, 'transB', 0) ? [b[1]!, b[0]!] : [b[0]!, b[1]!];
      if (!agree(inner, innerB)) throw new GraphError(`${where}: inner extents ${inner} and ${innerB} differ (${showShape(a)} and ${showShape(b)}).`);
      return [{ dtype, shape: [rows, columns] }];
    },
  },
  Einsum: einsumOperator,
  Det: {
    inputs: [1, 1],
    attributes: {},
    infer: (node, where) => {
      const { dtype, shape } = inputOf(node, 0);
      if (shape && (shape.length < 2 || !agree(shape.at(-2)!, shape.at(-1)!))) throw new GraphError(`${where}: needs square matrices, got ${showShape(shape)}.`);
      return [{ dtype, shape: shape?.slice(0, -2) }];
    },
  },
};

function matMulShape(a: Shape | undefined, b: Shape | undefined, where: string): readonly MaybeDim[] | undefined {
  if (!a || !b) return undefined;
  if (a.length === 0 || b.length === 0) throw new GraphError(`${where}: MatMul takes no scalars, got ${showShape(a)} and ${showShape(b)}.`);
  const left = a.length === 1 ? [1, a[0]!] : a;
  const right = b.length === 1 ? [b[0]!, 1] : b;
  const [inner, innerB] = [left.at(-1)!, right.at(-2)!];
  if (!agree(inner, innerB)) throw new GraphError(`${where}: inner extents ${inner} and ${innerB} differ (${showShape(a)} and ${showShape(b)}).`);
  const batch = broadcastShapes([left.slice(0, -2), right.slice(0, -2)], where);
  return batch && [...batch, ...(a.length > 1 ? [left.at(-2)!] : []), ...(b.length > 1 ? [right.at(-1)!] : [])];
}
