/**
 * The nearest images of a set to some samples (arXiv 2303.03714, appendix F): whether a model has memorised. Exact, in one pass over
 * the set: distances come from matrix products in double, ‖a − b‖² = ‖a‖² + ‖b‖² − 2 a·b.
 */
import { ArgumentError, type FloatTensor } from '@ratioflow/sdk';
import { rescale, symmetricRange, type ValueRange } from '../data/value-range.js';
import { createMatrixProducts, type Matrix } from '../evaluation/matrix-products.js';

/** What compares images: the features [N, D] that a network makes of them, with values in [−1, 1]; an `Extractor` is one. */
export interface FeatureSpace {
  features(images: FloatTensor): Promise<FloatTensor>;
}

/** Images as they are: distances are Euclidean over values in [−1, 1]. */
const pixels: FeatureSpace = { features: (images) => Promise.resolve(images) };

/** The k nearest of every query, nearest first; of equals the one that comes first in the set. */
export interface Neighbours {
  /** Index in the set, [queries][k]. */
  readonly indices: readonly (readonly number[])[];
  /** Euclidean distances, [queries][k]. */
  readonly distances: readonly (readonly number[])[];
  /** Images that were compared. */
  readonly searched: number;
}

export interface NeighbourOptions {
  /** Neighbours of each. @default 8 */
  readonly k?: number;
  /** @default the pixels themselves */
  readonly space?: FeatureSpace;
  /** Of queries and set, as in a bundle's manifest: images are mapped from it to [−1, 1] before they are compared. @default [-1, 1] */
  readonly valueRange?: ValueRange | null;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number) => void;
}

/**
 * Memory: the queries, and one part of the set with its distances to them.
 * @param set images part by part, each [n, …shape of a query]
 * @throws {ArgumentError} for a part whose samples have another size, or fewer than k of them in all
 */
export async function nearestNeighbours(queries: FloatTensor, set: AsyncIterable<FloatTensor>, { k = 8, space = pixels, valueRange, signal, onProgress }: NeighbourOptions = {}): Promise<Neighbours> {
  if (!Number.isSafeInteger(k) || k < 1) throw new ArgumentError(`k is ${k}; allowed: an integer from 1.`);
  const featuresOf = async (images: FloatTensor): Promise<Matrix> => matrixOf(await space.features(rescale(images, valueRange ?? symmetricRange, symmetricRange)));
  const products = await createMatrixProducts();
  try {
    const a = await featuresOf(queries);
    const found = Array.from({ length: a.rows }, () => ({ indices: [] as number[], squares: [] as number[] }));
    const norms = squaresOf(a);
    let searched = 0;
    for await (const part of set) {
      signal?.throwIfAborted();
      const b = await featuresOf(part);
      if (b.columns !== a.columns) throw new ArgumentError(`Samples of [${part.shape.slice(1).join(', ')}] cannot be compared with those of [${queries.shape.slice(1).join(', ')}].`);
      const [others, { data }] = [squaresOf(b), await products.timesTransposed(a, b)];
      for (let i = 0; i < a.rows; i++) {
        const { indices, squares } = found[i]!;
        for (let j = 0; j < b.rows; j++) {
          const scale = norms[i]! + others[j]!;
          const square = scale - 2 * data[i * b.rows + j]!;
          // What cancels may have rounded a near one away: whatever could be among the k is computed anew.
          if (indices.length < k || square - rounding * scale < squares[k - 1]!) insert(indices, squares, k, searched + j, { square, scale }, a, i, b, j);
        }
      }
      searched += b.rows;
      onProgress?.(searched);
    }
    if (searched < k) throw new ArgumentError(`${k} neighbours were asked for in a set of ${searched}.`);
    return { indices: found.map(({ indices }) => indices), distances: found.map(({ squares }) => squares.map(Math.sqrt)), searched };
  } finally {
    await products.dispose();
  }
}

/** Error of a squared distance from a product in double, in parts of ‖a‖² + ‖b‖², which cancel: some hundred roundings of 10⁻¹⁶. */
const rounding = 1e-12;

/** Puts a candidate in its place, its distance computed without cancellation. */
function insert(indices: number[], squares: number[], k: number, index: number, rough: { readonly square: number; readonly scale: number }, a: Matrix, i: number, b: Matrix, j: number): void {
  let square = 0;
  for (let d = 0; d < a.columns; d++) square += (a.data[i * a.columns + d]! - b.data[j * b.columns + d]!) ** 2;
  // A product that engines get wrong would show here first.
  if (!(Math.abs(square - rough.square) <= 1e-6 * rough.scale)) throw new ArgumentError(`The squared distance ${rough.square} of a matrix product is ${square}: the engine computes float64 products wrongly.`);
  if (indices.length === k && square >= squares[k - 1]!) return;
  let at = squares.length;
  while (at > 0 && squares[at - 1]! > square) at--;
  indices.splice(at, 0, index);
  squares.splice(at, 0, square);
  if (indices.length > k) {
    indices.pop();
    squares.pop();
  }
}

const matrixOf = ({ shape: [rows], data }: FloatTensor): Matrix => ({ rows: rows!, columns: data.length / rows!, data: Float64Array.from(data) });

function squaresOf({ rows, columns, data }: Matrix): Float64Array {
  return Float64Array.from({ length: rows }, (_, i) => {
    let sum = 0;
    for (let d = 0; d < columns; d++) sum += data[i * columns + d]! ** 2;
    return sum;
  });
}
