/**
 * The kernel distance ("KID": Bińkowski et al. 2018, arXiv 1801.01401): unbiased squared maximum mean discrepancy with the
 * kernel (xᵀy / D + 1)³, over subsets.
 */
import { ArgumentError, fillWords, purposes, type Seed } from '@ratioflow/sdk';
import { rowsOf, type Features } from './features.js';
import type { Matrix, MatrixProducts } from './matrix-products.js';

export interface KernelDistanceOptions {
  /** Subsets. @default 100 */
  readonly subsets?: number | undefined;
  /** Samples of each set in a subset. @default 1000, or all of the smaller set */
  readonly subsetSize?: number | undefined;
  /** Of the choice of subsets. @default 0 */
  readonly seed?: Seed | undefined;
}

export interface KernelDistance {
  /** Mean over the subsets: an unbiased estimate, which may be negative. */
  readonly distance: number;
  /** Standard deviation over the subsets (divisor n − 1). */
  readonly deviation: number;
  /**
   * 95 % confidence interval of the distance, by Student's t over as many values as there are subsets without a common sample;
   * null where there are fewer than two.
   */
  readonly interval: readonly [number, number] | null;
  readonly subsets: number;
  readonly subsetSize: number;
}

/**
 * Subsets are blocks of one random order of each set, which have no sample in common, and of further orders once it is used up.
 * @throws {ArgumentError} for sets of fewer than two samples or other dimensions, or a subset larger than a set
 */
export async function kernelDistance(products: MatrixProducts, one: Features, other: Features, options: KernelDistanceOptions = {}): Promise<KernelDistance> {
  const smaller = Math.min(one.count, other.count);
  const { subsets = 100, subsetSize = Math.min(1000, smaller), seed = 0 } = options;
  if (one.dimension !== other.dimension) throw new ArgumentError(`Features of ${one.dimension} and of ${other.dimension} dimensions cannot be compared: use one extractor for both.`);
  if (subsetSize < 2 || subsetSize > smaller) throw new ArgumentError(`Subsets of ${subsetSize} samples were asked for; allowed: 2 to ${smaller}, the samples of the smaller set.`);
  if (!Number.isInteger(subsets) || subsets < 1) throw new ArgumentError(`${subsets} subsets were asked for; allowed: an integer from 1.`);
  const blocks = Math.floor(smaller / subsetSize);
  const values: number[] = [];
  let orders: [Uint32Array, Uint32Array] | undefined;
  for (let subset = 0; subset < subsets; subset++) {
    const block = subset % blocks;
    if (block === 0) orders = [randomOrder(one.count, seed, 2 * Math.floor(subset / blocks)), randomOrder(other.count, seed, 2 * Math.floor(subset / blocks) + 1)];
    const [x, y] = [one, other].map((features, i) => rowsOf(features, orders![i]!.subarray(block * subsetSize, (block + 1) * subsetSize)));
    values.push(await discrepancy(products, x!, y!));
  }
  const distance = meanOf(values);
  const deviation = deviationOf(values);
  const independent = Math.min(subsets, blocks);
  const reach = independent < 2 ? NaN : (studentQuantile(independent - 1) * deviation) / Math.sqrt(independent);
  return { distance, deviation, interval: independent < 2 ? null : [distance - reach, distance + reach], subsets, subsetSize };
}

/** Unbiased MMD² of two sets of m samples: k(x, x') and k(y, y') over pairs of different samples, k(x, y) over all. */
async function discrepancy(products: MatrixProducts, x: Matrix, y: Matrix): Promise<number> {
  const m = x.rows;
  const [xx, yy, xy] = [await products.timesTransposed(x, x), await products.timesTransposed(y, y), await products.timesTransposed(x, y)];
  return (kernelSum(xx, x.columns, true) + kernelSum(yy, x.columns, true)) / (m * (m - 1)) - (2 * kernelSum(xy, x.columns, false)) / (m * m);
}

function kernelSum({ rows, columns, data }: Matrix, dimension: number, withoutDiagonal: boolean): number {
  let total = 0;
  for (let i = 0; i < rows; i++) {
    let sum = 0;
    for (let j = 0; j < columns; j++) {
      const base = data[i * columns + j]! / dimension + 1;
      if (!withoutDiagonal || i !== j) sum += base * base * base;
    }
    total += sum;
  }
  return total;
}

/** 0 … count − 1 in an order that follows from the seed: by random words, one for each. */
export function randomOrder(count: number, seed: Seed, step: number): Uint32Array {
  const words = new Uint32Array(count);
  fillWords(words, { seed, purpose: purposes.order, step }, { firstSample: 0, count, elements: 1 });
  return Uint32Array.from(words.keys()).sort((a, b) => words[a]! - words[b]! || a - b);
}

export const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
/** Standard deviation with the divisor n − 1; 0 for a single value. */
export function deviationOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(values.length - 1, 1));
}

/** The 97.5 % quantile of Student's t, by bisection of its distribution function, which is a finite sum for whole degrees. */
export function studentQuantile(degrees: number): number {
  /** P(0 < T < t) by the angle θ = atan(t / √ν): A(t | ν) / 2 of Abramowitz and Stegun 26.7.3 and 26.7.4. */
  const upper = (t: number): number => {
    const angle = Math.atan(t / Math.sqrt(degrees));
    const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
    const odd = degrees % 2 === 1;
    let [term, sum] = [odd ? cos : 1, 0];
    for (let j = odd ? 1 : 0; j <= degrees - 2; j += 2) {
      sum += term;
      term *= (cos * cos * (j + 1)) / (j + 2);
    }
    return odd ? (angle + sin * sum) / Math.PI : (sin * sum) / 2;
  };
  let [low, high] = [0, 20];
  for (let i = 0; i < 80; i++) {
    const middle = (low + high) / 2;
    if (upper(middle) < 0.475) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
