/** A tiny set of random images in MNIST's file format, for tests that need images and no download. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fillWords, purposes } from '@ratioflow/sdk';

/** Big-endian 32-bit words. */
function words(...values: number[]): Uint8Array {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
  return bytes;
}

/** Writes `count` images of side × side pixels and their labels, all 0: magic number, sizes, bytes. */
export function writeIdxImages(folder: string, count: number, side: number): void {
  mkdirSync(folder, { recursive: true });
  const random = new Uint32Array(count * side * side);
  fillWords(random, { seed: 1, purpose: purposes.testVectors, step: 0 }, { count, elements: side * side });
  writeFileSync(join(folder, 'train-images-idx3-ubyte'), Buffer.concat([words(0x803, count, side, side), Uint8Array.from(random, (word) => word >>> 24)]));
  writeFileSync(join(folder, 'train-labels-idx1-ubyte'), Buffer.concat([words(0x801, count), new Uint8Array(count)]));
}
