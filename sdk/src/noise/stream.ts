/**
 * Which random numbers: seeds, purposes and steps, and the Threefry keys that they select (docs/noise.md).
 */
import { argument, failArgument, integer } from '../check.js';
import { threefry2x32 } from './threefry.js';

/** What noise is for. Part of the specification: numbers are never reused, those not listed are reserved. */
export const purposes = {
  /** z of the prior; step 0. */
  prior: 0,
  /** ξ of the flow; step k for the k-th step, counted from 0 through bridging and refinement. */
  flow: 1,
  /** Order of the training data; the step counts iterations. */
  order: 2,
  /** Noise added to training data; the step counts iterations. */
  dequantisation: 3,
  /** Inputs of verification vectors. */
  testVectors: 4,
  /** Initial weights. */
  weights: 5,
} as const;
/** One of {@link purposes}. */
export type PurposeName = keyof typeof purposes;

/** A seed: an integer in [0, 2⁶⁴), as a bigint, a safe integer, or a string of decimal digits. */
export type Seed = bigint | number | string;

/** One stream of random words, independent of all others. */
export interface NoiseStream {
  readonly seed: Seed;
  /** One of `purposes`. */
  readonly purpose: number;
  /** Integer in [0, 2³²). */
  readonly step: number;
}

/** A 32-bit word, as a purpose or a step is one. */
export const word = integer(0, 2 ** 32 - 1);

/**
 * The seed as a bigint in [0, 2⁶⁴).
 * @throws {ArgumentError} for anything else, unsafe integers included: 2⁵³ + 1 typed as a number is already another one
 */
export function parseSeed(seed: Seed): bigint {
  const value = typeof seed === 'bigint' ? seed : Number.isSafeInteger(seed) || (typeof seed === 'string' && /^\d{1,20}$/.test(seed)) ? BigInt(seed) : -1n;
  // Below zero the bits go on for ever.
  return value >> 64n === 0n ? value : failArgument('seed', seed, 'an integer from 0 to 2^64 − 1, as a bigint, a number up to 2^53 − 1, or a string of decimal digits');
}

/** Key words of a seed: low and high half. */
export function seedKey(seed: Seed): [number, number] {
  const value = parseSeed(seed);
  return [Number(value & 0xffffffffn), Number(value >> 32n)];
}

/**
 * Key of a stream: the block of counter (purpose, step) under the seed's key.
 * @throws {ArgumentError} for a seed, purpose or step out of range
 */
export function streamKey({ seed, purpose, step }: NoiseStream): [number, number] {
  return threefry2x32(...seedKey(seed), argument('purpose', purpose, word), argument('step', step, word));
}

/**
 * The seed with which training iteration t (counted from 0) draws the prior and flow noise of its own samples, exactly
 * as the sampler would with that seed: `sample(trainingSeed(seed, t))` replays the samples of iteration t. Its low and
 * high words are the two outputs of the block of counter (1, t) under the seed's key.
 * @throws {ArgumentError} for a seed or iteration out of range
 */
export function trainingSeed(seed: Seed, iteration: number): bigint {
  const [low, high] = streamKey({ seed, purpose: purposes.flow, step: iteration });
  return (BigInt(high) << 32n) | BigInt(low);
}
