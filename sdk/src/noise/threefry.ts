/**
 * Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011;
 * the Random123 library). A counter-based generator: a keyed bijection of 64-bit counters, with no state to carry.
 * This is the definition; `kernel.ts` has the same function for filling arrays. A test holds them equal.
 */

/** Rotation distances of the rounds, used cyclically. */
const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const;

/** Parity constant of the key schedule (Skein's C240). */
export const parity = 0x1bd11bda;

/**
 * The two output words of the block with counter (c0, c1) under key (k0, k1).
 * Arguments are taken modulo 2³²; results are integers in [0, 2³²).
 */
export function threefry2x32(k0: number, k1: number, c0: number, c1: number): [number, number] {
  const key = [k0 | 0, k1 | 0, parity ^ k0 ^ k1];
  let x0 = (c0 + key[0]!) | 0;
  let x1 = (c1 + key[1]!) | 0;
  for (let round = 0; round < 20; round++) {
    const distance = rotations[round % 8]!;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << distance) | (x1 >>> (32 - distance))) ^ x0;
    if (round % 4 === 3) {
      // Every fourth round injects the key, rotated by one word each time, and the number of the injection.
      const injection = (round + 1) / 4;
      x0 = (x0 + key[injection % 3]!) | 0;
      x1 = (x1 + key[(injection + 1) % 3]! + injection) | 0;
    }
  }
  return [x0 >>> 0, x1 >>> 0];
}
