/**
 * Dequantisation noise: data are moved off their 256 levels so that the density ratio is finite between them
 * (METHOD.md, data handling).
 */
import { fillNormals, purposes } from '@ratioflow/sdk';
import type { BatchDraw } from './dataset.js';

/**
 * Adds sigma · N(0, I) to a batch in place, not clamped. The noise depends on (seed, iteration, index in the batch) only.
 * @param x batch of `draw.count` samples in C order
 * @param sigma standard deviation in units of the values. @default 0.03
 */
export function addDequantisation(x: Float32Array, draw: BatchDraw, sigma = 0.03): void {
  if (sigma === 0) return;
  const noise = new Float32Array(x.length);
  const stream = { seed: draw.seed, purpose: purposes.dequantisation, step: draw.iteration };
  fillNormals(noise, stream, { firstSample: 0, count: draw.count, elements: x.length / draw.count });
  for (let i = 0; i < x.length; i++) x[i] = x[i]! + sigma * noise[i]!;
}
