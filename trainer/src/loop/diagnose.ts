/** Signs that training diverges, in what iterations report. Pure functions of the last rows, so that a resumed run sees the same. */
import type { Pairing } from '@ratioflow/sdk';
import { balancedLoss } from '../objective/objective.js';
import type { RunMetrics } from '../run/metrics.js';
import type { IterationMetrics } from './train.js';

/** Iterations that are averaged: a single batch says little. */
export const diagnosed = 25;
/** A loss so many times that of a network that knows nothing is no learning any more. */
const tooLarge = 20;
/**
 * The loss of lsif is at best −½ E_q[q/p], without a bound where supports are disjoint; but the flow descends r, and what it moves to the data
 * has a ratio near 1. Data 60 deviations away reach −20 on the way; a mean ratio of ten thousand says that samples do not arrive.
 */
const tooDeep = 10_000;
/** Mean log ratios beyond 0 on the wrong side by so much: sampling error over the window is far smaller. */
const drift = 3;

const mean = <M>(rows: readonly M[], value: (row: M) => number): number => rows.reduce((sum, row) => sum + value(row), 0) / rows.length;

/** @param ignorant loss of a network that knows nothing @returns what is wrong, in a sentence; null when all is well */
export function explosion(rows: readonly RunMetrics[], ignorant: number): string | null {
  if (rows.length < diagnosed) return null;
  const loss = mean(rows.slice(-diagnosed), (row) => row.loss);
  const limit = tooLarge * Math.abs(ignorant);
  const found = `${loss.toPrecision(3)} on average over the last ${diagnosed} iterations, where a network that knows nothing has ${ignorant.toPrecision(3)}.`;
  if (loss > limit) return `The loss explodes: ${found}`;
  return loss < -tooDeep * Math.abs(ignorant) ? `The loss falls without bound: ${found} The flow carries samples away from the data.` : null;
}

/**
 * An explosion, or means that no log ratio has: E_p[r] = 1 = E_q[1/r], so that by Jensen's inequality the mean of log r is at most 0
 * on the data and at least 0 on the samples, whatever p and q are.
 */
export function diagnoseEstimator(pairing: Pairing, rows: readonly IterationMetrics[]): string | null {
  const exploded = explosion(rows, balancedLoss(pairing));
  if (exploded !== null || rows.length < diagnosed) return exploded;
  const recent = rows.slice(-diagnosed);
  const [onData, onSamples] = [mean(recent, (row) => row.logRatioData), mean(recent, (row) => row.logRatioSamples)];
  const found = (where: string, value: number, bound: string): string => `The mean of log q/p on ${where} has drifted to ${value.toPrecision(3)} (average of ${diagnosed} iterations), where that of a ratio is at ${bound} 0.`;
  if (onData > drift) return found('the data', onData, 'most');
  // An estimator of r itself may still be 0 or less on many samples, of which the logarithm is cut off.
  return pairing.output === 'log-ratio' && onSamples < -drift ? found('the samples', onSamples, 'least') : null;
}
