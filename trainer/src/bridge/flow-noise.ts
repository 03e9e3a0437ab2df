/** Noise of consecutive flow steps, [steps, N, …]. */
import { fillNormals, purposes } from '@ratioflow/sdk';

export function flowNoise(seed: bigint, firstStep: number, steps: number, count: number, elements: number): Float32Array {
  const size = count * elements;
  const noise = new Float32Array(steps * size);
  for (let k = 0; k < steps; k++) {
    fillNormals(noise.subarray(k * size, (k + 1) * size), { seed, purpose: purposes.flow, step: firstStep + k }, { count, elements });
  }
  return noise;
}
