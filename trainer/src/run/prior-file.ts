/** The computed prior of a run, kept in its folder so that a resumed run has it at once. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { FormatError } from '@ratioflow/sdk';
import type { TrainingConfig } from '../config/schema.js';
import { ConfigError } from '../errors.js';
import type { PriorState } from '../priors/prior.js';
import { decodeSafetensors, encodeSafetensors } from './safetensors.js';

const priorFile = 'prior.safetensors';

/** What a prior is computed from. */
type PriorSource = Pick<TrainingConfig, 'data' | 'prior'>;

export async function writePrior(out: string, state: PriorState, source: PriorSource): Promise<void> {
  const d = 'mean' in state ? state.mean.length : 0;
  const arrayOf = (shape: readonly number[], data: Float32Array): { shape: readonly number[]; data: Float32Array } => ({ shape, data });
  const entries = state.kind === 'ddp'
    ? { mean: arrayOf([d], state.mean), factor: arrayOf([d, d], state.factor) }
    : state.kind === 'ddp-low-rank'
      ? { mean: arrayOf([d], state.mean), basis: arrayOf([d, state.gains.length], state.basis), gains: arrayOf([state.gains.length], state.gains), deviation: arrayOf([d], state.deviation) }
      : null;
  if (entries) await writeFileAtomic(join(out, priorFile), encodeSafetensors({ arrays: new Map(Object.entries(entries)), metadata: { kind: state.kind, computedFrom: describe(source) } }));
}

/**
 * @returns undefined where it has to be computed
 * @throws {ConfigError} when it was computed from other data, or in another way: flows that start elsewhere are another run
 */
export async function readPrior(out: string, source: PriorSource): Promise<PriorState | undefined> {
  if (source.prior.kind !== 'ddp') return undefined;
  const path = join(out, priorFile);
  const bytes = await readFile(path).catch(() => null);
  if (!bytes) return undefined;
  try {
    const { arrays, metadata } = decodeSafetensors(bytes, path);
    // Files of earlier versions do not say it.
    const [before, now] = [metadata['computedFrom'], describe(source)];
    if (before !== undefined && before !== now) {
      throw new ConfigError(`${path} was computed from ${before}; the configuration has ${now}. Leave data and prior as they were, or start a new run. Where only the place of the data has changed, remove that file: the prior is computed anew.`);
    }
    const [mean, factor, basis, gains, deviation] = ['mean', 'factor', 'basis', 'gains', 'deviation'].map((name) => arrays.get(name)?.data);
    if (mean && basis && gains && deviation) return { kind: 'ddp-low-rank', mean, basis, gains, deviation };
    return mean && factor ? { kind: 'ddp', mean, factor } : undefined;
  } catch (error) {
    // It is only a cache: what is damaged is computed again from the data.
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** Fields of `data` that make no difference to a prior. */
const indifferent: readonly string[] = ['flip', 'labels', 'onUnreadable', 'cache'] satisfies (keyof TrainingConfig['data'])[];

const describe = ({ data, prior }: PriorSource): string => JSON.stringify({ data, prior }, (key, value: unknown) => (indifferent.includes(key) ? undefined : value));
