/** Einsum: the gradient of one operand is the Einsum of the output's gradient with the other operands. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { floats } from '../../ir/constant.js';
import type { Dim, Value } from '../../ir/types.js';
import { equationOf } from '../../ops/einsum.js';
import { extentVector, requiredInput, unbroadcast, type Rule, type RuleContext } from '../rule.js';

export const einsumRule: Rule = (context) => {
  const { node, where } = context;
  const inputs = node.inputs.map((_, index) => requiredInput(context, index));
  const { operands, result } = equationOf(node, inputs.map((input) => shapeOf(input).length), where);
  // The axes of `...` appear as digits; in what we emit they are letters that the equation does not use.
  const spare = Array.from('zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPONMLKJIHGFEDCBA').filter((letter) => !operands.flat().includes(letter));
  const digits = [...new Set(operands.flat().filter((letter) => /\d/.test(letter)))];
  const names = new Map(digits.map((digit) => [digit, spare.shift()!]));
  const named = (letters: readonly string[]): string[] => letters.map((letter) => names.get(letter) ?? letter);
  return inputs.map((input, index) => (context.wants(index)
    ? operandGradient(context, { input, index, inputs, terms: operands.map(named), result: named(result), spare })
    : null));
};

interface Operand {
  readonly input: Value;
  readonly index: number;
  readonly inputs: readonly Value[];
  readonly terms: readonly string[][];
  readonly result: readonly string[];
  readonly spare: readonly string[];
}

function operandGradient(context: RuleContext, { input, index, inputs, terms, result, spare }: Operand): Value {
  const { builder, gradient } = context;
  const own = terms[index]!;
  const others = inputs.map((value, at) => ({ value, letters: terms[at]! })).filter((_, at) => at !== index);
  const free = [...spare];
  const factors = [{ value: gradient, letters: [...result] }, ...others];
  // A letter twice in one operand picks a diagonal: elsewhere the gradient is zero, which a unit matrix sees to.
  const distinct = own.map((letter, axis) => {
    if (own.indexOf(letter) === axis) return letter;
    const extent = shapeOf(input)[axis]!;
    if (typeof extent !== 'number') throw new UnsupportedError(`${context.where}: a diagonal of the symbolic extent ${extent} cannot be differentiated.`);
    const second = free.shift()!;
    const unit = Array.from({ length: extent * extent }, (_, i) => (i % (extent + 1) === 0 ? 1 : 0));
    factors.push({ value: builder.constant(floats(dtypeOf(input), unit, [extent, extent]), 'unit'), letters: [letter, second] });
    return second;
  });
  const available = new Set(factors.flatMap(({ letters }) => letters));
  const present = distinct.filter((letter) => available.has(letter));
  const equation = `${factors.map(({ letters }) => letters.join('')).join(',')}->${present.join('')}`;
  const product = builder.op('Einsum', factors.map(({ value }) => value), { equation });
  // Letters that only this operand has were summed: the gradient is the same all along them.
  const missing = distinct.flatMap((letter, axis) => (available.has(letter) ? [] : [axis]));
  if (missing.length === 0) return unbroadcast(context, product, input);
  const wide = builder.op('Unsqueeze', [product, builder.ints(missing)]);
  const target = builder.op('Concat', shapeOf(input).map((_: Dim, axis) => (missing.includes(axis) ? extentVector(context, input, axis) : builder.ints([1]))), { axis: 0 });
  return unbroadcast(context, builder.op('Expand', [wide, target]), input);
}
