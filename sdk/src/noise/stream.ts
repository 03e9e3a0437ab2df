/**
 * Which random numbers: seeds, purposes and steps, and the Threefry keys that they select (docs/noise.md).
 */
import { ArgumentError } from '../errors.js';
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

/** An integer in [0, 2³²). */
function isWord(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

/**
 * The seed as a bigint in [0, 2⁶⁴).
 * @throws {ArgumentError} for anything else, unsafe integers included: 2⁵³ + 1 typed as a number is already another one
 */
export function parseSeed(seed: Seed): bigint {
  let value: bigint | undefined;
  if (typeof seed === 'bigint') value = seed;
  else if (typeof seed === 'number') value = Number.isSafeInteger(seed) ? BigInt(seed) : undefined;
  else if (typeof seed === 'string' && /^[0-9]{1,20}$/.test(seed)) value = BigInt(seed);
  if (value === undefined || value < 0n || value >> 64n !== 0n) {
    throw new ArgumentError(`Seed ${show(seed)} is not usable: give an integer in [0, 2^64), as a bigint, a number up to `
      + '2^53 − 1, or a string of decimal digits.');
  }
  return value;
}

function show(value: unknown): string {
  const text = typeof value === 'bigint' ? `${value}n` : typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
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
  if (!isWord(purpose)) throw new ArgumentError(`Noise purpose ${show(purpose)}: use one of \`purposes\`.`);
  if (!isWord(step)) throw new ArgumentError(`Noise step ${show(step)}: must be an integer in [0, 2^32).`);
  const [k0, k1] = seedKey(seed);
  return threefry2x32(k0, k1, purpose, step);
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
