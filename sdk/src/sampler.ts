/**
 * Two-stage sampling, arXiv 2303.03714, Algorithm 2: x₀ ~ q', K bridging steps, κ refinement steps of the same update.
 * A pure loop over a plan's `advance`; noise, batch and stops are arguments, and nothing is clamped.
 */
import type { FlowNoise } from './flow-noise.js';
import type { AbortSignalLike } from './globals.js';
import { now, throwIfAborted } from './globals.js';
import type { Moving, Plan } from './plan.js';
import { release } from './plan.js';
import type { FloatTensor, Tensor } from './runtime.js';

/** One batch on its way. */
export interface Batch {
  /** x₀ ~ q', [N, …sample shape]; read only. */
  readonly x0: FloatTensor;
  /** K + κ: the stages differ in their name alone. */
  readonly steps: number;
  readonly noise: FlowNoise;
  readonly plan: Plan;
  /** Further inputs of a composed bundle's graphs. */
  readonly extras?: Readonly<Record<string, Tensor>>;
  /** The first step after `k` at which the caller wants to see x. */
  readonly nextStop: (k: number) => number;
  readonly signal: AbortSignalLike | undefined;
}

/** x after `step` steps; one on the device lasts until the next state, or the end. */
export interface State {
  readonly step: number;
  readonly x: Moving;
}

/** Yields x after every call of the engine; it stops at every stop, and may stop in between. */
export async function* runFlow({ x0, steps, noise, plan, extras, nextStop, signal }: Batch): AsyncGenerator<State, void, void> {
  const samples = x0.shape[0]!;
  const chunkFrom = (k: number): number => Math.min(nextStop(k) - k, plan.pace.steps(samples), noise.capacity);
  let x: Moving = x0;
  let m = chunkFrom(0);
  try {
    for (let k = 0; k < steps;) {
      throwIfAborted(signal);
      const xi = noise.take(k, m); // ξ_k … ξ_{k+m−1} ~ N(0, I)
      const start = now();
      const moving = plan.advance(x, xi, m, extras); // x_{k+1} = x_k − η ∇f'(r(x_k)) + ν ξ_k, m times
      const following = k + m < steps ? chunkFrom(k + m) : 0;
      if (following > 0) noise.prefetch(k + m, following); // while the engine works
      const next: Moving = await moving;
      release(x);
      x = next;
      plan.pace.measured(samples, m, now() - start);
      k += m;
      m = following;
      throwIfAborted(signal);
      yield { step: k, x };
    }
  } finally {
    noise.release();
    release(x);
  }
}
