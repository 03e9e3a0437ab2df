/**
 * Samples chosen by their log ratio: the best part of those drawn, or rejection sampling from q towards p.
 */
import { argument, failArgument, finite, integer, record } from '../check.js';
import { ArgumentError } from '../errors.js';
import type { Model } from '../model.js';
import { fillUniforms } from '../noise/fill.js';
import type { Seed } from '../noise/stream.js';
import type { SampleOptions } from '../options.js';
import type { FloatTensor } from '../runtime.js';
import type { Statistics } from '../sample.js';
import { allocate, floatTensor, sizeOf } from '../tensor.js';
import { known } from './batches.js';
import { rank, score } from './score.js';

/** Options of `selectSamples`. */
export interface SelectionOptions extends Omit<SampleOptions, 'x0' | 'noise' | 'class' | 'count' | 'onStep'> {
  /** Samples wanted. */
  readonly count: number;
  /**
   * `keep`: of count / keep samples those with the lowest log q/p, so that a quarter of all is kept with 0.25. Better samples, less
   * variety. `reject`: each sample is accepted with probability min(1, (p/q) / M), M being this quantile of p/q among the first
   * 256 samples: for an exact ratio and M above its maximum the accepted ones follow p (I. Goodfellow and others call it
   * discriminator rejection sampling: S. Azadi et al., ICLR 2019).
   */
  readonly by: { readonly keep: number } | { readonly reject: number };
  /** Called with the numbers drawn and chosen so far. */
  readonly onProgress?: (drawn: number, chosen: number) => void;
}

/** Chosen samples, in the order of their indices. */
export interface Selection {
  /** The chosen: [count, …sample shape], by index. */
  readonly samples: FloatTensor;
  /** log q/p of each. */
  readonly logRatio: Float32Array;
  /** Index of each under the seed: `sample({ seed, first: index, count: 1 })` draws it again. */
  readonly indices: readonly number[];
  /** Samples drawn for them, from `first` on. */
  readonly drawn: number;
  /** Of all that was drawn. */
  readonly statistics: Statistics;
}

const optionNames = ['count', 'by', 'first', 'seed', 'onProgress', 'K', 'kappa', 'eta', 'nu', 'scale', 'weights', 'signal', 'batch'] as const satisfies readonly (keyof SelectionOptions)[];

/** Purpose of the noise that accepts or rejects: one uniform number for each sample, step 0 (docs/noise.md). */
export const selectionPurpose = 6;

/** First samples, from whose ratios the bound M of rejection is taken. */
const pilot = 256;
/** Samples drawn at most for one that is accepted, before it is said that the ratio accepts too few. */
const patience = 1000;

/**
 * Draws samples and chooses among them. Which are chosen depends on the seed, `first`, `count` and `by` alone (and, by rounding, on
 * the provider): acceptance has a noise purpose of its own.
 * @throws {ArgumentError} for an option that is misspelt or out of range, or when next to nothing is accepted
 */
export async function selectSamples(model: Model, given: SelectionOptions): Promise<Selection> {
  const { count, by, first = 0, seed = 0, onProgress, ...options } = known(given, optionNames);
  argument('count', count, integer(1, 2 ** 32));
  if (!['keep', 'reject'].includes(Object.keys(argument('by', by, record)).join())) failArgument('by', by, '{ keep } or { reject }, a number above 0, at most 1');
  const share = argument('keep' in by ? 'keep' : 'reject', 'keep' in by ? by.keep : by.reject, finite(Number.MIN_VALUE));
  if (share > 1) failArgument('keep' in by ? 'keep' : 'reject', share, 'a number above 0, at most 1');
  const { sampleShape } = model.manifest;
  const elements = sizeOf(sampleShape);
  const chosen: { index: number; logRatio: number; x: Float32Array }[] = [];
  const parts: Statistics[] = [];
  let drawn = 0;
  const draw = async (size: number): Promise<{ logRatio: Float32Array; at: (i: number) => { index: number; logRatio: number; x: Float32Array } }> => {
    const { samples, statistics } = await model.sample({ ...options, seed, first: first + drawn, count: size });
    parts.push(statistics);
    const logRatio = await score(model, samples, { ...(options.signal && { signal: options.signal }) });
    const start = first + drawn;
    drawn += size;
    return { logRatio, at: (i) => ({ index: start + i, logRatio: logRatio[i]!, x: samples.data.slice(i * elements, (i + 1) * elements) }) };
  };
  if ('keep' in by) {
    const total = Math.ceil(count / share);
    // The best so far: never more than twice the samples wanted are held.
    while (drawn < total) {
      const { logRatio, at } = await draw(Math.min(Math.max(pilot, count), total - drawn));
      logRatio.forEach((_, i) => chosen.push(at(i)));
      const best = rank(chosen.map((entry) => entry.logRatio)).slice(0, count).map((i) => chosen[i]!);
      chosen.splice(0, chosen.length, ...best);
      onProgress?.(drawn, chosen.length);
    }
  } else {
    let bound = NaN;
    while (chosen.length < count) {
      if (drawn >= pilot && drawn >= patience * (chosen.length + 1)) {
        throw new ArgumentError(`Of ${drawn} samples ${chosen.length} were accepted: the ratio varies too much for the quantile ${share}. Take a smaller one, or keep the best instead.`);
      }
      const start = first + drawn;
      const { logRatio, at } = await draw(pilot);
      if (Number.isNaN(bound)) bound = logRatio[rank(logRatio)[Math.floor((1 - share) * (pilot - 1))]!]!;
      const uniforms = acceptance(seed, start, pilot);
      logRatio.forEach((value, i) => {
        if (chosen.length < count && uniforms[i]! < Math.exp(bound - value)) chosen.push(at(i));
      });
      onProgress?.(drawn, chosen.length);
    }
  }
  chosen.sort((a, b) => a.index - b.index);
  const data = allocate(chosen.length * elements, `${chosen.length} samples`);
  chosen.forEach(({ x }, i) => data.set(x, i * elements));
  return {
    samples: floatTensor(data, [chosen.length, ...sampleShape]), logRatio: Float32Array.from(chosen, ({ logRatio }) => logRatio), indices: chosen.map(({ index }) => index), drawn,
    statistics: { ...parts.at(-1)!, evaluations: sum(parts, 'evaluations'), milliseconds: sum(parts, 'milliseconds') },
  };
}

const sum = (parts: readonly Statistics[], name: 'evaluations' | 'milliseconds'): number => parts.reduce((total, part) => total + part[name], 0);

/** A uniform number for every sample. */
function acceptance(seed: Seed, firstSample: number, count: number): Float64Array {
  const out = new Float64Array(count);
  fillUniforms(out, { seed, purpose: selectionPurpose, step: 0 }, { firstSample, count, elements: 1 });
  return out;
}
