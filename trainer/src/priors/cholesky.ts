/**
 * Cholesky factor of a dense symmetric matrix in double. Our own loop because it is 2.5 times as fast as ml-matrix's
 * (784: 0.13 s against 0.34 s, which makes 3,072 a matter of seconds) and works in place; ml-matrix is the test's reference.
 */
import { RatioflowError } from '@ratioflow/sdk';

/**
 * Replaces a symmetric positive definite matrix by its lower factor L with L·Lᵀ = matrix; the upper triangle becomes 0.
 * Only the lower triangle is read.
 * @param matrix n × n, row after row
 * @throws {RatioflowError} when the matrix is not positive definite, with the row where that shows
 */
export function choleskyInPlace(matrix: Float64Array, n: number): void {
  for (let row = 0; row < n; row++) {
    const a = row * n;
    for (let column = 0; column <= row; column++) {
      const b = column * n;
      // Four partial sums: independent chains for the processor, and a smaller rounding error than one.
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      let i = 0;
      for (; i + 3 < column; i += 4) {
        s0 += matrix[a + i]! * matrix[b + i]!;
        s1 += matrix[a + i + 1]! * matrix[b + i + 1]!;
        s2 += matrix[a + i + 2]! * matrix[b + i + 2]!;
        s3 += matrix[a + i + 3]! * matrix[b + i + 3]!;
      }
      for (; i < column; i++) s0 += matrix[a + i]! * matrix[b + i]!;
      const rest = matrix[a + column]! - (s0 + s1 + (s2 + s3));
      if (column < row) {
        matrix[a + column] = rest / matrix[b + column]!;
        continue;
      }
      if (!(rest > 0)) {
        throw new RatioflowError(
          `The ${n} × ${n} matrix is not positive definite (pivot ${rest} in row ${row}). A covariance needs a larger ridge on its diagonal.`,
        );
      }
      matrix[a + row] = Math.sqrt(rest);
    }
    matrix.fill(0, a + row + 1, a + n);
  }
}
