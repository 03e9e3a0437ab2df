/** The table of vector-Jacobian rules, one family per file. */
import type { Rule } from '../rule.js';
import { activationRules } from './activations.js';
import { arithmeticRules } from './arithmetic.js';
import { attentionRules } from './attention.js';
import { convolutionRules } from './convolution.js';
import { fourierRules } from './fourier.js';
import { indexingRules } from './indexing.js';
import { linearAlgebraRules } from './linear-algebra.js';
import { lossRules } from './losses.js';
import { normalizationRules } from './normalization.js';
import { poolingRules } from './pooling.js';
import { quantizationRules } from './quantization.js';
import { recurrentRules } from './recurrent.js';
import { reductionRules } from './reductions.js';
import { resizingRules } from './resizing.js';
import { samplingRules } from './sampling.js';
import { selectionRules } from './selection.js';
import { shapingRules } from './shaping.js';
import { stateSpaceRules } from './state-space.js';
import { transposedConvolutionRules } from './transposed-convolution.js';
import { unfoldingRules } from './unfolding.js';
import { visionRules } from './vision.js';
import { windowedRule } from './windowed.js';

const rules = new Map<string, Rule>(Object.entries({
  ...arithmeticRules,
  ...activationRules,
  ...selectionRules,
  ...linearAlgebraRules,
  Conv: windowedRule(convolutionRules['Conv']!),
  ...transposedConvolutionRules,
  ...poolingRules,
  ...normalizationRules,
  ...reductionRules,
  ...shapingRules,
  ...indexingRules,
  ...resizingRules,
  ...samplingRules,
  ...unfoldingRules,
  ...recurrentRules,
  ...attentionRules,
  ...lossRules,
  ...fourierRules,
  ...visionRules,
  ...quantizationRules,
  ...stateSpaceRules,
}));

/** Operators whose outputs are not differentiable functions of any input. */
export const nonDifferentiable: ReadonlySet<string> = new Set([
  'And', 'ArgMax', 'ArgMin', 'Bernoulli', 'Equal', 'EyeLike', 'Greater', 'GreaterOrEqual', 'Hardmax', 'IsInf', 'IsNaN', 'Less', 'LessOrEqual',
  'Multinomial', 'NonZero', 'Not', 'Or', 'QuantizeLinear', 'RandomNormalLike', 'RandomUniformLike', 'Shape', 'Size', 'Xor',
]);

/** Operators whose rules take gradients of outputs after the first. */
export const manyOutputs: ReadonlySet<string> = new Set(['Attention', 'BatchNormalization', 'CausalConvWithState', 'DynamicQuantizeLinear', 'GRU', 'LayerNormalization', 'LinearAttention', 'LSTM', 'RNN', 'SoftmaxCrossEntropyLoss', 'Split']);

export function ruleOf(opType: string): Rule | undefined {
  return rules.get(opType);
}

/** Names of all operators that have a rule. */
export const differentiableOperators = (): string[] => [...rules.keys()].sort();
