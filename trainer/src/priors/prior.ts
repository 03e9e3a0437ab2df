/**
 * The priors q' that the flow starts from (METHOD.md). A prior is a deterministic map from z to x₀ and the law of z; the
 * bundle's prior.onnx holds the same map, so training and every runtime start from the same numbers.
 */
import { ArgumentError, fillNormals, fillUniforms, purposes } from '@ratioflow/sdk';
import type { PriorRecord, Seed } from '@ratioflow/sdk';
import { sampleLength } from '../data/dataset.js';
import { applyFactor } from './ddp.js';
import type { DdpState } from './ddp.js';
import { applyLowRank, type LowRankState } from './low-rank.js';

/** Which samples of a prior: sample s depends on (seed, s) only; training passes `trainingSeed(seed, iteration)`. */
export interface PriorDraw {
  readonly seed: Seed;
  /** @default 0 */
  readonly firstSample?: number;
  readonly count: number;
}

/** Everything that a prior is made of; plain data, to be stored. */
export type PriorState = { readonly kind: 'gaussian'; /** @default 1 */ readonly deviation?: number } | { readonly kind: 'uniform' } | { readonly kind: 'source' } | ({ readonly kind: 'ddp' } & DdpState) | ({ readonly kind: 'ddp-low-rank' } & LowRankState);

/** A distribution of starting points. */
export interface Prior extends PriorRecord {
  readonly sampleShape: readonly number[];
  readonly state: PriorState;
  /**
   * Fills `out` with x₀ of the samples, [N, …sampleShape].
   * @throws {ArgumentError} when the length of `out` is not `count · product(sampleShape)`
   */
  draw(out: Float32Array, draw: PriorDraw): void;
  /** Fills `out` with z, [N, D]: what `prior.onnx` wants as its input. Errors as for `draw`. */
  drawLatent(out: Float32Array, draw: PriorDraw): void;
  /** x₀ of given z, both [N, D]; `out` may be `z` itself unless the prior is data-dependent. */
  transform(out: Float32Array, z: Float32Array): void;
}

/** Names of the priors, as they stand in configurations. */
export const priorNames = ['gaussian', 'uniform', 'ddp', 'source'] as const satisfies readonly PriorRecord['kind'][];

/**
 * Makes a prior of its state. gaussian: x₀ = deviation · z, z ~ N(0, I). uniform: x₀ = 2z − 1, z ~ U(0, 1) rounded to float32.
 * ddp: x₀ = clamp(mean + z·Lᵀ, −1, 1), z ~ N(0, I); ddp-low-rank, which records call ddp as well: see low-rank.ts.
 * source: x₀ are samples of another set, which training draws and users give; this map, that of uniform, only stands in for them.
 * @throws {ArgumentError} for an unknown kind, or a state whose sizes contradict the sample's shape
 */
export function createPrior(state: PriorState, sampleShape: readonly number[]): Prior {
  const length = sampleLength(sampleShape);
  const transform = transformOf(state, sampleShape);
  const z = state.kind === 'uniform' || state.kind === 'source' ? 'uniform' : 'normal';
  const fill = z === 'uniform' ? fillUniforms : fillNormals;
  const drawLatent: Prior['drawLatent'] = (out, { seed, firstSample = 0, count }) => {
    if (out.length !== count * length) {
      throw new ArgumentError(
        `Prior '${state.kind}': the buffer holds ${out.length} numbers, ${count} samples of [${sampleShape.join(', ')}] are ${count * length}.`,
      );
    }
    fill(out, { seed, purpose: purposes.prior, step: 0 }, { firstSample, count, elements: length });
  };
  return {
    kind: state.kind === 'ddp-low-rank' ? 'ddp' : state.kind,
    z,
    sampleShape,
    state,
    drawLatent,
    transform,
    draw(out, draw) {
      const latent = state.kind.startsWith('ddp') ? new Float32Array(out.length) : out;
      drawLatent(latent, draw);
      transform(out, latent);
    },
  };
}

function transformOf(state: PriorState, sampleShape: readonly number[]): Prior['transform'] {
  switch (state.kind) {
    case 'gaussian': {
      // As in prior.onnx: the factor in float32, one rounding.
      const deviation = Math.fround(state.deviation ?? 1);
      return (out, z) => {
        for (let i = 0; i < z.length; i++) out[i] = deviation * z[i]!;
      };
    }
    case 'uniform': case 'source':
      return (out, z) => {
        for (let i = 0; i < z.length; i++) out[i] = 2 * z[i]! - 1;
      };
    case 'ddp': {
      const length = sampleLength(sampleShape);
      if (state.mean.length !== length || state.factor.length !== length * length) {
        throw new ArgumentError(
          `Prior 'ddp': a mean of ${state.mean.length} and a factor of ${state.factor.length} numbers don't fit samples of ` +
            `[${sampleShape.join(', ')}], which need ${length} and ${length * length}. Were they computed from another data set?`,
        );
      }
      return (out, z) => applyFactor(out, z, state);
    }
    case 'ddp-low-rank': {
      const [length, rank] = [sampleLength(sampleShape), state.gains.length];
      if (state.mean.length !== length || state.deviation.length !== length || state.basis.length !== length * rank) {
        throw new ArgumentError(
          `Prior 'ddp' of rank ${rank}: a mean of ${state.mean.length} and a basis of ${state.basis.length} numbers don't fit samples of ` +
            `[${sampleShape.join(', ')}], which need ${length} and ${length * rank}. Were they computed from another data set?`,
        );
      }
      return (out, z) => applyLowRank(out, z, state);
    }
    default: {
      const { kind } = state satisfies never as { readonly kind?: unknown };
      throw new ArgumentError(`Unknown prior ${JSON.stringify(kind)}: use one of ${priorNames.join(', ')}.`);
    }
  }
}
