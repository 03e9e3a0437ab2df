/** Errors of the trainer. */
import { RatioflowError } from '@ratioflow/sdk';

/** A configuration that cannot be used: names the field, the value and what is allowed. */
export class ConfigError extends RatioflowError {
  override name = 'ConfigError';
}

/** Training that cannot go on: a checkpoint that does not fit, a disk that is full. */
export class TrainingError extends RatioflowError {
  override name = 'TrainingError';
}

/** Training that has diverged: what can be rolled back. */
export class DivergenceError extends TrainingError {
  override name = 'DivergenceError';
}
