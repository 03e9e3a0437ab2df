/**
 * Eigenvalues of a dense symmetric matrix in double, without vectors: Householder reduction to a tridiagonal matrix,
 * in panels, and implicit QL (Golub and Van Loan, Matrix Computations, 8.3). Our own because ml-matrix always makes the vectors too, which
 * costs five times as much; a symmetric method cannot return an imaginary part.
 */
import { RatioflowError } from '@ratioflow/sdk';
import type { Matrix, MatrixProducts } from './matrix-products.js';
import { addScaled, dot } from './vectors.js';

/** Steps whose changes of the matrix are put off and made in one product. */
const panel = 32;

/**
 * @param a n × n; only the lower triangle is read, and destroyed
 * @returns the eigenvalues, smallest first
 * @throws {RatioflowError} when the iteration does not converge, as with values that are not finite
 */
export async function symmetricEigenvaluesInPlace(products: MatrixProducts, { rows: n, data: a }: Matrix): Promise<Float64Array> {
  const [diagonal, below] = [new Float64Array(n), new Float64Array(n)];
  for (let size = n; size > 0; size -= panel) {
    const steps = Math.min(panel, size);
    const { reflectors, partners } = reducePanel(a, n, size, steps, diagonal, below);
    const left = size - steps;
    if (left === 0) break;
    // A − Σ (v wᵀ + w vᵀ) for the rows and columns that are left.
    const leading = (one: readonly Float64Array[], other: readonly Float64Array[]): Matrix => {
      const data = new Float64Array(2 * steps * left);
      [...one, ...other].forEach((vector, p) => { data.set(vector.subarray(0, left), p * left); });
      return { rows: 2 * steps, columns: left, data };
    };
    const change = await products.transposedTimes(leading(reflectors, partners), leading(partners, reflectors));
    for (let j = 0; j < left; j++) for (let k = 0; k <= j; k++) a[j * n + k]! -= change.data[j * left + k]!;
  }
  const values = tridiagonalEigenvalues(diagonal, below).sort();
  if (!values.every(Number.isFinite)) throw new RatioflowError(`A ${n} × ${n} matrix has no eigenvalues: it holds values that are not finite.`);
  return values;
}

/**
 * Tridiagonalises rows size − 1 down to size − steps; row i's reflector annihilates what lies left of its subdiagonal. The
 * rest of the matrix stays as it was: it is A − Σ (v wᵀ + w vᵀ) of the vectors returned (LAPACK's dlatrd).
 */
function reducePanel(a: Float64Array, n: number, size: number, steps: number, diagonal: Float64Array, below: Float64Array): { reflectors: Float64Array[]; partners: Float64Array[] } {
  const [reflectors, partners]: [Float64Array[], Float64Array[]] = [[], []];
  for (let i = size - 1; i >= size - steps; i--) {
    const row = a.subarray(i * n, i * n + i + 1);
    reflectors.forEach((v, p) => {
      addScaled(row, partners[p]!, -v[i]!);
      addScaled(row, v, -partners[p]![i]!);
    });
    diagonal[i] = row[i]!;
    if (i === 0) break;
    const [v, w] = [new Float64Array(i), new Float64Array(i)];
    const { offDiagonal, h } = reflector(v, row);
    below[i] = offDiagonal;
    if (h > 0) {
      symmetricProduct(w, a, v, n);
      reflectors.forEach((other, p) => {
        const [byOther, byPartner] = [dot(other, v), dot(partners[p]!, v)];
        addScaled(w, other, -byPartner);
        addScaled(w, partners[p]!, -byOther);
      });
      for (let k = 0; k < i; k++) w[k]! /= h;
      addScaled(w, v, -dot(w, v) / (2 * h));
    }
    reflectors.push(v);
    partners.push(w);
  }
  return { reflectors, partners };
}

/** Fills v such that (I − v vᵀ / h) turns all of the row left of the diagonal but its last element, `offDiagonal`, to 0; h = 0 where it is so already. */
function reflector(v: Float64Array, row: Float64Array): { offDiagonal: number; h: number } {
  const length = v.length;
  // Scaled, so that neither tiny nor huge elements lose the norm.
  let largest = 0;
  for (let k = 0; k < length; k++) largest = Math.max(largest, Math.abs(row[k]!));
  if (largest === 0) return { offDiagonal: 0, h: 0 };
  for (let k = 0; k < length; k++) v[k] = row[k]! / largest;
  const square = dot(v, v);
  const last = v[length - 1]!;
  if (square === last * last) {
    v.fill(0);
    return { offDiagonal: row[length - 1]!, h: 0 };
  }
  const alpha = last > 0 ? -Math.sqrt(square) : Math.sqrt(square);
  v[length - 1] = last - alpha;
  return { offDiagonal: alpha * largest, h: square - last * alpha };
}

/** w = A v for the leading rows and columns, each element of the lower triangle being read once, along its row. */
function symmetricProduct(w: Float64Array, a: Float64Array, v: Float64Array, n: number): void {
  for (let j = 0; j < v.length; j++) {
    const row = a.subarray(j * n, j * n + j);
    const vj = v[j]!;
    let [s0, s1, s2, s3] = [a[j * n + j]! * vj, 0, 0, 0];
    let k = 0;
    for (; k + 3 < j; k += 4) {
      const [a0, a1, a2, a3] = [row[k]!, row[k + 1]!, row[k + 2]!, row[k + 3]!];
      s0 += a0 * v[k]!;
      s1 += a1 * v[k + 1]!;
      s2 += a2 * v[k + 2]!;
      s3 += a3 * v[k + 3]!;
      w[k]! += a0 * vj;
      w[k + 1]! += a1 * vj;
      w[k + 2]! += a2 * vj;
      w[k + 3]! += a3 * vj;
    }
    for (; k < j; k++) {
      s0 += row[k]! * v[k]!;
      w[k]! += row[k]! * vj;
    }
    w[j]! += s0 + s1 + (s2 + s3);
  }
}

const maxSweeps = 60;

/** @param below its element i lies left of diagonal element i; element 0 is not used. Both are destroyed. */
function tridiagonalEigenvalues(diagonal: Float64Array, below: Float64Array): Float64Array {
  const n = diagonal.length;
  const e = new Float64Array(n);
  e.set(below.subarray(1));
  for (let l = 0; l < n; l++) {
    for (let sweep = 0; ; sweep++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]!) > Number.EPSILON * (Math.abs(diagonal[m]!) + Math.abs(diagonal[m + 1]!))) m++;
      if (m === l) break;
      if (sweep === maxSweeps) throw new RatioflowError(`The eigenvalues of a ${n} × ${n} matrix do not converge.`);
      // Wilkinson's shift.
      let g = (diagonal[l + 1]! - diagonal[l]!) / (2 * e[l]!);
      let r = Math.hypot(g, 1);
      g = diagonal[m]! - diagonal[l]! + e[l]! / (g + (g >= 0 ? r : -r));
      let [s, c, p] = [1, 1, 0];
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i]!;
        const b = c * e[i]!;
        r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) {
          diagonal[i + 1]! -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = diagonal[i + 1]! - p;
        r = (diagonal[i]! - g) * s + 2 * c * b;
        p = s * r;
        diagonal[i + 1] = g + p;
        g = c * r - b;
      }
      if (r === 0 && i >= l) continue;
      diagonal[l]! -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
  return diagonal;
}
