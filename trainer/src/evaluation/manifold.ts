/**
 * Precision and recall (Kynkäänniemi et al. 2019, arXiv 1904.06991, eq. 1 and 2), density and coverage (Naeem et al. 2020,
 * arXiv 2002.09797, eq. 3 to 5): how far samples lie inside balls around data that reach to the k-th neighbour, and the reverse.
 */
import { ArgumentError } from '@ratioflow/sdk';
import { stretchOf, type Features } from './features.js';
import type { Matrix, MatrixProducts } from './matrix-products.js';

export interface ManifoldOptions {
  /** k of precision and recall; null: without them. @default 3 */
  readonly neighbours?: number | null | undefined;
  /** k of density and coverage; null: without them. @default 5 */
  readonly densityNeighbours?: number | null | undefined;
}

export interface ManifoldFigures {
  /** Part of the samples that lie in the ball of at least one datum. */
  readonly precision: number | null;
  /** Part of the data that lie in the ball of at least one sample. */
  readonly recall: number | null;
  /** Balls of data that a sample lies in, over k, on average; may exceed 1. */
  readonly density: number | null;
  /** Part of the data whose ball holds at least one sample. */
  readonly coverage: number | null;
}

/** Rows whose distances are computed together: 1024 × 10,000 distances take 80 MB. */
const chunk = 1024;

/** @throws {ArgumentError} for other dimensions, or sets that lack k neighbours */
export async function manifoldFigures(products: MatrixProducts, data: Features, samples: Features, { neighbours = 3, densityNeighbours = 5 }: ManifoldOptions = {}): Promise<ManifoldFigures> {
  if (data.dimension !== samples.dimension) throw new ArgumentError(`Features of ${data.dimension} and of ${samples.dimension} dimensions cannot be compared: use one extractor for both.`);
  const most = Math.min(data.count, samples.count) - 1;
  for (const k of [neighbours, densityNeighbours]) {
    if (k !== null && !(Number.isInteger(k) && k >= 1 && k <= most)) throw new ArgumentError(`${k} neighbours were asked for; allowed: 1 to ${most}, one less than the samples of the smaller set.`);
  }
  if (neighbours === null && densityNeighbours === null) return { precision: null, recall: null, density: null, coverage: null };
  // Where a k is null its balls are computed all the same, and not looked at.
  const [inner, wide] = await squaredRadii(products, data, [neighbours ?? 1, densityNeighbours ?? 1]) as [Float64Array, Float64Array];
  const [ofSamples] = await squaredRadii(products, samples, [neighbours ?? 1]) as [Float64Array];
  const [precise, recalled, covered] = [new Uint8Array(samples.count), new Uint8Array(data.count), new Uint8Array(data.count)];
  let within = 0;
  await forDistances(products, data, samples, (i, j, distance) => {
    if (distance <= inner[i]!) precise[j] = 1;
    if (distance <= ofSamples[j]!) recalled[i] = 1;
    // Strictly inside, as the authors' code has it.
    if (distance < wide[i]!) {
      within++;
      covered[i] = 1;
    }
  });
  const part = (flags: Uint8Array): number => flags.reduce((a, b) => a + b, 0) / flags.length;
  return {
    precision: neighbours && part(precise), recall: neighbours && part(recalled),
    density: densityNeighbours && within / (densityNeighbours * samples.count), coverage: densityNeighbours && part(covered),
  };
}

/** Squared distances to the k-th nearest other sample of the same set, for each k. */
async function squaredRadii(products: MatrixProducts, features: Features, ks: readonly number[]): Promise<Float64Array[]> {
  const kept = Math.max(...ks);
  const radii = ks.map(() => new Float64Array(features.count));
  const nearest = new Float64Array(kept);
  let current = -1;
  const close = (): void => {
    if (current >= 0) ks.forEach((k, at) => { radii[at]![current] = nearest[k - 1]!; });
    nearest.fill(Infinity);
  };
  await forDistances(products, features, features, (i, j, distance) => {
    if (i !== current) {
      close();
      current = i;
    }
    if (i === j || distance >= nearest[kept - 1]!) return;
    let at = kept - 1;
    for (; at > 0 && nearest[at - 1]! > distance; at--) nearest[at] = nearest[at - 1]!;
    nearest[at] = distance;
  });
  close();
  return radii;
}

/** Calls `visit` with every pair's squared Euclidean distance, row after row of `one`. */
async function forDistances(products: MatrixProducts, one: Features, other: Features, visit: (i: number, j: number, distance: number) => void): Promise<void> {
  const all = stretchOf(other, 0, other.count);
  const otherSquares = squaredNorms(all);
  for (let first = 0; first < one.count; first += chunk) {
    const part = stretchOf(one, first, Math.min(chunk, one.count - first));
    const squares = squaredNorms(part);
    const { data } = await products.timesTransposed(part, all);
    for (let i = 0; i < part.rows; i++) {
      for (let j = 0; j < all.rows; j++) visit(first + i, j, Math.max(0, squares[i]! + otherSquares[j]! - 2 * data[i * all.rows + j]!));
    }
  }
}

function squaredNorms({ rows, columns, data }: Matrix): Float64Array {
  const norms = new Float64Array(rows);
  for (let i = 0; i < rows; i++) for (let at = i * columns; at < (i + 1) * columns; at++) norms[i]! += data[at]! ** 2;
  return norms;
}
