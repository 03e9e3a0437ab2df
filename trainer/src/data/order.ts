/**
 * Which samples a batch holds: drawn uniformly with replacement from the words of the noise specification, purpose `order`,
 * step = iteration. No epoch, no shuffled list, no state: a resumed run and a sharded reader need only (seed, iteration, index).
 */
import { fillWords, purposes } from '@ratioflow/sdk';
import type { BatchDraw } from './dataset.js';

/** The samples of one batch. */
export interface Order {
  /** Index into the set, per sample of the batch. */
  readonly indices: Uint32Array;
  /** 1 where the image is to be mirrored left to right. A fair coin, drawn whether or not the set wants flips. */
  readonly flips: Uint8Array;
}

/**
 * Draws a batch's order. Element 0 of sample s is the word w of its index, ⌊w · size / 2³²⌋ (no index is favoured by more
 * than size / 2³²); the highest bit of element 1 decides the flip.
 * @param size number of samples in the set, at most 2³²
 */
export function drawOrder({ seed, iteration, count }: BatchDraw, size: number): Order {
  const words = new Uint32Array(2 * count);
  fillWords(words, { seed, purpose: purposes.order, step: iteration }, { firstSample: 0, count, elements: 2 });
  const indices = new Uint32Array(count);
  const flips = new Uint8Array(count);
  for (let s = 0; s < count; s++) {
    // Both factors are integers below 2³²; the product is exact enough that the quotient never reaches `size`.
    indices[s] = Math.floor((words[2 * s]! * size) / 2 ** 32);
    flips[s] = words[2 * s + 1]! >>> 31;
  }
  return { indices, flips };
}

/** Labels of the samples of a batch, of a set whose labels are those of its samples in storage order. */
export function batchLabels(labels: Uint8Array, draw: BatchDraw): Uint8Array {
  return Uint8Array.from(drawOrder(draw, labels.length).indices, (index) => labels[index]!);
}
