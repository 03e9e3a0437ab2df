/**
 * Interpolation (arXiv 2303.03714, Fig. 7): points between two prior draws, each flowed to a sample with the same noise.
 */
import { argument, failArgument, integer, list, oneOf, record } from '../check.js';
import type { Check } from '../check.js';
import { ArgumentError } from '../errors.js';
import type { Model } from '../model.js';
import { fillFlowNormals } from '../noise/fill.js';
import { parseSeed } from '../noise/stream.js';
import type { Seed } from '../noise/stream.js';
import type { FlowSettings } from '../options.js';
import type { FloatTensor } from '../runtime.js';
import { allocate, floatTensor, sizeOf } from '../tensor.js';
import { known } from './batches.js';
import { latentBetween, slerp } from './latent.js';
import type { SampleIndex } from './latent.js';

/** Options of `interpolate`. */
export interface InterpolationOptions extends Pick<FlowSettings, 'K' | 'kappa' | 'eta' | 'nu' | 'signal' | 'class' | 'scale' | 'weights'> {
  /** Ends of every path. */
  readonly pairs: readonly (readonly [SampleIndex, SampleIndex])[];
  /** Points of a path, both ends among them. @default 9 */
  readonly frames?: number;
  /**
   * `same`: every point has the noise of the path's first end, as in the paper; the last point then differs from that sample
   * by its noise. `spherical`: the noise moves as the prior does, and both ends are exactly the samples. @default 'same'
   */
  readonly noise?: 'same' | 'spherical';
  /** Points that go through the network together. @default 16 */
  readonly batch?: number;
  /** Called after each batch with the number of samples made, and of all. */
  readonly onProgress?: (done: number, of: number) => void;
}

/** Paths between samples; every tensor is [pairs, frames, …sample shape]. */
export interface Interpolation {
  readonly samples: FloatTensor;
  /** x₀ of every point. */
  readonly prior: FloatTensor;
  /** x_K: after bridging, before refinement, not clamped. */
  readonly bridged: FloatTensor;
  /** The provider that ran. */
  readonly provider: string;
  readonly warnings: readonly string[];
}

const optionNames = ['pairs', 'frames', 'noise', 'batch', 'onProgress', 'K', 'kappa', 'eta', 'nu', 'signal', 'class', 'scale', 'weights'] as const satisfies readonly (keyof InterpolationOptions)[];

const end: Check<SampleIndex> = (value, field, fail) => {
  const { seed, index } = record(value, field, fail);
  return { seed: parseSeed(seed as Seed), index: integer(0, 2 ** 32 - 1)(index, `${field}.index`, fail) };
};
const ends: Check<readonly [SampleIndex, SampleIndex]> = (value, field, fail) => (Array.isArray(value) && value.length === 2
  ? [end(value[0], `${field}[0]`, fail), end(value[1], `${field}[1]`, fail)]
  : fail(field, value, 'a pair of samples [{ seed, index }, { seed, index }]'));

/**
 * Samples along great circles in the latent of the prior (latent.ts).
 * @throws {ArgumentError} for an option out of range, or a bundle that starts from images of another domain
 */
export async function interpolate(model: Model, options: InterpolationOptions): Promise<Interpolation> {
  const { pairs: given, frames = 9, noise = 'same', batch = 16, onProgress, ...settings } = known(options, optionNames);
  const { manifest } = model;
  if (manifest.prior.kind === 'source') throw new ArgumentError(`${manifest.name} starts from images of another domain, not from a prior: there is nothing to interpolate in.`);
  if (!Array.isArray(given) || given.length === 0) failArgument('pairs', given, 'at least one pair of samples [{ seed, index }, { seed, index }]');
  const pairs = argument('pairs', given, list(ends, 2 ** 32));
  argument('frames', frames, integer(2, 100_000));
  argument('batch', batch, integer(1, 100_000));
  argument('noise', noise, oneOf(['same', 'spherical']));
  const elements = sizeOf(manifest.sampleShape);
  const K = argument('K', settings.K ?? manifest.K, integer(0));
  const steps = K + argument('kappa', settings.kappa ?? manifest.kappa, integer(0));
  const total = pairs.length * frames;
  const shape = [pairs.length, frames, ...manifest.sampleShape];
  const [samples, prior, bridged] = [0, 0, 0].map(() => floatTensor(allocate(total * elements, `${total} points`), shape)) as [FloatTensor, FloatTensor, FloatTensor];
  let provider = '';
  let warnings: readonly string[] = [];
  for (const [p, [from, to]] of pairs.entries()) {
    const noises = noise === 'same' ? [flowNoise(from, steps, elements)] : [flowNoise(from, steps, elements), flowNoise(to, steps, elements)];
    for (let first = 0; first < frames; first += batch) {
      const size = Math.min(batch, frames - first);
      const times = Array.from({ length: size }, (_, i) => (first + i) / (frames - 1));
      const z = allocate(size * elements, `${size} points`);
      times.forEach((t, i) => z.set(latentBetween(manifest, from, to, t), i * elements));
      const x0 = await model.prior({ z: floatTensor(z, [size, elements]) });
      const at = (p * frames + first) * elements;
      const flow = model.flow({ ...settings, count: size, x0, noise: floatTensor(noiseBetween(noises, times, steps, elements), [steps, size, ...manifest.sampleShape]), every: stride(K, steps) });
      for (let next = await flow.next(); ; next = await flow.next()) {
        if (next.done === true) {
          ({ provider, warnings } = next.value);
          break;
        }
        const { step, x } = next.value;
        if (step === 0) prior.data.set(x.data, at);
        if (step === K) bridged.data.set(x.data, at);
        if (step === steps) samples.data.set(x.data, at);
      }
      onProgress?.(p * frames + first + size, total);
    }
  }
  return { samples, prior, bridged, provider, warnings };
}

/** Frames at K and at the end, with as few as possible between them. */
function stride(K: number, steps: number): number {
  let [a, b] = [K, steps];
  while (b > 0) [a, b] = [b, a % b];
  return Math.max(1, a);
}

/** ξ_0 … ξ_{steps−1} of a sample, [steps, D]. */
function flowNoise({ seed, index }: SampleIndex, steps: number, elements: number): Float32Array {
  const out = allocate(steps * elements, `${steps} steps`);
  if (steps > 0) fillFlowNormals(out, { seed, step: 0, steps }, { firstSample: index, count: 1, elements });
  return out;
}

/** The noise of some points of a path, [steps, points, D]. Every step moves on a circle of its own. */
function noiseBetween([from, to]: readonly Float32Array[], times: readonly number[], steps: number, elements: number): Float32Array {
  const out = allocate(steps * times.length * elements, `${steps} steps of ${times.length} points`);
  for (let k = 0; k < steps; k++) {
    const [a, b] = [from!, to].map((end) => end?.subarray(k * elements, (k + 1) * elements));
    times.forEach((t, i) => out.set(b === undefined || t === 0 ? a! : t === 1 ? b : slerp(a!, b, t), (k * times.length + i) * elements));
  }
  return out;
}
