/**
 * Where a flow starts and with which noise: the options of `Model.flow` for each mode of the page.
 */
import { normals, purposes } from '@ratioflow/sdk';
import type { FloatTensor, FlowOptions, Model } from '@ratioflow/sdk';
import type { Settings } from './settings.js';

/** Settings in which nothing is left open. */
export interface FullSettings extends Settings {
  count: number;
  K: number;
  kappa: number;
  eta: number;
  nu: number;
}

/** Spherical interpolation of two draws at `count` places from a to b, both included. */
export function interpolate(a: Float32Array, b: Float32Array, count: number): Float32Array {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  const angle = Math.acos(Math.max(-1, Math.min(1, dot / Math.sqrt(aa * bb) || 0)));
  const out = new Float32Array(count * a.length);
  for (let n = 0; n < count; n++) {
    const t = count === 1 ? 0 : n / (count - 1);
    // Draws on one ray leave nothing to turn: a straight line then.
    const [wa, wb] = Math.sin(angle) < 1e-6 ? [1 - t, t] : [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
    for (let i = 0; i < a.length; i++) out[n * a.length + i] = wa * a[i]! + wb * b[i]!;
  }
  return out;
}

/** The noise of sample 0 of a seed, the same for `count` samples: [steps, count, …shape]. */
function sharedNoise(seed: string, steps: number, count: number, shape: readonly number[]): FloatTensor {
  const elements = shape.reduce((a, b) => a * b, 1);
  const data = new Float32Array(steps * count * elements);
  for (let k = 0; k < steps; k++) {
    const xi = normals({ seed, purpose: purposes.flow, step: k, count: 1, elements });
    for (let n = 0; n < count; n++) data.set(xi, (k * count + n) * elements);
  }
  return { shape: [steps, count, ...shape], data };
}

/** @param drawing x₀ in the mode `draw`, [n, …sample shape] */
export async function flowOptions(model: Model, settings: FullSettings, drawing: FloatTensor | undefined): Promise<FlowOptions> {
  const { mode, seed, seedB, count, K, kappa, eta, nu } = settings;
  const { sampleShape } = model.manifest;
  switch (mode) {
    case 'prior': return { count, seed, K, kappa, eta, nu };
    case 'interpolate': {
      const [a, b] = await Promise.all([model.prior({ seed }), model.prior({ seed: seedB })]);
      const x0: FloatTensor = { shape: [count, ...sampleShape], data: interpolate(a.data, b.data, count) };
      return { x0, K, kappa, eta, nu, ...(K + kappa > 0 && { noise: sharedNoise(seed, K + kappa, count, sampleShape) }) };
    }
    // A drawing is no draw from the prior: all steps refine it.
    case 'draw': return { x0: drawing!, seed, K: 0, kappa, eta, nu };
  }
}
