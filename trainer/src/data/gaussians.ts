/** Gaussians and mixtures of them: the chasm experiment's pair, the ring of 8, the grid of 25. Constants of the official code. */
import { ArgumentError } from '@ratioflow/sdk';
import type { Dataset } from './dataset.js';
import { pointSet } from './point-set.js';

/** A Gaussian with independent, equally wide axes. */
export interface GaussianOptions {
  /** Mean, one number per axis; its length is D. */
  readonly mean: readonly number[];
  /** Variance of every axis. */
  readonly variance: number;
}

/** N(mean, variance · I). @throws {ArgumentError} for an empty or non-finite mean or a variance that is not positive */
export function gaussian({ mean, variance }: GaussianOptions): Dataset {
  if (mean.length === 0 || !mean.every(Number.isFinite)) {
    throw new ArgumentError(`Mean [${mean.join(', ')}] of a Gaussian: give one finite number per axis, for example [6, 6].`);
  }
  if (!(variance > 0 && Number.isFinite(variance))) throw new ArgumentError(`Variance ${variance} of a Gaussian: give a positive number.`);
  const deviation = Math.sqrt(variance);
  return pointSet({
    name: 'gaussian',
    dimension: mean.length,
    uniforms: 0,
    normals: mean.length,
    place(out, at, _, n) {
      for (let i = 0; i < mean.length; i++) out[at + i] = mean[i]! + deviation * n[i]!;
    },
  });
}

/** Eight Gaussians of deviation 0.02 on a circle of radius 2, divided by 1.414. */
export function eightGaussians(): Dataset {
  const centres = Array.from({ length: 8 }, (_, k) => [2 * Math.cos((k * Math.PI) / 4), 2 * Math.sin((k * Math.PI) / 4)] as const);
  return mixture('8-gaussians', centres, 0.02, 1.414);
}

/** Twenty-five Gaussians of deviation 0.05 on the grid 2 · {−2 … 2}², divided by 2.828. */
export function twentyFiveGaussians(): Dataset {
  const centres = Array.from({ length: 25 }, (_, k) => [2 * (Math.floor(k / 5) - 2), 2 * ((k % 5) - 2)] as const);
  return mixture('25-gaussians', centres, 0.05, 2.828);
}

function mixture(name: string, centres: readonly (readonly [number, number])[], deviation: number, divisor: number): Dataset {
  return pointSet({
    name,
    dimension: 2,
    uniforms: 1,
    normals: 2,
    place(out, at, u, n) {
      const [x, y] = centres[Math.floor(u[0]! * centres.length)]!;
      out[at] = (x + deviation * n[0]!) / divisor;
      out[at + 1] = (y + deviation * n[1]!) / divisor;
    },
  });
}
