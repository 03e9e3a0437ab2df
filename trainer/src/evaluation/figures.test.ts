/** The figures where closed forms are known, and what they refuse. Against scipy: tests/evaluation. */
import { normals } from '@ratioflow/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gaussianOf, type Features } from './features.js';
import { frechetDistance, type Gaussian } from './frechet-distance.js';
import { kernelDistance } from './kernel-distance.js';
import { manifoldFigures } from './manifold.js';
import { createMatrixProducts, type MatrixProducts } from './matrix-products.js';
import { symmetricEigenvaluesInPlace } from './symmetric-eigenvalues.js';
import { auc, ratioCalibration, roc, twoSampleTest } from './two-sample.js';

let products: MatrixProducts;
beforeAll(async () => {
  products = await createMatrixProducts(1);
});
afterAll(() => products.dispose());

/** N(shift, diag(variances)), turned by a reflection so that nothing is diagonal. */
function gaussian(variances: readonly number[], shift: number): Gaussian {
  const n = variances.length;
  const axis = Array.from({ length: n }, (_, i) => 1 / Math.sqrt(n) * (i % 2 ? 1 : -1));
  const turn = (i: number, k: number): number => (i === k ? 1 : 0) - 2 * axis[i]! * axis[k]!;
  const data = Float64Array.from({ length: n * n }, (_, at) => variances.reduce((sum, variance, k) => sum + turn(Math.floor(at / n), k) * variance * turn(at % n, k), 0));
  return { mean: new Float64Array(n).fill(shift), covariance: { rows: n, columns: n, data } };
}

const cloud = (count: number, dimension: number, seed: number, shift = 0): Features =>
  ({ count, dimension, rows: normals({ seed, purpose: 4, step: 1, count, elements: dimension }).map((value) => value + shift) });

describe('Fréchet distance', () => {
  it('of Gaussians with common axes: ‖Δμ‖² + Σ (σ₁ − σ₂)²', async () => {
    const one = Array.from({ length: 100 }, (_, i) => 10 ** (-i / 12));
    const other = Array.from({ length: 100 }, (_, i) => 10 ** (-(99 - i) / 30));
    const expected = 100 * 0.5 ** 2 + one.reduce((sum, value, i) => sum + (Math.sqrt(value) - Math.sqrt(other[i]!)) ** 2, 0);
    const { distance } = await frechetDistance(products, gaussian(one, 0.25), gaussian(other, 0.75));
    expect(Math.abs(distance / expected - 1)).toBeLessThan(1e-12);
  });

  it('of covariances without full rank, and of none at all', async () => {
    const one = [4, 1, 0, 0, 0, 9, 0, 0];
    const other = [1, 0, 0, 4, 0, 16, 0, 0];
    // Only two axes are common: the product lacks rank further, and rounding of its zero eigenvalue shows by its root, about √ε · 4.
    expect((await frechetDistance(products, gaussian(one, 0), gaussian(other, 0))).distance).toBeCloseTo(1 + 1 + 4 + 1, 6);
    const zero = gaussian(one.map(() => 0), 1);
    expect((await frechetDistance(products, zero, gaussian(other, 0))).distance).toBeCloseTo(8 + 21, 12);
  });

  it('is 0 between equals and the same both ways', async () => {
    const [a, b] = [await gaussianOf(products, cloud(300, 40, 1)), await gaussianOf(products, cloud(200, 40, 2, 0.1))];
    expect(Math.abs((await frechetDistance(products, a, a)).distance)).toBeLessThan(1e-12);
    expect((await frechetDistance(products, a, b)).distance).toBeCloseTo((await frechetDistance(products, b, a)).distance, 12);
  });

  it('refuses other dimensions and what is no covariance', async () => {
    await expect(frechetDistance(products, gaussian([1, 1], 0), gaussian([1, 1, 1], 0))).rejects.toThrow(/Features of 2 and of 3 dimensions/);
    const bad: Gaussian = { mean: new Float64Array(2), covariance: { rows: 2, columns: 2, data: Float64Array.of(1, 3, 3, 1) } };
    await expect(frechetDistance(products, bad, gaussian([1, 1], 0))).rejects.toThrow(/The first covariance is no covariance: it is not positive semidefinite/);
    const nan: Gaussian = { mean: new Float64Array(2), covariance: { rows: 2, columns: 2, data: Float64Array.of(1, 0, 0, NaN) } };
    await expect(frechetDistance(products, gaussian([1, 1], 0), nan)).rejects.toThrow(/The second covariance is no covariance/);
  });
});

describe('eigenvalues', () => {
  // The second difference with fixed ends: 2 − 2 cos(πk / (n + 1)). A full matrix comes of a reflection.
  it.each([1, 2, 31, 32, 33, 100])('of the second difference, n = %i', async (n) => {
    const dense = new Float64Array(n * n);
    const axis = Array.from({ length: n }, (_, i) => Math.sin(i + 1));
    const norm = axis.reduce((sum, value) => sum + value * value, 0);
    const turn = (i: number, j: number): number => (i === j ? 1 : 0) - (2 * axis[i]! * axis[j]!) / norm;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        for (let k = 0; k < n; k++) for (const l of [k - 1, k, k + 1]) if (l >= 0 && l < n) dense[i * n + j]! += turn(i, k) * (k === l ? 2 : -1) * turn(l, j);
      }
    }
    const values = await symmetricEigenvaluesInPlace(products, { rows: n, columns: n, data: dense });
    values.forEach((value, k) => { expect(value).toBeCloseTo(2 - 2 * Math.cos((Math.PI * (k + 1)) / (n + 1)), 12); });
  });

  it('of a matrix that is tridiagonal already, with zeros', async () => {
    const data = Float64Array.of(2, 1, 0, 0, 1, 2, 0, 0, 0, 0, 5, 0, 0, 0, 0, -1);
    const values = await symmetricEigenvaluesInPlace(products, { rows: 4, columns: 4, data });
    [-1, 1, 3, 5].forEach((value, i) => { expect(values[i]).toBeCloseTo(value, 12); });
  });

  it('refuses values that are not finite', async () => {
    await expect(symmetricEigenvaluesInPlace(products, { rows: 2, columns: 2, data: Float64Array.of(1, NaN, NaN, 1) })).rejects.toThrow(/holds values that are not finite/);
  });
});

describe('kernel distance', () => {
  it('between equal distributions holds 0 in its interval, between others not', async () => {
    const same = await kernelDistance(products, cloud(1000, 8, 3), cloud(1000, 8, 4), { subsetSize: 100, subsets: 20 });
    expect(same.interval![0]).toBeLessThan(0);
    expect(same.interval![1]).toBeGreaterThan(0);
    const other = await kernelDistance(products, cloud(1000, 8, 3), cloud(1000, 8, 4, 0.5), { subsetSize: 100, subsets: 20 });
    expect(other.interval![0]).toBeGreaterThan(0);
  });

  it('has no interval from one subset, and refuses impossible ones', async () => {
    expect((await kernelDistance(products, cloud(30, 4, 1), cloud(40, 4, 2))).interval).toBeNull();
    await expect(kernelDistance(products, cloud(30, 4, 1), cloud(40, 4, 2), { subsetSize: 31 })).rejects.toThrow(/Subsets of 31 samples .* 2 to 30/);
    await expect(kernelDistance(products, cloud(30, 4, 1), cloud(40, 5, 2))).rejects.toThrow(/Features of 4 and of 5 dimensions/);
  });
});

describe('precision, recall, density, coverage', () => {
  it('of a set with itself, and of one far away', async () => {
    const set = cloud(200, 6, 9);
    expect(await manifoldFigures(products, set, set)).toMatchObject({ precision: 1, recall: 1, coverage: 1 });
    expect(await manifoldFigures(products, set, cloud(150, 6, 10, 100))).toEqual({ precision: 0, recall: 0, density: 0, coverage: 0 });
  });

  it('of samples that know one of two modes: precise, half recalled', async () => {
    const data = cloud(400, 2, 1);
    for (let i = 0; i < 400; i += 2) data.rows[i * 2]! += 50;
    const found = await manifoldFigures(products, data, cloud(400, 2, 2));
    expect(found.precision).toBeGreaterThan(0.9);
    expect(Math.abs(found.recall! - 0.5)).toBeLessThan(0.05);
    await expect(manifoldFigures(products, data, cloud(4, 2, 2))).rejects.toThrow(/5 neighbours were asked for; allowed: 1 to 3/);
  });
});

describe('two samples', () => {
  it('curve of a small set by hand', () => {
    const curve = roc([3, 1, 1], [1, 0]);
    expect([...curve.thresholds]).toEqual([Infinity, 3, 1, 0]);
    [0, 1 / 3, 1, 1].forEach((value, i) => { expect(curve.truePositives[i]).toBeCloseTo(value, 15); });
    expect([...curve.falsePositives]).toEqual([0, 0, 0.5, 1]);
    // Pairs: 3 beats both, each 1 beats 0 and ties with 1: (2 + 1.5 + 1.5) / 6.
    expect(auc(curve)).toBeCloseTo(5 / 6, 12);
    expect(() => roc([], [1])).toThrow(/no positives/);
    expect(() => roc([1], [NaN])).toThrow(/Number 0 of the negatives is NaN/);
  });

  it('exact ratio of N(0, 1) and N(1, 1): calibrated, told apart as Φ(½) says', () => {
    const count = 40_000;
    const logRatio = (x: number): number => 0.5 - x;
    const samples = Float64Array.from(normals({ seed: 1, purpose: 4, step: 0, count, elements: 1 }), logRatio);
    const data = Float64Array.from(normals({ seed: 2, purpose: 4, step: 0, count, elements: 1 }), (z) => logRatio(z + 1));
    const found = ratioCalibration(data, samples);
    expect(Math.abs(found.meanRatio - 1)).toBeLessThan(4 * found.meanRatioError);
    expect(Math.abs(found.meanInverse - 1)).toBeLessThan(4 * found.meanInverseError);
    // Var of the ratio is e − 1.
    expect(Math.abs(found.meanRatioError / Math.sqrt((Math.E - 1) / count) - 1)).toBeLessThan(0.2);
    expect(Math.abs(found.meanLogRatioOnData + 0.5)).toBeLessThan(4 / Math.sqrt(count));
    const test = twoSampleTest(samples, data);
    // Φ(½) = 0.691462
    expect(Math.abs(test.accuracy - 0.691462)).toBeLessThan(4 * test.error);
    expect(test.z).toBeGreaterThan(50);
    // AUC = Φ(1/√2) = 0.760250
    expect(Math.abs(auc(roc(samples, data)) - 0.76025)).toBeLessThan(0.01);
    expect(() => ratioCalibration([0], [0, 1])).toThrow('There are log ratios of 1 data and 2 samples; a calibration needs at least 2 of each.');
    expect(twoSampleTest([0, 0], [0, 0, 0])).toMatchObject({ accuracy: 0.5, z: 0 });
  });
});
