/** Checkpoints of a run: one file each, written atomically, the latest few kept. */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { RatioflowError } from '@ratioflow/sdk';
import { TrainingError } from '../errors.js';
import { decodeSafetensors, encodeSafetensors, type NamedArrays } from './safetensors.js';

export interface Checkpoint {
  /** Iterations done. */
  readonly iteration: number;
  readonly arrays: NamedArrays['arrays'];
  readonly metadata: NamedArrays['metadata'];
}

const folderOf = (run: string): string => join(run, 'checkpoints');
const pathOf = (run: string, iteration: number): string => join(folderOf(run), `${String(iteration).padStart(8, '0')}.safetensors`);
const pattern = /^(\d{8})\.safetensors$/;
/** What a process that was killed while writing leaves behind. */
const leftover = /^\.\d{8}\.safetensors\..*\.tmp$/;

/** Writes a checkpoint and removes all but the latest `keep`. */
export async function writeCheckpoint(run: string, checkpoint: Checkpoint, keep: number): Promise<string> {
  const path = pathOf(run, checkpoint.iteration);
  const metadata = { ...checkpoint.metadata, iteration: String(checkpoint.iteration) };
  await writeFileAtomic(path, encodeSafetensors({ arrays: checkpoint.arrays, metadata }));
  const earlier = (await listCheckpoints(run)).filter((iteration) => iteration < checkpoint.iteration);
  for (const iteration of earlier.slice(0, Math.max(0, earlier.length - (keep - 1)))) await rm(pathOf(run, iteration), { force: true });
  for (const name of await readdir(folderOf(run))) if (leftover.test(name)) await rm(join(folderOf(run), name), { force: true });
  return path;
}

/** Iterations of the checkpoints of a run, ascending. */
export async function listCheckpoints(run: string): Promise<number[]> {
  const names = await readdir(folderOf(run)).catch(() => []);
  return names.flatMap((name) => pattern.exec(name)?.[1] ?? []).map(Number).sort((a, b) => a - b);
}

/**
 * Reads the latest checkpoint that is intact.
 * @returns the checkpoint, and a sentence for every later one that was passed over
 * @throws {TrainingError} when there is none
 */
export async function readLatestCheckpoint(run: string): Promise<{ checkpoint: Checkpoint; warnings: string[] }> {
  const warnings: string[] = [];
  for (const iteration of (await listCheckpoints(run)).reverse()) {
    const path = pathOf(run, iteration);
    try {
      const bytes = await readFile(path).catch((cause: unknown) => {
        throw new TrainingError(`${path} cannot be read: ${(cause as Error).message}.`, { cause });
      });
      const { arrays, metadata } = decodeSafetensors(bytes, path);
      return { checkpoint: { iteration, arrays, metadata }, warnings };
    } catch (error) {
      if (!(error instanceof RatioflowError)) throw error;
      warnings.push(error.message);
    }
  }
  throw new TrainingError(`${run} holds no usable checkpoint${warnings.length > 0 ? ` (${warnings.join(' ')})` : ''}: start the run again without --resume, in another folder.`);
}
