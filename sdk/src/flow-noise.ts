/**
 * ξ_k for the flow of one batch, several steps at a time, in two buffers that are used again and again: while the engine
 * reads one, the next steps are written into the other.
 */
import { fillFlowNormals } from './noise/fill.js';
import type { FloatTensor } from './runtime.js';
import { allocate } from './tensor.js';

/** Bytes that each of the two buffers may grow to (beyond a single step, which always fits). */
const bufferBytes = 32 * 2 ** 20;

/** Small buffers of flows that have ended: making them anew would be felt in a short flow. */
const idle: Float32Array[] = [];
const idleBytes = 2 ** 20;
const idleMost = 4;

/** Noise of consecutive steps. */
export interface FlowNoise {
  /** The most steps that one `take` can give. */
  readonly capacity: number;
  /** Prepares the noise of `steps` steps from step k on; the array taken before stays untouched. */
  prefetch(k: number, steps: number): void;
  /** The same noise, [steps · samples · elements] values, valid until the `prefetch` or `take` after next. */
  take(k: number, steps: number): Float32Array;
  /** Leaves the buffers to the next flow: nothing taken is valid after it. */
  release(): void;
}

/** Samples `first` to `first + count − 1`, as part of a seed or of a given array. */
interface Part { readonly first: number; readonly count: number; readonly elements: number }

/** Noise of a seed, by the specification: it depends on (seed, step, sample index) alone. */
export function seededNoise(seed: bigint, { first, count, elements }: Part): FlowNoise {
  const perStep = count * elements;
  return buffered(perStep, (out, k, steps) => fillFlowNormals(out, { seed, step: k, steps }, { firstSample: first, count, elements }));
}

/** Noise given by the caller, [steps, all samples, …], of which this batch is a part. */
export function givenNoise(noise: FloatTensor, { first, count, elements }: Part): FlowNoise {
  const all = noise.shape[1]!;
  const perStep = count * elements;
  return buffered(perStep, (out, k, steps) => {
    for (let i = 0; i < steps; i++) {
      const from = ((k + i) * all + first) * elements;
      out.set(noise.data.subarray(from, from + perStep), i * perStep);
    }
  });
}

function buffered(perStep: number, fill: (out: Float32Array, k: number, steps: number) => void): FlowNoise {
  let spare = idle.pop() ?? new Float32Array(0);
  let taken = idle.pop() ?? new Float32Array(0);
  let ready = { k: -1, steps: 0 };
  const prefetch = (k: number, steps: number): void => {
    if (ready.k === k && ready.steps >= steps) return;
    if (spare.length < steps * perStep) spare = allocate(steps * perStep, `${steps} steps of noise`);
    fill(spare.subarray(0, steps * perStep), k, steps);
    ready = { k, steps };
  };
  const take = (k: number, steps: number): Float32Array => {
    prefetch(k, steps);
    [spare, taken] = [taken, spare];
    ready = { k: -1, steps: 0 };
    return taken.subarray(0, steps * perStep);
  };
  const release = (): void => {
    for (const buffer of [taken, spare]) if (buffer.length > 0 && buffer.byteLength <= idleBytes && idle.length < idleMost) idle.push(buffer);
    spare = taken = new Float32Array(0);
  };
  return { capacity: Math.max(1, Math.floor(bufferBytes / 4 / perStep)), prefetch, take, release };
}
