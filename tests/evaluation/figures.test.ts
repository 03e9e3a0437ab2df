/** The figures of evaluation against numpy and scipy (figures.py), on sets with more and with fewer samples than dimensions. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { normals } from '@ratioflow/sdk';
import { encodeNpy } from '@ratioflow/sdk/npy';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { frechetDistance } from '../../trainer/src/evaluation/frechet-distance.js';
import { gaussianOf, type Features } from '../../trainer/src/evaluation/features.js';
import { kernelDistance, randomOrder, studentQuantile } from '../../trainer/src/evaluation/kernel-distance.js';
import { manifoldFigures } from '../../trainer/src/evaluation/manifold.js';
import { createMatrixProducts, type MatrixProducts } from '../../trainer/src/evaluation/matrix-products.js';
import { readNpz, writeNpz } from '../../trainer/src/evaluation/npz.js';
import { auc, roc } from '../../trainer/src/evaluation/two-sample.js';

// Seconds, but of all cores: other work may stretch them.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find((command) => command !== undefined && spawnSync(command, ['-c', 'import numpy, scipy']).status === 0);
if (python === undefined) console.log('skip: no Python with numpy and scipy (set RATIOFLOW_PYTHON): figures of evaluation are not compared');
const run = (...args: string[]): string => execFileSync(python!, args, { encoding: 'utf8' });

let folder: string;
let products: MatrixProducts;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ratioflow-figures-'));
  products = await createMatrixProducts(1);
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await products.dispose();
});

/** Correlated, skewed features with a long tail of small directions, as those of networks are. */
function features(count: number, dimension: number, seed: number, shift: number): Features {
  const z = normals({ seed, purpose: 4, step: 0, count, elements: dimension });
  const rows = new Float32Array(count * dimension);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < dimension; j++) {
      const common = z[i * dimension + (j + 1) % dimension]! + z[i * dimension]!;
      rows[i * dimension + j] = Math.max(-0.2, z[i * dimension + j]! + 0.5 * common + shift) / (1 + j / 4);
    }
  }
  return { count, dimension, rows };
}

const cases = [
  { name: 'more samples than dimensions', dimension: 12, counts: [400, 300], shift: 0.3 },
  { name: 'more dimensions, over several panels', dimension: 150, counts: [700, 900], shift: 0.1 },
  { name: 'fewer samples than dimensions', dimension: 200, counts: [60, 90], shift: 0.2 },
] as const;

describe.skipIf(python === undefined)('figures', () => {
  describe.each(cases)('$name', ({ name, dimension, counts, shift }) => {
    const subsetSize = 25;
    const subsets = 7;
    let real: Features;
    let fake: Features;
    let expected: { frechet: number; pytorch_fid: number | null; nuclear: number; kernel: number[]; precision: number; recall: number; density: number; coverage: number; quantiles: number[]; auc: number };
    let at: string;
    beforeAll(() => {
      at = join(folder, name);
      mkdirSync(at);
      real = features(counts[0], dimension, 1, 0);
      fake = features(counts[1], dimension, 2, shift);
      for (const [file, { rows, count }] of [['real', real], ['fake', fake]] as const) writeFileSync(join(at, `${file}.npy`), encodeNpy({ shape: [count, dimension], data: rows }));
      const blocks = Math.floor(Math.min(...counts) / subsetSize);
      const chosen = Array.from({ length: subsets }, (_, s) => counts.map((count, set) =>
        [...randomOrder(count, 5, 2 * Math.floor(s / blocks) + set).subarray((s % blocks) * subsetSize, (s % blocks + 1) * subsetSize)]));
      writeFileSync(join(at, 'subsets.json'), JSON.stringify(chosen));
      run(fileURLToPath(new URL('figures.py', import.meta.url)), at);
      expected = JSON.parse(readFileSync(join(at, 'figures.json'), 'utf8')) as typeof expected;
    });

    it('Fréchet distance', async () => {
      const { distance, meanTerm, covarianceTerm } = await frechetDistance(products, await gaussianOf(products, real), await gaussianOf(products, fake));
      expect(Math.abs(distance / expected.nuclear - 1)).toBeLessThan(1e-9);
      // scipy's root of a product without full rank is itself off: only the singular values can judge there.
      if (Math.min(...counts) > dimension) expect(Math.abs(distance / expected.frechet - 1)).toBeLessThan(1e-8);
      expect(meanTerm + covarianceTerm).toBe(distance);
    });

    it('Fréchet distance, by pytorch-fid\'s own code', async ({ skip }) => {
      if (expected.pytorch_fid === null) {
        console.log('skip: this Python has no pytorch-fid: the distance is not compared with its code');
        return skip();
      }
      const { distance } = await frechetDistance(products, await gaussianOf(products, real), await gaussianOf(products, fake));
      // Without full rank its root of the product loses half of the digits.
      expect(Math.abs(distance / expected.pytorch_fid - 1)).toBeLessThan(Math.min(...counts) > dimension ? 1e-8 : 1e-4);
    });

    it('kernel distance, its deviation and interval', async () => {
      const found = await kernelDistance(products, real, fake, { subsets, subsetSize, seed: 5 });
      const mean = expected.kernel.reduce((a, b) => a + b) / subsets;
      const deviation = Math.sqrt(expected.kernel.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (subsets - 1));
      expect(found.distance).toBeCloseTo(mean, 10);
      expect(found.deviation).toBeCloseTo(deviation, 10);
      const independent = Math.min(subsets, Math.floor(Math.min(...counts) / subsetSize));
      expect(found.interval![1] - found.interval![0]).toBeCloseTo(2 * studentQuantile(independent - 1) * deviation / Math.sqrt(independent), 10);
    });

    it('precision, recall, density, coverage', async () => {
      const found = await manifoldFigures(products, real, fake);
      for (const figure of ['precision', 'recall', 'density', 'coverage'] as const) expect(found[figure]).toBeCloseTo(expected[figure], 12);
    });

    it('area under the curve, with equal scores', () => {
      const first = ({ rows, count }: Features): number[] => Array.from({ length: count }, (_, i) => rows[i * dimension]!);
      expect(auc(roc(first(fake), first(real)))).toBeCloseTo(expected.auc, 12);
    });

    it('quantiles of Student\'s t', () => {
      [1, 2, 3, 4, 9, 30, 99].forEach((degrees, i) => { expect(studentQuantile(degrees)).toBeCloseTo(expected.quantiles[i]!, 9); });
    });

    it('.npz in both directions', async () => {
      const { mean, covariance } = await gaussianOf(products, real);
      for (const file of ['statistics.npz', 'compressed.npz']) {
        const arrays = await readNpz(join(at, file), ['mu', 'sigma']);
        expect(arrays.get('sigma')!.shape).toEqual([dimension, dimension]);
        const off = Math.max(...covariance.data.map((value, i) => Math.abs(value - Number(arrays.get('sigma')!.data[i]))));
        expect(off).toBeLessThan(1e-13);
      }
      await writeNpz(join(at, 'ours.npz'), new Map([['mu', { shape: [dimension], data: mean }], ['sigma', { shape: [dimension, dimension], data: covariance.data }]]));
      const read = 'import numpy, sys; f = numpy.load(sys.argv[1]); print(f["mu"].dtype, f["mu"].sum(), f["sigma"].shape, numpy.abs(f["sigma"] - numpy.load(sys.argv[2])["sigma"]).max() < 1e-13)';
      const [dtype, sum, ...rest] = run('-c', read, join(at, 'ours.npz'), join(at, 'statistics.npz')).trim().split(' ');
      expect([dtype, rest.join(' ')]).toEqual(['float64', `(${dimension}, ${dimension}) True`]);
      expect(Number(sum)).toBeCloseTo(mean.reduce((a, b) => a + b), 12);
    });
  });
});
