import { beforeAll, describe, expect, it } from 'vitest';
import type { Tensor } from '@tensorflow/tfjs';
import { isNativeInstalled, useNative } from './native.js';
import { usePlainJavaScript } from './portable.js';
import { requireTensorFlow } from './tensorflow.js';

const tf = requireTensorFlow();

const products = [
  { a: [5, 7], b: [7, 3], transposeA: false, transposeB: false },
  { a: [7, 5], b: [7, 3], transposeA: true, transposeB: false },
  { a: [5, 7], b: [3, 7], transposeA: false, transposeB: true },
  { a: [7, 5], b: [3, 7], transposeA: true, transposeB: true },
  { a: [1, 5, 7], b: [1, 7, 3], transposeA: false, transposeB: false },
  { a: [1, 1, 7, 5], b: [1, 1, 3, 7], transposeA: true, transposeB: true },
  // Left to the operator for batches.
  { a: [4, 5, 7], b: [4, 7, 3], transposeA: false, transposeB: false },
  { a: [0, 7], b: [7, 3], transposeA: false, transposeB: false },
];

/** The same on native TensorFlow and in plain JavaScript, with the numbers of tensors that native TensorFlow keeps. */
async function onBoth(compute: () => Tensor[]): Promise<{ native: Float32Array; plain: Float32Array; shapes: number[][][] }[]> {
  const run = async (use: () => Promise<void>): Promise<{ values: Float32Array[]; shapes: number[][] }> => {
    await use();
    const before = tf.memory().numTensors;
    const results = tf.tidy(compute);
    const values = await Promise.all(results.map((result) => result.data<'float32'>()));
    const shapes = results.map(({ shape }) => shape);
    tf.dispose(results);
    expect(tf.memory().numTensors).toBe(before);
    return { values, shapes };
  };
  const plain = await run(() => usePlainJavaScript(tf));
  const native = await run(() => useNative(tf, true));
  return native.values.map((values, i) => ({ native: values, plain: plain.values[i]!, shapes: [native.shapes, plain.shapes].map((all) => [all[i]!]) }));
}

function expectEqual(results: Awaited<ReturnType<typeof onBoth>>, tolerance: number): void {
  for (const { native, plain, shapes } of results) {
    expect(shapes[0]).toEqual(shapes[1]);
    expect(native.length).toBe(plain.length);
    const scale = plain.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    native.forEach((value, i) => expect(Math.abs(value - plain[i]!)).toBeLessThanOrEqual(tolerance * scale));
  }
}

describe.skipIf(!isNativeInstalled())('operators that TensorFlow has and tfjs-node does not use', () => {
  beforeAll(() => useNative(tf, true));

  it.each(products)('multiply $a by $b (transposed: $transposeA, $transposeB), with gradients', async ({ a, b, transposeA, transposeB }) => {
    const multiply = (x: Tensor, y: Tensor): Tensor => tf.matMul(x, y, transposeA, transposeB);
    expectEqual(await onBoth(() => {
      const operands = [tf.randomNormal(a, 0, 1, 'float32', 1), tf.randomNormal(b, 0, 1, 'float32', 2)];
      const value = multiply(operands[0]!, operands[1]!);
      const g = tf.randomNormal(value.shape, 0, 1, 'float32', 3);
      return [value, ...tf.grads((x, y) => tf.sum(tf.mul(g, multiply(x, y))))(operands)];
    }), 1e-6);
  });

  it('repeats a batch of one', async () => {
    expectEqual(await onBoth(() => [tf.matMul(tf.randomNormal([1, 5, 7], 0, 1, 'float32', 1), tf.randomNormal([4, 7, 3], 0, 1, 'float32', 2))]), 1e-6);
  });

  it('multiplies integers as before', async () => {
    await useNative(tf, true);
    expect([...tf.tidy(() => tf.matMul(tf.tensor2d([[1, 2]], [1, 2], 'int32'), tf.tensor2d([[3], [4]], [2, 1], 'int32'))).dataSync()]).toEqual([11]);
  });

  it.each([0, 0.2, 1.5, -0.5])('differentiate LeakyReLU of slope %d, zero on the left side', async (alpha) => {
    const x = [-2, -0.5, -0, 0, 1e-30, 0.5, 3];
    expectEqual(await onBoth(() => [tf.grad((z) => tf.sum(tf.mul(tf.leakyRelu(z, alpha), [1, 2, 3, 4, 5, 6, 7])))(tf.tensor1d(x))]), 0);
  });
});
