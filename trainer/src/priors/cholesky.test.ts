import { CholeskyDecomposition, Matrix } from 'ml-matrix';
import { describe, expect, it } from 'vitest';
import { choleskyInPlace } from './cholesky.js';

describe('choleskyInPlace', () => {
  it('factors a matrix known by hand', () => {
    // The textbook's [[4, 12, −16], [12, 37, −43], [−16, −43, 98]]; the upper triangle is never read.
    const matrix = Float64Array.of(4, NaN, NaN, 12, 37, NaN, -16, -43, 98);
    choleskyInPlace(matrix, 3);
    expect([...matrix]).toEqual([2, 0, 0, 6, 1, 0, -8, 5, 3]);
  });

  it.each([1, 2, 5, 40])('agrees with ml-matrix, and L·Lᵀ gives the matrix back (n = %i)', (n) => {
    const values = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => Math.exp(-Math.abs(i - j) / 3) + (i === j ? 0.01 : 0)));
    const matrix = Float64Array.from(values.flat());
    choleskyInPlace(matrix, n);
    const reference = new CholeskyDecomposition(new Matrix(values)).lowerTriangularMatrix;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        let product = 0;
        for (let k = 0; k < n; k++) product += matrix[i * n + k]! * matrix[j * n + k]!;
        expect(product).toBeCloseTo(values[i]![j]!, 12);
        expect(matrix[i * n + j]).toBeCloseTo(reference.get(i, j), 12);
      }
    }
  });

  it('names the row of a matrix that is not positive definite', () => {
    expect(() => choleskyInPlace(Float64Array.of(1, 2, 2, 1), 2)).toThrow(/2 × 2 matrix is not positive definite \(pivot -3 in row 1\)/);
    expect(() => choleskyInPlace(Float64Array.of(NaN), 1)).toThrow(/pivot NaN in row 0/);
  });
});
