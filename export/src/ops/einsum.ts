/** Einsum: its equation, parsed, and the shape that follows from it. */
import { GraphError } from '../errors.js';
import type { Node } from '../ir/types.js';
import { sameDtype, showShape, stringOf, type Operator } from './operator.js';
import type { MaybeDim } from './symbolic.js';

/** Index letters per operand and of the result; the axes of `...` appear as the letters `0`, `1`, … from the right. */
export interface Equation {
  readonly operands: readonly string[][];
  readonly result: string[];
}

/** Parses the equation of an Einsum node for operands of these ranks. */
export function equationOf(node: Node, ranks: readonly number[], where: string): Equation {
  const equation = stringOf(node, 'equation', '').replaceAll(' ', '');
  const [left = '', right] = equation.split('->');
  const terms = left.split(',');
  if (terms.length !== ranks.length) throw new GraphError(`${where}: the equation ${JSON.stringify(equation)} has ${terms.length} operands, the node ${ranks.length}.`);
  let widest = 0;
  const expand = (term: string, rank: number | undefined): string[] => {
    const at = term.indexOf('...');
    const letters = Array.from(term.replace('...', ''));
    if (letters.some((letter) => !/[A-Za-z]/.test(letter))) throw new GraphError(`${where}: the equation ${JSON.stringify(equation)} cannot be read.`);
    const spread = rank === undefined ? widest : rank - letters.length;
    if (at < 0 ? rank !== undefined && spread !== 0 : spread < 0) throw new GraphError(`${where}: term ${JSON.stringify(term)} of ${JSON.stringify(equation)} does not fit an operand of rank ${rank ?? '?'}.`);
    if (at < 0) return letters;
    widest = Math.max(widest, spread);
    return [...letters.slice(0, at), ...Array.from({ length: spread }, (_, i) => String(spread - 1 - i)), ...letters.slice(at)];
  };
  const operands = terms.map((term, index) => expand(term, ranks[index]));
  if (right !== undefined) return { operands, result: expand(right, undefined) };
  // Without an arrow: the axes of `...`, then the letters that appear once, in alphabetical order.
  const all = operands.flat();
  const once = [...new Set(all)].filter((letter) => /[A-Za-z]/.test(letter) && all.indexOf(letter) === all.lastIndexOf(letter)).sort();
  return { operands, result: [...Array.from({ length: widest }, (_, i) => String(widest - 1 - i)), ...once] };
}

export const einsumOperator: Operator = {
  inputs: [1, Infinity],
  attributes: { equation: 'string' },
  infer: (node, where) => {
    const dtype = sameDtype(node, node.inputs.map((_, index) => index), where);
    const shapes = node.inputs.map((input) => input?.shape);
    if (!shapes.every((shape) => shape !== undefined)) return [{ dtype, shape: undefined }];
    const { operands, result } = equationOf(node, shapes.map((shape) => shape.length), where);
    const extents = new Map<string, MaybeDim>();
    operands.forEach((letters, operand) => letters.forEach((letter, axis) => {
      const [known, dim] = [extents.get(letter), shapes[operand]![axis]!];
      if (typeof known === 'number' && typeof dim === 'number' && known !== dim && known !== 1 && dim !== 1) {
        throw new GraphError(`${where}: index ${letter} is ${known} and ${dim} (${shapes.map(showShape).join(', ')}).`);
      }
      if (known === undefined || known === 1 || (typeof known !== 'number' && typeof dim === 'number' && dim !== 1)) extents.set(letter, dim);
    }));
    for (const letter of result) if (!extents.has(letter)) throw new GraphError(`${where}: the result has an index ${letter} that no operand has.`);
    return [{ dtype, shape: result.map((letter) => extents.get(letter)) }];
  },
};
