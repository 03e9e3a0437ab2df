import { beforeAll, describe, expect, it } from 'vitest';
import type { Rank } from '@tensorflow/tfjs';
import { usePlainJavaScript, useWasm } from './portable.js';
import { requireTensorFlow } from './tensorflow.js';

const tf = requireTensorFlow();

interface Case {
  readonly input: [number, number, number, number];
  readonly filter: [number, number, number];
  readonly strides: number | [number, number];
  readonly pad: 'same' | 'valid' | number | [[number, number], [number, number], [number, number], [number, number]];
}

const cases: Case[] = [
  { input: [2, 7, 7, 3], filter: [3, 3, 4], strides: 1, pad: 'same' },
  { input: [2, 7, 6, 3], filter: [3, 3, 4], strides: 2, pad: 'same' },
  { input: [2, 8, 8, 3], filter: [3, 3, 4], strides: 2, pad: 'same' }, // pads below and right only
  { input: [3, 8, 8, 5], filter: [1, 1, 2], strides: 2, pad: 'same' },
  { input: [1, 5, 5, 1], filter: [1, 1, 1], strides: 1, pad: 'valid' },
  { input: [2, 9, 8, 2], filter: [3, 2, 3], strides: 1, pad: 'valid' },
  { input: [2, 10, 9, 2], filter: [3, 3, 3], strides: 3, pad: 'valid' }, // a row that no kernel position reads
  { input: [2, 9, 11, 2], filter: [4, 5, 2], strides: [2, 3], pad: 'valid' },
  { input: [2, 6, 6, 2], filter: [5, 5, 3], strides: 1, pad: 2 },
  { input: [2, 6, 7, 2], filter: [3, 3, 3], strides: [2, 1], pad: [[0, 0], [1, 0], [2, 1], [0, 0]] },
  { input: [2, 4, 4, 2], filter: [4, 4, 3], strides: 1, pad: 'valid' }, // one output pixel
  { input: [1, 2, 2, 2], filter: [7, 7, 2], strides: 1, pad: 'same' }, // kernel larger than the input
  { input: [2, 7, 7, 3], filter: [2, 2, 4], strides: 3, pad: 'same' }, // strides that leave out input pixels
  { input: [5, 28, 28, 1], filter: [3, 3, 8], strides: 2, pad: 1 },
];

/** Gradients of Σ g ⊙ conv2d(x, w) with respect to x and w, on the active backend; x, g, w are fixed by their seeds. */
async function gradients({ input, filter, strides, pad }: Case): Promise<Float32Array[]> {
  const shape: [number, number, number, number] = [filter[0], filter[1], input[3], filter[2]];
  const results = tf.tidy(() => {
    const x = tf.randomNormal<Rank.R4>(input, 0, 1, 'float32', 1);
    const w = tf.randomNormal<Rank.R4>(shape, 0, 1, 'float32', 2);
    const rounding = pad === 'same' || pad === 'valid' ? undefined : 'floor';
    const convolve = (images: typeof x, weights: typeof w): typeof x => tf.conv2d(images, weights, strides, pad, 'NHWC', [1, 1], rounding);
    const g = tf.randomNormal(convolve(x, w).shape, 0, 1, 'float32', 3);
    return tf.grads((images, weights) => tf.sum(tf.mul(g, convolve(images as typeof x, weights as typeof w))))([x, w]);
  });
  const values = await Promise.all(results.map((result) => result.data<'float32'>()));
  tf.dispose(results);
  return values;
}

describe('gradients of a convolution on wasm', () => {
  beforeAll(async () => {
    await useWasm(tf);
  });

  it.each(cases)('agrees with plain JavaScript: $input by $filter, strides $strides, pad $pad', async (sample) => {
    await useWasm(tf);
    expect(tf.getBackend()).toBe('wasm');
    const ours = await gradients(sample);
    await usePlainJavaScript(tf);
    const reference = await gradients(sample);
    reference.forEach((expected, which) => {
      const actual = ours[which]!;
      expect(actual.length).toBe(expected.length);
      const scale = Math.max(...expected.map(Math.abs));
      expect(scale).toBeGreaterThan(0.1);
      for (let i = 0; i < actual.length; i++) expect(Math.abs(actual[i]! - expected[i]!)).toBeLessThan(1e-5 * scale);
    });
  });

  it('leaves no tensor behind', async () => {
    await useWasm(tf);
    await gradients(cases[1]!);
    const before = tf.memory().numTensors;
    await gradients(cases[1]!);
    expect(tf.memory().numTensors).toBe(before);
  });
});
