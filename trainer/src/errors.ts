/** Errors of the trainer. */
import { RatioflowError } from '@ratioflow/sdk';

/** A configuration that cannot be used: names the field, the value and what is allowed. */
export class ConfigError extends RatioflowError {
  override name = 'ConfigError';
}

/** Training that cannot go on: a loss that is no number, a checkpoint that does not fit. */
export class TrainingError extends RatioflowError {
  override name = 'TrainingError';
}
