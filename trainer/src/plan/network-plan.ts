/** What the plans of all kinds of runs share. */
import type { Model } from '@ratioflow/export';
import type { RunConfig } from '../config/schema.js';

/** What a network and its training take, counted. */
export interface NetworkPlan {
  readonly sampleShape: readonly number[];
  readonly parameters: number;
  /** Multiply-accumulates of one sample through the network. */
  readonly forwardMacs: number;
  /** Floating-point operations (two a multiply-accumulate) of one training iteration. */
  readonly flopsPerIteration: number;
  /** Bytes of weights, gradients, moments and average, and of the values that learning keeps for its gradient. */
  readonly weightBytes: number;
  readonly activationBytes: number;
  /** Bytes on disk of the checkpoints that are kept. */
  readonly checkpointBytes: number;
}

/** The run with another setting; `failure` where that does not work here. */
export type Alternative = { readonly setting: string } & ({ readonly hours: number } | { readonly failure: string });

/** Multiply-accumulates of a learning step that the portable backend is tried with. */
const longestPortable = 5e9;

/** Samples that the portable backend is tried with. @param macs of one sample */
export const portableBatch = (samples: number, macs: number): number => Math.min(samples, Math.max(2, Math.floor(longestPortable / macs)));

export async function attempt(setting: string, signal: AbortSignal | undefined, work: () => Promise<number>): Promise<Alternative> {
  const result = await work().then((hours) => ({ hours }), (error: unknown) => ({ failure: error instanceof Error ? error.message : String(error) }));
  signal?.throwIfAborted();
  return { setting, ...result };
}

/** Bytes of training. @param activationBytes of the values that learning keeps */
export function sizesOf({ checkpoints: { every, keep }, training }: RunConfig, parameters: number, activationBytes: number): Pick<NetworkPlan, 'parameters' | 'weightBytes' | 'activationBytes' | 'checkpointBytes'> {
  const copies = training.ema > 0 ? 4 : 3;
  return { parameters, weightBytes: 4 * parameters * (copies + 1), activationBytes, checkpointBytes: checkpointsKept({ checkpoints: { every, keep }, training }) * 4 * parameters * copies };
}

/** Checkpoints at the end of a run: the latest, and those of earlier iterations that are kept for good. */
export function checkpointsKept({ checkpoints: { every, keep }, training: { iterations } }: Pick<RunConfig, 'checkpoints' | 'training'>): number {
  const written = Math.ceil(iterations / every);
  const latest = Math.min(keep.latest, written);
  return latest + (keep.every === undefined ? 0 : Math.floor(((written - latest) * every) / keep.every));
}

/** Numbers that a graph makes for one sample. */
export function valuesOf({ graph }: Model): number {
  const outputs = graph.nodes.flatMap((node) => node.outputs);
  return outputs.reduce((sum, value) => sum + (value?.shape?.length ? value.shape.reduce<number>((a, extent) => a * (typeof extent === 'number' ? extent : 1), 1) : 0), 0);
}
