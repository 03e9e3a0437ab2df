/**
 * Words to normals: one lookup in the table of `inverse-normal.ts` and one multiplication. No branch on the value.
 */
import { pieces, quantileKnots } from './inverse-normal.js';

/** Intercepts and slopes, interleaved, first for positive normals, then (from entry 2 · 8192) for negative ones. */
let table: Float64Array | undefined;

function buildTable(): Float64Array {
  const knots = quantileKnots();
  const built = new Float64Array(4 * pieces);
  for (let j = 0; j < pieces; j++) {
    // The position inside a piece comes as an integer below 2²³. Taking the power of two out of it and into the slope
    // rounds nothing, so the result is bit for bit T[j] + (t − i) · (T[j+1] − T[j]); nor does mirroring the sign.
    const intercept = knots[j]!;
    const slope = (knots[j + 1]! - intercept) / 8388608;
    built[2 * j] = intercept;
    built[2 * j + 1] = slope;
    built[2 * (pieces + j)] = -intercept;
    built[2 * (pieces + j) + 1] = -slope;
  }
  return built;
}

/** Replaces `words[i]` by its normal in `out[i]`, for i in [from, to). `out` and `words` may share their memory. */
export function wordsToNormals(out: Float32Array, words: Uint32Array, from: number, to: number): void {
  const line = (table ??= buildTable());
  for (let at = from; at < to; at++) {
    const word = words[at]! | 0;
    // n = 2w + 1 in the lower half, 2(2³² − 1 − w) + 1 in the upper: the sign bit flips all others.
    const upper = word >> 31;
    const n = ((word ^ upper) << 1) | 1;
    const leading = Math.clz32(n);
    // n shifted up to its leading bit: that bit, 8 bits of i, 23 bits of t − i.
    const shifted = n << leading;
    const entry = ((63 - leading + (upper << 5)) << 9) | ((shifted >>> 22) & 0x1fe);
    out[at] = line[entry]! + (shifted & 0x7fffff) * line[entry + 1]!;
  }
}
