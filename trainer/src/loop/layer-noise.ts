/**
 * What layers draw while they learn (dropout, Gaussian noise, in a network of the user's own). Every generator of tfjs that is given no
 * seed takes one from Math.random, so while a step is computed that is a stream of the noise specification: a resumed run draws what an
 * uninterrupted one does, whichever layers there are.
 */
import { fillUniforms, type Seed } from '@ratioflow/sdk';

/** Purpose of the stream (docs/noise.md); the step counts iterations. */
const layers = 7;

/** @param work synchronous, so that nothing else sees the replaced generator */
export function withLayerNoise<T>(seed: Seed, iteration: number, work: () => T): T {
  const original = Math.random;
  const value = new Float64Array(1);
  let drawn = 0;
  Math.random = () => {
    fillUniforms(value, { seed, purpose: layers, step: iteration }, { firstSample: drawn++, count: 1, elements: 1 });
    return value[0]!;
  };
  try {
    return work();
  } finally {
    Math.random = original;
  }
}
