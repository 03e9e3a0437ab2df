/**
 * What the scores of a ratio or a classifier tell of two sets: receiver operating characteristic, the classifier two-sample
 * test, and the calibration of a log ratio.
 */
import { ArgumentError } from '@ratioflow/sdk';
import { deviationOf, meanOf } from './kernel-distance.js';

/** A curve from (0, 0) to (1, 1), a point for every distinct score, from the highest down. */
export interface Roc {
  /** Part of the negatives with at least this score. */
  readonly falsePositives: Float64Array;
  /** Part of the positives with at least this score. */
  readonly truePositives: Float64Array;
  /** The scores; the first is Infinity: nothing is called positive. */
  readonly thresholds: Float64Array;
}

/**
 * The receiver operating characteristic of "a higher score means positive". Equal scores are one step of the curve.
 * @throws {ArgumentError} for a set that is empty, or a score that is NaN
 */
export function roc(positives: ArrayLike<number>, negatives: ArrayLike<number>): Roc {
  const entries = [...merged(positives, 'positives', 1), ...merged(negatives, 'negatives', 0)].sort((a, b) => (a.score === b.score ? 0 : b.score > a.score ? 1 : -1));
  const [falsePositives, truePositives, thresholds] = [[0], [0], [Infinity]];
  let [hits, alarms] = [0, 0];
  entries.forEach(({ score, positive }, i) => {
    hits += positive;
    alarms += 1 - positive;
    if (entries[i + 1]?.score === score) return;
    truePositives.push(hits / positives.length);
    falsePositives.push(alarms / negatives.length);
    thresholds.push(score);
  });
  return { falsePositives: Float64Array.from(falsePositives), truePositives: Float64Array.from(truePositives), thresholds: Float64Array.from(thresholds) };
}

/** Area under the curve: the probability that a positive scores higher than a negative, equal scores counting half. */
export function auc({ falsePositives, truePositives }: Roc): number {
  let area = 0;
  for (let i = 1; i < falsePositives.length; i++) area += (falsePositives[i]! - falsePositives[i - 1]!) * (truePositives[i]! + truePositives[i - 1]!) / 2;
  return area;
}

/** Result of the classifier two-sample test. */
export interface TwoSampleTest {
  /** Part of both sets, weighted alike, that the sign of the score tells apart; ½ for sets that cannot be told apart. */
  readonly accuracy: number;
  /** Standard error of the accuracy. */
  readonly error: number;
  /** (accuracy − ½) over its standard deviation where nothing can be told apart: beyond 2 or so the sets differ. */
  readonly z: number;
}

/**
 * The classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv 1610.06545) of scores that are above 0 for the first set
 * and below for the second, such as log q/p on samples and on data. A score of 0 counts half.
 * Only samples on which the classifier was not trained make it a test.
 */
export function twoSampleTest(first: ArrayLike<number>, second: ArrayLike<number>): TwoSampleTest {
  const rate = (scores: ArrayLike<number>, what: string, sign: number): number => merged(scores, what, 0).reduce((sum, { score }) => sum + (1 + sign * Math.sign(score)) / 2, 0) / scores.length;
  const [a, b] = [rate(first, 'scores of the first set', 1), rate(second, 'scores of the second set', -1)];
  const accuracy = (a + b) / 2;
  const error = Math.sqrt((a * (1 - a)) / first.length + (b * (1 - b)) / second.length) / 2;
  return { accuracy, error, z: (accuracy - 0.5) / (Math.sqrt(1 / first.length + 1 / second.length) / 4) };
}

/** Identities that an exact ratio satisfies, as far as samples show. */
export interface RatioCalibration {
  /** Mean of q/p on data, which is ∫ q = 1 for an exact ratio, with its standard error. */
  readonly meanRatio: number;
  readonly meanRatioError: number;
  /** Mean of p/q on samples of q, likewise 1. */
  readonly meanInverse: number;
  readonly meanInverseError: number;
  /** Mean of log q/p on data: −KL(p‖q) for an exact ratio, so at most 0. */
  readonly meanLogRatioOnData: number;
  /** Mean of log q/p on samples: KL(q‖p), at least 0. */
  readonly meanLogRatioOnSamples: number;
}

/** @param onData log q/p of data @param onSamples log q/p of samples of q @throws {ArgumentError} for fewer than two of either, which have no standard error */
export function ratioCalibration(onData: ArrayLike<number>, onSamples: ArrayLike<number>): RatioCalibration {
  const [data, samples] = [merged(onData, 'log ratios of data', 0), merged(onSamples, 'log ratios of samples', 0)].map((list) => list.map(({ score }) => score)) as [number[], number[]];
  if (data.length < 2 || samples.length < 2) throw new ArgumentError(`There are log ratios of ${data.length} data and ${samples.length} samples; a calibration needs at least 2 of each.`);
  const [ratios, inverses] = [data.map((value) => Math.exp(value)), samples.map((value) => Math.exp(-value))];
  const errorOf = (values: readonly number[]): number => deviationOf(values) / Math.sqrt(values.length);
  return {
    meanRatio: meanOf(ratios), meanRatioError: errorOf(ratios), meanInverse: meanOf(inverses), meanInverseError: errorOf(inverses),
    meanLogRatioOnData: meanOf(data), meanLogRatioOnSamples: meanOf(samples),
  };
}

function merged(scores: ArrayLike<number>, what: string, positive: 0 | 1): { score: number; positive: 0 | 1 }[] {
  if (scores.length === 0) throw new ArgumentError(`There are no ${what}.`);
  return Array.from({ length: scores.length }, (_, i) => {
    if (Number.isNaN(scores[i])) throw new ArgumentError(`Number ${i} of the ${what} is NaN.`);
    return { score: scores[i]!, positive };
  });
}
