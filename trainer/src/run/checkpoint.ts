/** Checkpoints of a run: one file each, written atomically, kept by a rule. */
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { RatioflowError } from '@ratioflow/sdk';
import { ConfigError, TrainingError } from '../errors.js';
import { decodeSafetensors, encodeSafetensors, type NamedArrays } from './safetensors.js';

export interface Checkpoint {
  /** Iterations done. */
  readonly iteration: number;
  readonly arrays: NamedArrays['arrays'];
  readonly metadata: NamedArrays['metadata'];
}

/** Which checkpoints are kept. */
export interface Retention {
  /** How many of the latest. */
  readonly latest: number;
  /** Besides, those of iterations that this divides. @default none */
  readonly every?: number | undefined;
}

const folderOf = (run: string): string => join(run, 'checkpoints');
const pathOf = (run: string, iteration: number): string => join(folderOf(run), `${String(iteration).padStart(8, '0')}.safetensors`);
const pattern = /^(\d{8})\.safetensors$/;

/** Writes a checkpoint and removes earlier ones that need not be kept. */
export async function writeCheckpoint(run: string, checkpoint: Checkpoint, { latest, every }: Retention): Promise<string> {
  const path = pathOf(run, checkpoint.iteration);
  const metadata = { ...checkpoint.metadata, iteration: String(checkpoint.iteration) };
  await writeFileAtomic(path, encodeSafetensors({ arrays: checkpoint.arrays, metadata }));
  const earlier = (await listCheckpoints(run)).filter((iteration) => iteration < checkpoint.iteration);
  const old = earlier.slice(0, Math.max(0, earlier.length - (latest - 1)));
  for (const iteration of old.filter((one) => every === undefined || one % every !== 0)) await rm(pathOf(run, iteration), { force: true });
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
    try {
      return { checkpoint: await readCheckpoint(run, iteration), warnings };
    } catch (error) {
      if (!(error instanceof RatioflowError)) throw error;
      warnings.push(error.message);
    }
  }
  throw new TrainingError(`${run} holds no usable checkpoint${warnings.length > 0 ? ` (${warnings.join(' ')})` : ''}: start the run again without --resume, in another folder.`);
}

/**
 * Reads the checkpoint of an iteration.
 * @throws {ConfigError} when there is none, naming those that there are
 * @throws {TrainingError | FormatError} when it cannot be read or is damaged
 */
export async function readCheckpoint(run: string, iteration: number): Promise<Checkpoint> {
  const found = await listCheckpoints(run);
  if (!found.includes(iteration)) throw new ConfigError(`${run} has no checkpoint of iteration ${iteration}; there are those of ${found.join(', ') || 'none'}.`);
  const path = pathOf(run, iteration);
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new TrainingError(`${path} cannot be read: ${(cause as Error).message}.`, { cause });
  });
  const { arrays, metadata } = decodeSafetensors(bytes, path);
  return { iteration, arrays, metadata };
}

/**
 * Moves the checkpoints after an iteration out of the way, into a folder beside: a run that goes on from there has another future.
 * @returns that folder; null when there were none
 */
export async function setAsideAfter(run: string, iteration: number): Promise<string | null> {
  const later = (await listCheckpoints(run)).filter((one) => one > iteration);
  if (later.length === 0) return null;
  const parent = join(run, 'set-aside');
  const taken = await readdir(parent).catch((): string[] => []);
  let number = 1;
  while (taken.includes(`${number}-after-${iteration}`)) number++;
  const folder = join(parent, `${number}-after-${iteration}`);
  await mkdir(folder, { recursive: true });
  // The newest first: if this is cut short, what is left still leads up to the iteration.
  for (const one of later.reverse()) await rename(pathOf(run, one), join(folder, `${String(one).padStart(8, '0')}.safetensors`));
  return folder;
}
