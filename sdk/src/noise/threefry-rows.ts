/**
 * Arrays of Threefry words, fast: the rounds of `threefry.ts` unrolled, four independent blocks side by side so that
 * the processor never waits for the result of the previous round (measured a third faster than one block at a time).
 */
import { parity, threefry2x32 } from './threefry.js';

/**
 * Fills `count` rows of `elements` words from `out[offset]` on: words 2i and 2i + 1 of row r are the block of counter
 * (firstSample + r, i) under key (key0, key1). An odd `elements` drops the second word of each row's last block.
 * Bounds are the caller's affair (`fill.ts` checks them).
 */
export function threefryRows(
  out: Uint32Array, offset: number, key0: number, key1: number, firstSample: number, count: number, elements: number,
): void {
  // As signed 32-bit integers everything below stays in integer registers; unsigned words would be doubles to the engine.
  const k0 = key0 | 0;
  const k1 = key1 | 0;
  const k2 = parity ^ k0 ^ k1;
  // What the definition adds in two sums at each injection of the key.
  const k2a = (k2 + 1) | 0;
  const k0b = (k0 + 2) | 0;
  const k1c = (k1 + 3) | 0;
  const k2d = (k2 + 4) | 0;
  const k0e = (k0 + 5) | 0;

  const blocks = Math.ceil(elements / 2);
  // A row of odd length ends one word early: its surplus word is overwritten by the next row, which is written later.
  const surplus = elements % 2;
  let at = offset;
  let sample = firstSample | 0;
  let block = 0;
  // Blocks that are left; at least one is kept for the careful loop at the end, which writes no surplus word.
  let left = count * blocks;
  for (; left > 4; left -= 4) {
    const at0 = at;
    let y0 = (block + k1) | 0;
    let x0 = (sample + k0) | 0;
    at += 2;
    if (++block === blocks) { block = 0; sample = (sample + 1) | 0; at -= surplus; }
    const at1 = at;
    let y1 = (block + k1) | 0;
    let x1 = (sample + k0) | 0;
    at += 2;
    if (++block === blocks) { block = 0; sample = (sample + 1) | 0; at -= surplus; }
    const at2 = at;
    let y2 = (block + k1) | 0;
    let x2 = (sample + k0) | 0;
    at += 2;
    if (++block === blocks) { block = 0; sample = (sample + 1) | 0; at -= surplus; }
    const at3 = at;
    let y3 = (block + k1) | 0;
    let x3 = (sample + k0) | 0;
    at += 2;
    if (++block === blocks) { block = 0; sample = (sample + 1) | 0; at -= surplus; }

    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 13) | (y0 >>> 19)) ^ x0; y1 = ((y1 << 13) | (y1 >>> 19)) ^ x1;
    y2 = ((y2 << 13) | (y2 >>> 19)) ^ x2; y3 = ((y3 << 13) | (y3 >>> 19)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 15) | (y0 >>> 17)) ^ x0; y1 = ((y1 << 15) | (y1 >>> 17)) ^ x1;
    y2 = ((y2 << 15) | (y2 >>> 17)) ^ x2; y3 = ((y3 << 15) | (y3 >>> 17)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 26) | (y0 >>> 6)) ^ x0; y1 = ((y1 << 26) | (y1 >>> 6)) ^ x1;
    y2 = ((y2 << 26) | (y2 >>> 6)) ^ x2; y3 = ((y3 << 26) | (y3 >>> 6)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 6) | (y0 >>> 26)) ^ x0; y1 = ((y1 << 6) | (y1 >>> 26)) ^ x1;
    y2 = ((y2 << 6) | (y2 >>> 26)) ^ x2; y3 = ((y3 << 6) | (y3 >>> 26)) ^ x3;
    x0 = (x0 + k1) | 0; x1 = (x1 + k1) | 0; x2 = (x2 + k1) | 0; x3 = (x3 + k1) | 0;
    y0 = (y0 + k2a) | 0; y1 = (y1 + k2a) | 0; y2 = (y2 + k2a) | 0; y3 = (y3 + k2a) | 0;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 17) | (y0 >>> 15)) ^ x0; y1 = ((y1 << 17) | (y1 >>> 15)) ^ x1;
    y2 = ((y2 << 17) | (y2 >>> 15)) ^ x2; y3 = ((y3 << 17) | (y3 >>> 15)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 29) | (y0 >>> 3)) ^ x0; y1 = ((y1 << 29) | (y1 >>> 3)) ^ x1;
    y2 = ((y2 << 29) | (y2 >>> 3)) ^ x2; y3 = ((y3 << 29) | (y3 >>> 3)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 16) | (y0 >>> 16)) ^ x0; y1 = ((y1 << 16) | (y1 >>> 16)) ^ x1;
    y2 = ((y2 << 16) | (y2 >>> 16)) ^ x2; y3 = ((y3 << 16) | (y3 >>> 16)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 24) | (y0 >>> 8)) ^ x0; y1 = ((y1 << 24) | (y1 >>> 8)) ^ x1;
    y2 = ((y2 << 24) | (y2 >>> 8)) ^ x2; y3 = ((y3 << 24) | (y3 >>> 8)) ^ x3;
    x0 = (x0 + k2) | 0; x1 = (x1 + k2) | 0; x2 = (x2 + k2) | 0; x3 = (x3 + k2) | 0;
    y0 = (y0 + k0b) | 0; y1 = (y1 + k0b) | 0; y2 = (y2 + k0b) | 0; y3 = (y3 + k0b) | 0;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 13) | (y0 >>> 19)) ^ x0; y1 = ((y1 << 13) | (y1 >>> 19)) ^ x1;
    y2 = ((y2 << 13) | (y2 >>> 19)) ^ x2; y3 = ((y3 << 13) | (y3 >>> 19)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 15) | (y0 >>> 17)) ^ x0; y1 = ((y1 << 15) | (y1 >>> 17)) ^ x1;
    y2 = ((y2 << 15) | (y2 >>> 17)) ^ x2; y3 = ((y3 << 15) | (y3 >>> 17)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 26) | (y0 >>> 6)) ^ x0; y1 = ((y1 << 26) | (y1 >>> 6)) ^ x1;
    y2 = ((y2 << 26) | (y2 >>> 6)) ^ x2; y3 = ((y3 << 26) | (y3 >>> 6)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 6) | (y0 >>> 26)) ^ x0; y1 = ((y1 << 6) | (y1 >>> 26)) ^ x1;
    y2 = ((y2 << 6) | (y2 >>> 26)) ^ x2; y3 = ((y3 << 6) | (y3 >>> 26)) ^ x3;
    x0 = (x0 + k0) | 0; x1 = (x1 + k0) | 0; x2 = (x2 + k0) | 0; x3 = (x3 + k0) | 0;
    y0 = (y0 + k1c) | 0; y1 = (y1 + k1c) | 0; y2 = (y2 + k1c) | 0; y3 = (y3 + k1c) | 0;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 17) | (y0 >>> 15)) ^ x0; y1 = ((y1 << 17) | (y1 >>> 15)) ^ x1;
    y2 = ((y2 << 17) | (y2 >>> 15)) ^ x2; y3 = ((y3 << 17) | (y3 >>> 15)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 29) | (y0 >>> 3)) ^ x0; y1 = ((y1 << 29) | (y1 >>> 3)) ^ x1;
    y2 = ((y2 << 29) | (y2 >>> 3)) ^ x2; y3 = ((y3 << 29) | (y3 >>> 3)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 16) | (y0 >>> 16)) ^ x0; y1 = ((y1 << 16) | (y1 >>> 16)) ^ x1;
    y2 = ((y2 << 16) | (y2 >>> 16)) ^ x2; y3 = ((y3 << 16) | (y3 >>> 16)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 24) | (y0 >>> 8)) ^ x0; y1 = ((y1 << 24) | (y1 >>> 8)) ^ x1;
    y2 = ((y2 << 24) | (y2 >>> 8)) ^ x2; y3 = ((y3 << 24) | (y3 >>> 8)) ^ x3;
    x0 = (x0 + k1) | 0; x1 = (x1 + k1) | 0; x2 = (x2 + k1) | 0; x3 = (x3 + k1) | 0;
    y0 = (y0 + k2d) | 0; y1 = (y1 + k2d) | 0; y2 = (y2 + k2d) | 0; y3 = (y3 + k2d) | 0;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 13) | (y0 >>> 19)) ^ x0; y1 = ((y1 << 13) | (y1 >>> 19)) ^ x1;
    y2 = ((y2 << 13) | (y2 >>> 19)) ^ x2; y3 = ((y3 << 13) | (y3 >>> 19)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 15) | (y0 >>> 17)) ^ x0; y1 = ((y1 << 15) | (y1 >>> 17)) ^ x1;
    y2 = ((y2 << 15) | (y2 >>> 17)) ^ x2; y3 = ((y3 << 15) | (y3 >>> 17)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 26) | (y0 >>> 6)) ^ x0; y1 = ((y1 << 26) | (y1 >>> 6)) ^ x1;
    y2 = ((y2 << 26) | (y2 >>> 6)) ^ x2; y3 = ((y3 << 26) | (y3 >>> 6)) ^ x3;
    x0 = (x0 + y0) | 0; x1 = (x1 + y1) | 0; x2 = (x2 + y2) | 0; x3 = (x3 + y3) | 0;
    y0 = ((y0 << 6) | (y0 >>> 26)) ^ x0; y1 = ((y1 << 6) | (y1 >>> 26)) ^ x1;
    y2 = ((y2 << 6) | (y2 >>> 26)) ^ x2; y3 = ((y3 << 6) | (y3 >>> 26)) ^ x3;

    out[at0] = x0 + k2; out[at0 + 1] = y0 + k0e;
    out[at1] = x1 + k2; out[at1 + 1] = y1 + k0e;
    out[at2] = x2 + k2; out[at2 + 1] = y2 + k0e;
    out[at3] = x3 + k2; out[at3 + 1] = y3 + k0e;
  }
  for (; left > 0; left--) {
    const [first, second] = threefry2x32(k0, k1, sample, block);
    out[at++] = first;
    const last = ++block === blocks;
    if (!last || surplus === 0) out[at++] = second;
    if (last) { block = 0; sample = (sample + 1) | 0; }
  }
}
