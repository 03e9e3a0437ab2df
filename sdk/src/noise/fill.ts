/**
 * Arrays of noise: words, uniforms, normals. Stateless: a value depends on (seed, purpose, step, sample, element) alone,
 * so batches may be split, reordered or spread over machines at will.
 */
import { ArgumentError } from '../errors.js';
import { wordsToNormals } from './normal-table.js';
import type { NoiseStream } from './stream.js';
import { streamKey } from './stream.js';
import { threefryRows } from './threefry-rows.js';

/** Which samples, and how large each is. */
export interface NoiseRange {
  /** Index of the first sample. @default 0 */
  readonly firstSample?: number;
  /** Number of consecutive samples. */
  readonly count: number;
  /** Elements of one sample, in C order of its own shape. */
  readonly elements: number;
}

/** Words are turned into normals in groups of about this many, which stay in the processor's cache. */
const groupSize = 8192;

/** Checks a range against the array that is to take it. */
function checkRange(length: number, { firstSample = 0, count, elements }: NoiseRange): Required<NoiseRange> {
  for (const [name, value] of Object.entries({ firstSample, count, elements })) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new ArgumentError(`Noise ${name} is ${value}: must be an integer, at least 0.`);
    }
  }
  if (firstSample + count > 2 ** 32) {
    throw new ArgumentError(`Noise samples ${firstSample} to ${firstSample + count - 1}: sample indices end at 2^32 − 1.`);
  }
  if (count * elements !== length) {
    throw new ArgumentError(`Noise for ${count} samples of ${elements} elements needs an array of ${count * elements} `
      + `elements, got ${length}: pass a subarray of that length.`);
  }
  return { firstSample, count, elements };
}

/**
 * Fills `out` with the stream's raw 32-bit words.
 * @param out exactly count · elements long
 * @throws {ArgumentError} for a seed, purpose, step or range out of bounds, or an array of another length
 */
export function fillWords(out: Uint32Array, stream: NoiseStream, range: NoiseRange): void {
  const { firstSample, count, elements } = checkRange(out.length, range);
  const [k0, k1] = streamKey(stream);
  threefryRows(out, 0, k0, k1, firstSample, count, elements);
}

/**
 * Fills `out` with uniforms p = (word + ½) · 2⁻³². As doubles they are exact and lie strictly between 0 and 1; as
 * float32 they are rounded once, and may round up to 1.
 * @param out exactly count · elements long
 * @throws {ArgumentError} as `fillWords`
 */
export function fillUniforms(out: Float64Array | Float32Array, stream: NoiseStream, range: NoiseRange): void {
  const checked = checkRange(out.length, range);
  // The words lie in the output itself: in place for float32; in its second half for float64, where value i
  // overwrites the words below 2i + 2 − length only, all of them used already.
  const at = out.length * (out.BYTES_PER_ELEMENT / 4 - 1);
  const words = new Uint32Array(out.buffer, out.byteOffset + 4 * at, out.length);
  fillWords(words, stream, checked);
  for (let i = 0; i < out.length; i++) out[i] = (words[i]! + 0.5) * 2 ** -32;
}

/**
 * Fills `out` with standard normals, float32, |x| < 6.34, within 8.7e-7 of the exact quantile of their word's uniform.
 * @param out exactly count · elements long
 * @throws {ArgumentError} as `fillWords`
 * @example fillNormals(noise, { seed: 42, purpose: purposes.flow, step: k }, { count: 8, elements: 3 * 32 * 32 })
 */
export function fillNormals(out: Float32Array, stream: NoiseStream, range: NoiseRange): void {
  const { firstSample, count, elements } = checkRange(out.length, range);
  const [k0, k1] = streamKey(stream);
  // The words lie where their normals will be; a group is as many whole samples as fit, at least one.
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  const rows = Math.max(1, Math.floor(groupSize / Math.max(1, elements)));
  for (let row = 0; row < count; row += rows) {
    const taken = Math.min(rows, count - row);
    threefryRows(words, row * elements, k0, k1, firstSample + row, taken, elements);
    wordsToNormals(out, words, row * elements, (row + taken) * elements);
  }
}

/** `fillNormals` into a new array of count · elements. */
export function normals({ count, elements, ...rest }: NoiseStream & NoiseRange): Float32Array {
  // checkRange judges nonsense; the array must not be allocated from it first.
  const out = new Float32Array(Number.isSafeInteger(count * elements) && count >= 0 && elements >= 0 ? count * elements : 0);
  fillNormals(out, rest, { ...rest, count, elements });
  return out;
}
