/** The Fréchet distance of two Gaussians (Dowson and Landau 1982; as "FID" of features: Heusel et al. 2017, arXiv 1706.08500, eq. 6). */
import { ArgumentError } from '@ratioflow/sdk';
import type { Matrix, MatrixProducts } from './matrix-products.js';
import { semidefiniteFactor } from './semidefinite-factor.js';
import { symmetricEigenvaluesInPlace } from './symmetric-eigenvalues.js';

/** Mean and covariance of features. */
export interface Gaussian {
  /** [D] */
  readonly mean: Float64Array;
  /** [D, D], divisor n − 1, as numpy's `cov`. */
  readonly covariance: Matrix;
}

/** The squared distance, and what it is made of. */
export interface FrechetDistance {
  /** `meanTerm + covarianceTerm`: what is called FID. */
  readonly distance: number;
  /** ‖μ₁ − μ₂‖² */
  readonly meanTerm: number;
  /** tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) */
  readonly covarianceTerm: number;
}

/**
 * ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½). With Σᵢ = Lᵢ Lᵢᵀ the eigenvalues of Σ₁Σ₂ are those of (L₂ᵀL₁)ᵀ(L₂ᵀL₁), which is
 * symmetric and as small as the smaller rank: no imaginary parts, and no zero eigenvalues whose roots would be rounding.
 * @throws {ArgumentError} when dimensions differ; {RatioflowError} when a matrix is no covariance
 */
export async function frechetDistance(products: MatrixProducts, one: Gaussian, other: Gaussian): Promise<FrechetDistance> {
  const d = one.mean.length;
  if (other.mean.length !== d) throw new ArgumentError(`Features of ${d} and of ${other.mean.length} dimensions cannot be compared: use one extractor for both.`);
  const meanTerm = one.mean.reduce((sum, value, i) => sum + (value - other.mean[i]!) ** 2, 0);
  const a = await semidefiniteFactor(products, one.covariance, 'The first covariance');
  const b = await semidefiniteFactor(products, other.covariance, 'The second covariance');
  let root = 0;
  if (a.columns > 0 && b.columns > 0) {
    const cross = await products.transposedTimes(a, b);
    const gram = cross.rows <= cross.columns ? await products.timesTransposed(cross, cross) : await products.transposedTimes(cross, cross);
    root = (await symmetricEigenvaluesInPlace(products, gram)).reduce((sum, value) => sum + Math.sqrt(Math.max(value, 0)), 0);
  }
  const covarianceTerm = trace(one.covariance) + trace(other.covariance) - 2 * root;
  return { distance: meanTerm + covarianceTerm, meanTerm, covarianceTerm };
}

const trace = ({ rows, data }: Matrix): number => Array.from({ length: rows }, (_, i) => data[i * rows + i]!).reduce((sum, value) => sum + value, 0);
