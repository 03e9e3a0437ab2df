/**
 * Arrays of noise: words, uniforms, normals. Stateless: a value depends on (seed, purpose, step, sample, element) alone,
 * so batches may be split, reordered or spread over machines at will.
 */
import { accept, argument, integer } from '../check.js';
import { noiseKernel } from './kernel.js';
import type { NoiseStream, Seed } from './stream.js';
import { purposes, seedKey, streamKey, word } from './stream.js';

/** Which samples, and how large each is. */
export interface NoiseRange {
  /** Index of the first sample. @default 0 */
  readonly firstSample?: number;
  /** Number of consecutive samples. */
  readonly count: number;
  /** Elements of one sample, in C order of its own shape. */
  readonly elements: number;
}

/** Checks a range against the array that is to take it. */
function checkRange(length: number, { firstSample = 0, count, elements }: NoiseRange): Required<NoiseRange> {
  argument('count', count, integer(0, 2 ** 32));
  argument('firstSample', firstSample, integer(0, 2 ** 32 - count));
  argument('elements', elements, integer(0));
  argument('the length of the array', length, accept((known) => known === count * elements, `${count * elements} for ${count} samples of ${elements} elements: pass a subarray`));
  return { firstSample, count, elements };
}

/**
 * Words 2i and 2i + 1 of each row are the block of counter (firstSample + row, i) under the step's key, for `steps` steps
 * in a row. A Float32Array takes the normals of the words, a Uint32Array the words.
 */
function fillRows(out: Uint32Array | Float32Array, steps: number, keyOf: (step: number) => readonly [number, number], { firstSample, count, elements }: Required<NoiseRange>): void {
  const { words, normals, fill, toNormals } = noiseKernel();
  const source = out instanceof Float32Array ? normals : words;
  const perSample = Math.ceil(elements / 2);
  const capacity = words.length / 2;
  // Blocks that wait in the kernel's buffer, and blocks that have left it: small steps share a pass.
  let held = 0;
  let gone = 0;
  const flush = (): void => {
    if (source === normals) toNormals(2 * held);
    if (elements % 2 === 0) {
      out.set(source.subarray(0, 2 * held), 2 * gone);
    } else {
      // An odd row ends one word early: its surplus word is left out.
      for (let at = 0; at < 2 * held; at++) {
        const word = 2 * gone + at;
        const row = Math.floor(word / (2 * perSample));
        if (word - row * 2 * perSample < elements) out[word - row] = source[at]!;
      }
    }
    gone += held;
    held = 0;
  };
  for (let step = 0; step < steps; step++) {
    const [key0, key1] = keyOf(step);
    for (let done = 0; done < count * perSample;) {
      if (held === capacity) flush();
      const blocks = Math.min(capacity - held, count * perSample - done);
      fill(key0, key1, firstSample + Math.floor(done / perSample), done % perSample, perSample, blocks, held);
      held += blocks;
      done += blocks;
    }
  }
  flush();
}

/**
 * Fills `out` with the stream's raw 32-bit words.
 * @param out exactly count · elements long
 * @throws {ArgumentError} for a seed, purpose, step or range out of bounds, or an array of another length
 */
export function fillWords(out: Uint32Array, stream: NoiseStream, range: NoiseRange): void {
  fillRows(out, 1, () => streamKey(stream), checkRange(out.length, range));
}

/**
 * Fills `out` with uniforms p = (word + ½) · 2⁻³². As doubles they are exact and lie strictly between 0 and 1; as
 * float32 they are rounded once, and may round up to 1.
 * @param out exactly count · elements long
 * @throws {ArgumentError} as `fillWords`
 */
export function fillUniforms(out: Float64Array | Float32Array, stream: NoiseStream, range: NoiseRange): void {
  const words = new Uint32Array(out.length);
  fillWords(words, stream, range);
  for (let i = 0; i < out.length; i++) out[i] = (words[i]! + 0.5) * 2 ** -32;
}

/**
 * Fills `out` with standard normals, float32, |x| < 6.34, within 8.7e-7 of the exact quantile of their word's uniform.
 * @param out exactly count · elements long
 * @throws {ArgumentError} as `fillWords`
 * @example fillNormals(noise, { seed: 42, purpose: purposes.flow, step: k }, { count: 8, elements: 3 * 32 * 32 })
 */
export function fillNormals(out: Float32Array, stream: NoiseStream, range: NoiseRange): void {
  fillRows(out, 1, () => streamKey(stream), checkRange(out.length, range));
}

/**
 * Fills `out` with ξ_k … ξ_{k+steps−1} of the flow, [steps, count, elements]: `fillNormals` of purpose flow, step by step.
 * @param out exactly steps · count · elements long
 * @throws {ArgumentError} as `fillNormals`
 */
export function fillFlowNormals(out: Float32Array, { seed, step, steps }: { readonly seed: Seed; readonly step: number; readonly steps: number }, range: NoiseRange): void {
  argument('step', step, word);
  const checked = checkRange(out.length / steps, range);
  const [low, high] = seedKey(seed);
  // The steps' keys are blocks of the seed's key with consecutive counters (purpose, step): the kernel makes them too.
  const { words, fill } = noiseKernel();
  const most = words.length / 2;
  const size = checked.count * checked.elements;
  for (let k = 0; k < steps; k += most) {
    const some = Math.min(most, steps - k);
    fill(low, high, purposes.flow, step + k, 0xffffffff, some, 0);
    const keys = words.slice(0, 2 * some);
    fillRows(out.subarray(k * size, (k + some) * size), some, (i) => [keys[2 * i]!, keys[2 * i + 1]!], checked);
  }
}

/** `fillNormals` into a new array of count · elements. */
export function normals(wanted: NoiseStream & NoiseRange): Float32Array {
  const { count, elements } = wanted;
  // Nonsense is judged by checkRange; the array must not be allocated from it first.
  const out = new Float32Array(checkRange(count * elements, wanted).count * elements);
  fillNormals(out, wanted, wanted);
  return out;
}
