/** The table of operators that can be built and whose types can be inferred. */
import { attentionOperators } from './attention.js';
import { controlFlowOperators } from './control-flow.js';
import { convolutionOperators } from './convolution.js';
import { elementwiseOperators } from './elementwise.js';
import { fourierOperators } from './fourier.js';
import { linearAlgebraOperators } from './linear-algebra.js';
import { indexingOperators } from './indexing.js';
import { normalizationOperators } from './normalization.js';
import type { Operator } from './operator.js';
import { poolingOperators } from './pooling.js';
import { recurrentOperators } from './recurrent.js';
import { reductionOperators } from './reduction.js';
import { resizingOperators } from './resizing.js';
import { shapingOperators } from './shaping.js';
import { visionOperators } from './vision.js';

const operators = new Map<string, Operator>(Object.entries({
  ...elementwiseOperators,
  ...linearAlgebraOperators,
  ...convolutionOperators,
  ...poolingOperators,
  ...normalizationOperators,
  ...shapingOperators,
  ...indexingOperators,
  ...resizingOperators,
  ...reductionOperators,
  ...recurrentOperators,
  ...attentionOperators,
  ...controlFlowOperators,
  ...fourierOperators,
  ...visionOperators,
}));

export function operatorOf(opType: string): Operator | undefined {
  return operators.get(opType);
}
