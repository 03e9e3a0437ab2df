/** Factors of covariances that may lack rank, as those of fewer samples than dimensions do. */
import { RatioflowError } from '@ratioflow/sdk';
import type { Matrix, MatrixProducts } from './matrix-products.js';
import { addScaled } from './vectors.js';

/** How far below zero rounding may take the diagonal, relative to its largest element: statistics are also exchanged in single precision. */
const indefinite = 1e-4;
/** Columns whose share of the matrix is taken off in one product. */
const panel = 64;

/**
 * L [n, rank] with L·Lᵀ = matrix: Cholesky's method with diagonal pivoting, ended where what remains is rounding
 * (Higham, Accuracy and Stability of Numerical Algorithms, 10.3), in panels as LAPACK's dpstrf.
 * @param matrix symmetric n × n; not changed
 * @throws {RatioflowError} for a matrix that is not positive semidefinite
 */
export async function semidefiniteFactor(products: MatrixProducts, { rows: n, data }: Matrix, what: string): Promise<Matrix> {
  const rest = data.slice();
  const diagonal = Float64Array.from({ length: n }, (_, i) => data[i * n + i]!);
  const largest = diagonal.reduce((a, b) => Math.max(a, b), 0);
  const check = (): void => {
    const at = diagonal.findIndex((value) => !(value >= -indefinite * largest));
    if (at >= 0) throw new RatioflowError(`${what} is no covariance: it is not positive semidefinite (${diagonal[at]!} remains of its diagonal in row ${at}).`);
  };
  check();
  const tolerance = n * Number.EPSILON * largest;
  const panels: Matrix[] = [];
  for (let rank = 0, ended = false; rank < n && !ended;) {
    const width = Math.min(panel, n - rank);
    const columns: Float64Array[] = [];
    while (columns.length < width) {
      const pivot = diagonal.reduce((best, value, i) => (value > diagonal[best]! ? i : best), 0);
      if (!(diagonal[pivot]! > tolerance)) {
        ended = true;
        break;
      }
      columns.push(nextColumn(rest, n, pivot, diagonal, columns));
    }
    if (columns.length === 0) break;
    rank += columns.length;
    const block = { rows: n, columns: columns.length, data: Float64Array.from({ length: n * columns.length }, (_, at) => columns[at % columns.length]![Math.floor(at / columns.length)]!) };
    panels.push(block);
    if (rank < n && !ended) {
      const share = await products.timesTransposed(block, block);
      for (let at = 0; at < rest.length; at++) rest[at]! -= share.data[at]!;
    }
  }
  check();
  return beside(panels, n);
}

/** The factor's column of a pivot; takes its share off the diagonal, which becomes zero at the pivot. */
function nextColumn(rest: Float64Array, n: number, pivot: number, diagonal: Float64Array, earlier: readonly Float64Array[]): Float64Array {
  const column = rest.slice(pivot * n, (pivot + 1) * n);
  for (const other of earlier) addScaled(column, other, -other[pivot]!);
  const root = Math.sqrt(diagonal[pivot]!);
  for (let i = 0; i < n; i++) {
    column[i]! /= root;
    diagonal[i]! -= column[i]! ** 2;
  }
  column[pivot] = root;
  diagonal[pivot] = 0;
  return column;
}

function beside(panels: readonly Matrix[], rows: number): Matrix {
  const columns = panels.reduce((sum, block) => sum + block.columns, 0);
  const data = new Float64Array(rows * columns);
  let left = 0;
  for (const block of panels) {
    for (let i = 0; i < rows; i++) data.set(block.data.subarray(i * block.columns, (i + 1) * block.columns), i * columns + left);
    left += block.columns;
  }
  return { rows, columns, data };
}
