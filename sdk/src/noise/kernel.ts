/**
 * The two inner loops of noise, on a buffer of their own: WebAssembly vectors where the platform has them (measured 2.4
 * times as fast as unrolled JavaScript), else the definition itself. Both give the bits of the specification.
 */
import { globals } from '../globals.js';
import { capacity, code, wordsAt } from './generated/noise-kernel.js';
import { pieces, quantileKnots } from './inverse-normal.js';
import { threefry2x32 } from './threefry.js';

export interface Kernel {
  /** The buffer, `capacity` words long. */
  readonly words: Uint32Array;
  /** The same memory after `toNormals`. */
  readonly normals: Float32Array;
  /**
   * Writes the words of `count` blocks: counters (sample, block), (sample, block + 1) … (sample + 1, 0) …
   * @param perSample blocks of one sample
   * @param held blocks at the start of the buffer, which holds capacity / 2, that stay; a few of those behind may change
   */
  readonly fill: (key0: number, key1: number, sample: number, block: number, perSample: number, count: number, held: number) => void;
  /** Replaces the first `count` words by their normals. */
  readonly toNormals: (count: number) => void;
}

/** The intercept and 256 times the slope of each linear piece: the place in a piece comes as (t − i) / 256, and powers of two round nothing. */
function fillTable(table: Float64Array): Float64Array {
  const knots = quantileKnots();
  for (let j = 0; j < pieces; j++) {
    table[2 * j] = knots[j]!;
    table[2 * j + 1] = 256 * (knots[j + 1]! - knots[j]!);
  }
  return table;
}

type VectorExports = Pick<Kernel, 'fill' | 'toNormals'> & { readonly memory: { readonly buffer: ArrayBuffer } };

/** @throws where the platform has no WebAssembly with vectors, or a page's security policy forbids it */
export function vectorKernel(): Kernel {
  const { WebAssembly } = globals;
  const bytes = Uint8Array.from(code.match(/../g)!, (digits) => parseInt(digits, 16));
  const { memory, fill, toNormals } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as VectorExports;
  fillTable(new Float64Array(memory.buffer, 0, 2 * pieces));
  return { words: new Uint32Array(memory.buffer, wordsAt, capacity), normals: new Float32Array(memory.buffer, wordsAt, capacity), fill, toNormals };
}

export function plainKernel(): Kernel {
  const words = new Uint32Array(capacity);
  const normals = new Float32Array(words.buffer);
  const table = fillTable(new Float64Array(2 * pieces));
  return {
    words,
    normals,
    fill(key0, key1, sample, block, perSample, count, held) {
      for (let at = 2 * held; at < 2 * (held + count); at += 2) {
        words.set(threefry2x32(key0, key1, sample, block), at);
        if (++block === perSample) {
          block = 0;
          sample++;
        }
      }
    },
    toNormals(count) {
      for (let at = 0; at < count; at++) {
        const word = words[at]! | 0;
        // n = 2w + 1 in the lower half, 2(2³² − 1 − w) + 1 in the upper: the sign bit flips all others.
        const n = ((word ^ (word >> 31)) << 1) | 1;
        const leading = Math.clz32(n);
        // n shifted up to its leading bit: that bit, 8 bits of i, 23 bits of t − i.
        const shifted = n << leading;
        const entry = ((31 - leading) << 9) | ((shifted >>> 22) & 0x1fe);
        const magnitude = table[entry]! + (shifted & 0x7fffff) * 2 ** -31 * table[entry + 1]!;
        normals[at] = word < 0 ? magnitude : -magnitude;
      }
    },
  };
}

let known: Kernel | undefined;

/** The kernel of this platform, made at the first call. */
export function noiseKernel(): Kernel {
  if (!known) {
    try {
      known = vectorKernel();
    } catch {
      known = plainKernel();
    }
  }
  return known;
}
