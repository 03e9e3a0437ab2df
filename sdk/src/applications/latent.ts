/**
 * The latent z of the prior, in which all priors are alike: x₀ = prior(z), z ~ N(0, I) or U(0, 1). Between two draws one
 * moves on the great circle, whose points are as likely under N(0, I) as its ends (K. Shoemake, SIGGRAPH 1985).
 */
import { ArgumentError } from '../errors.js';
import type { Manifest } from '../manifest.js';
import { fillNormals, fillUniforms } from '../noise/fill.js';
import type { Seed } from '../noise/stream.js';
import { purposes } from '../noise/stream.js';
import { sizeOf } from '../tensor.js';

/** One sample of a bundle: `sample({ seed, first: index, count: 1 })` draws it. */
export interface SampleIndex {
  readonly seed: Seed;
  /** Integer in [0, 2³²): the sample that `sample({ seed, first: index, count: 1 })` draws. */
  readonly index: number;
}

/** z of a sample, [D]: what `sample` feeds to the prior. @throws {ArgumentError} for a seed or index out of range */
export function latentOf({ sampleShape, prior }: Manifest, { seed, index }: SampleIndex): Float32Array {
  const z = new Float32Array(sizeOf(sampleShape));
  (prior.z === 'normal' ? fillNormals : fillUniforms)(z, { seed, purpose: purposes.prior, step: 0 }, { firstSample: index, count: 1, elements: z.length });
  return z;
}

/** Spherical linear interpolation: a at t = 0, b at t = 1. Along one line, a straight one. @throws {ArgumentError} when the lengths differ */
export function slerp(a: Float32Array, b: Float32Array, t: number): Float32Array {
  if (a.length !== b.length) throw new ArgumentError(`Interpolation between ${a.length} and ${b.length} values; both ends need the same number.`);
  let [aa, bb, ab] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    aa += a[i]! * a[i]!;
    bb += b[i]! * b[i]!;
    ab += a[i]! * b[i]!;
  }
  const angle = Math.acos(Math.min(1, Math.max(-1, ab / Math.sqrt(aa * bb))));
  const sine = Math.sin(angle);
  // Parallel, opposite or zero vectors have no great circle of their own.
  const [forA, forB] = sine > 1e-6 ? [Math.sin((1 - t) * angle) / sine, Math.sin(t * angle) / sine] : [1 - t, t];
  return a.map((value, i) => forA * value + forB * b[i]!);
}

/**
 * z at t between two samples of a bundle: on the great circle where z is normal. Uniform z moves as the normal variables
 * of the same words do, and is mapped back by their distribution function, so that every point is again a draw of U(0, 1).
 * The ends are exactly those of `latentOf`.
 */
export function latentBetween(manifest: Manifest, from: SampleIndex, to: SampleIndex, t: number): Float32Array {
  if (t === 0 || t === 1) return latentOf(manifest, t === 0 ? from : to);
  const normal = { ...manifest, prior: { ...manifest.prior, z: 'normal' } } as const;
  const z = slerp(latentOf(normal, from), latentOf(normal, to), t);
  return manifest.prior.z === 'normal' ? z : z.map(normalDistribution);
}

/** Φ(x) by its series (G. Marsaglia, Journal of Statistical Software 11 (2004) 4), to 1e-15 for |x| < 7. */
export function normalDistribution(x: number): number {
  let [term, sum, before] = [x, x, NaN];
  for (let i = 3; sum !== before; i += 2) {
    before = sum;
    term *= (x * x) / i;
    sum += term;
  }
  return 0.5 + sum * Math.exp(-0.5 * x * x - 0.5 * Math.log(2 * Math.PI));
}
