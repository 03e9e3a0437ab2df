/** The computed prior of a run, kept in its folder so that a resumed run has it at once. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { FormatError } from '@ratioflow/sdk';
import type { PriorState } from '../priors/prior.js';
import { decodeSafetensors, encodeSafetensors } from './safetensors.js';

const priorFile = 'prior.safetensors';

export async function writePrior(out: string, state: PriorState): Promise<void> {
  const d = 'mean' in state ? state.mean.length : 0;
  const arrayOf = (shape: readonly number[], data: Float32Array): { shape: readonly number[]; data: Float32Array } => ({ shape, data });
  const entries = state.kind === 'ddp'
    ? { mean: arrayOf([d], state.mean), factor: arrayOf([d, d], state.factor) }
    : state.kind === 'ddp-low-rank'
      ? { mean: arrayOf([d], state.mean), basis: arrayOf([d, state.gains.length], state.basis), gains: arrayOf([state.gains.length], state.gains), deviation: arrayOf([d], state.deviation) }
      : null;
  if (entries) await writeFileAtomic(join(out, priorFile), encodeSafetensors({ arrays: new Map(Object.entries(entries)), metadata: { kind: state.kind } }));
}

export async function readPrior(out: string): Promise<PriorState | undefined> {
  const path = join(out, priorFile);
  const bytes = await readFile(path).catch(() => null);
  if (!bytes) return undefined;
  try {
    const { arrays } = decodeSafetensors(bytes, path);
    const [mean, factor, basis, gains, deviation] = ['mean', 'factor', 'basis', 'gains', 'deviation'].map((name) => arrays.get(name)?.data);
    if (mean && basis && gains && deviation) return { kind: 'ddp-low-rank', mean, basis, gains, deviation };
    return mean && factor ? { kind: 'ddp', mean, factor } : undefined;
  } catch (error) {
    // It is only a cache: what is damaged is computed again from the data.
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
