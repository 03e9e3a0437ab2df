/** The table of operators that can be built and whose types can be inferred. */
import { controlFlowOperators } from './control-flow.js';
import { convolutionOperators } from './convolution.js';
import { elementwiseOperators } from './elementwise.js';
import { linearAlgebraOperators } from './linear-algebra.js';
import type { Operator } from './operator.js';
import { reductionOperators } from './reduction.js';
import { shapingOperators } from './shaping.js';

const operators = new Map<string, Operator>(Object.entries({
  ...elementwiseOperators,
  ...linearAlgebraOperators,
  ...convolutionOperators,
  ...shapingOperators,
  ...reductionOperators,
  ...controlFlowOperators,
}));

export function operatorOf(opType: string): Operator | undefined {
  return operators.get(opType);
}
