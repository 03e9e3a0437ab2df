/** Adam against the algorithm of Kingma & Ba written out in double precision, and the schedule against its definition. */
import type { Variable } from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import type { TensorFlow } from '../backend/tensorflow.js';
import { createAdam, learningRateAt } from './adam.js';

let tf: TensorFlow;
beforeAll(async () => {
  ({ tf } = await loadTensorFlow());
});

/** A smooth, not convex gradient that differs from one weight and one step to the next. */
const gradientAt = (w: number, i: number, t: number): number => Math.sin(3 * w + i) + 0.3 * Math.cos(t * 0.7 + i) + (i === 2 ? 1e-6 : 0);

describe('Adam', () => {
  it.each([[0.9, 0.999], [0, 0.99], [0.5, 0.9]])('follows Kingma & Ba for β = (%d, %d) over 200 steps', (beta1, beta2) => {
    const start = [0.3, -1.2, 0.05, 2];
    const variable = tf.variable(tf.tensor1d(start));
    const adam = createAdam(tf, [variable], { beta1, beta2 });
    // Algorithm 1 with explicit bias-corrected moments, epsilon 1e-8 outside the root.
    const [w, m, v] = [[...start], start.map(() => 0), start.map(() => 0)];
    for (let t = 0; t < 200; t++) {
      const learningRate = t < 100 ? 0.01 : 0.001;
      const gradient = w.map((value, i) => gradientAt(value, i, t));
      tf.tidy(() => adam.step({ [variable.name]: tf.tensor1d(gradient) }, learningRate, t));
      gradient.forEach((g, i) => {
        m[i] = beta1 * m[i]! + (1 - beta1) * g;
        v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
        const [mHat, vHat] = [m[i] / (1 - beta1 ** (t + 1)), v[i] / (1 - beta2 ** (t + 1))];
        w[i] = w[i]! - (learningRate * mHat) / (Math.sqrt(vHat) + 1e-8);
      });
    }
    const found = Array.from(variable.dataSync());
    found.forEach((value, i) => expect(value).toBeCloseTo(w[i]!, 4));
    found.forEach((value, i) => expect(Math.abs(value - start[i]!)).toBeGreaterThan(1e-2));
    const moments = adam.moments[0]!;
    Array.from(moments.v.dataSync()).forEach((value, i) => expect(value).toBeCloseTo(v[i]!, 4));
    adam.dispose();
    variable.dispose();
  });

  it('moves every weight by the learning rate in the first step, whatever the size of the gradient', () => {
    const variable = tf.variable(tf.tensor1d([1, 1, 1]));
    const adam = createAdam(tf, [variable], { beta1: 0.9, beta2: 0.999 });
    tf.tidy(() => adam.step({ [variable.name]: tf.tensor1d([1e-3, -5, 0]) }, 0.25, 0));
    expect(Array.from(variable.dataSync())).toEqual([expect.closeTo(0.75, 4), expect.closeTo(1.25, 6), 1]);
    adam.dispose();
    variable.dispose();
  });

  it('is the same bits whether or not its state was saved and put back in between', () => {
    const run = (interrupted: boolean): Float32Array => {
      let variable: Variable = tf.variable(tf.tensor1d([0.3, -1.2, 0.05]));
      let adam = createAdam(tf, [variable], { beta1: 0.9, beta2: 0.999 });
      for (let t = 0; t < 20; t++) {
        if (interrupted && t === 7) {
          const saved = [variable, adam.moments[0]!.m, adam.moments[0]!.v].map((one) => one.dataSync().slice());
          adam.dispose();
          variable.dispose();
          variable = tf.variable(tf.tensor1d(saved[0]!));
          adam = createAdam(tf, [variable], { beta1: 0.9, beta2: 0.999 });
          tf.tidy(() => adam.moments[0]!.m.assign(tf.tensor1d(saved[1]!)));
          tf.tidy(() => adam.moments[0]!.v.assign(tf.tensor1d(saved[2]!)));
        }
        const gradient = Array.from(variable.dataSync(), (w, i) => gradientAt(w, i, t));
        tf.tidy(() => adam.step({ [variable.name]: tf.tensor1d(gradient) }, 0.01, t));
      }
      const end = Float32Array.from(variable.dataSync());
      adam.dispose();
      variable.dispose();
      return end;
    };
    expect(run(true)).toEqual(run(false));
  });

  it('gives all its memory back', () => {
    const before = tf.memory().numTensors;
    const variable = tf.tidy(() => tf.variable(tf.tensor1d([1, 2])));
    const adam = createAdam(tf, [variable], { beta1: 0.9, beta2: 0.999 });
    for (let t = 0; t < 5; t++) tf.tidy(() => adam.step({ [variable.name]: tf.tensor1d([1, 1]) }, 0.1, t));
    adam.dispose();
    variable.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('learningRateAt', () => {
  it('multiplies by the factor at every milestone, from that iteration on', () => {
    const rates = [0, 4, 5, 9, 10, 1000].map((t) => learningRateAt(t, 0.2, [5, 10], 0.1));
    [0.2, 0.2, 0.02, 0.02, 0.002, 0.002].forEach((expected, i) => expect(rates[i]).toBeCloseTo(expected, 12));
  });

  it('does not depend on the order of milestones, and leaves a constant rate alone', () => {
    expect(learningRateAt(7, 1, [10, 5], 0.5)).toBe(0.5);
    expect(learningRateAt(7, 1, [], 0.5)).toBe(1);
  });
});
