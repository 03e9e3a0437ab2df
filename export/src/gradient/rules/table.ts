/** The table of vector-Jacobian rules, one family per file. */
import type { Rule } from '../rule.js';
import { arithmeticRules } from './arithmetic.js';
import { activationRules } from './activations.js';
import { convolutionRules } from './convolution.js';
import { linearAlgebraRules } from './linear-algebra.js';
import { reductionRules } from './reductions.js';
import { shapingRules } from './shaping.js';

const rules = new Map<string, Rule>(Object.entries({
  ...arithmeticRules,
  ...activationRules,
  ...linearAlgebraRules,
  ...convolutionRules,
  ...reductionRules,
  ...shapingRules,
}));

/** Operators whose outputs are not differentiable functions of any input. */
export const nonDifferentiable: ReadonlySet<string> = new Set([
  'And', 'ArgMax', 'ArgMin', 'Equal', 'Greater', 'GreaterOrEqual', 'Hardmax', 'IsInf', 'IsNaN', 'Less', 'LessOrEqual',
  'NonZero', 'Not', 'OneHot', 'Or', 'QuantizeLinear', 'Shape', 'Size', 'Xor',
]);

export function ruleOf(opType: string): Rule | undefined {
  return rules.get(opType);
}

/** Names of all operators that have a rule. */
export const differentiableOperators = (): string[] => [...rules.keys()].sort();
