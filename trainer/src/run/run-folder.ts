/** The folder of a run: made new, or found with its configuration. */
import { access, constants, mkdir, readdir, readFile, rm, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { stringify } from 'yaml';
import type { RunConfig } from '../config/schema.js';
import { ConfigError } from '../errors.js';
import { checkpointsKept, sizesOf } from '../plan/network-plan.js';
import { lockFile } from './run-lock.js';

const configFile = 'config.yaml';

/** @throws {ConfigError} when the folder already holds something, cannot be made, or cannot be written into */
export async function makeRunFolder(out: string): Promise<void> {
  const entries = await entriesOf(out);
  if (entries.length > 0) throw new ConfigError(`${out} is not empty (${held(entries)}): choose another folder, or go on with --resume ${out}.`);
  await make(out);
}

/** An empty folder for what is no run. @throws {ConfigError} when it already holds something */
export async function makeFolder(out: string): Promise<void> {
  const entries = await entriesOf(out);
  if (entries.length > 0) throw new ConfigError(`${out} is not empty (${held(entries)}): choose another folder, or remove it.`);
  await make(out);
}

async function make(out: string): Promise<void> {
  const refuse = (what: string) => (cause: unknown): never => {
    throw new ConfigError(`${out} cannot be ${what}: ${(cause as Error).message}. Choose another folder.`, { cause });
  };
  await mkdir(out, { recursive: true }).catch(refuse('made'));
  await access(out, constants.W_OK).catch(refuse('written into'));
}

/**
 * What would fail hours later: checkpoints, and one more while it is written, must find room, and so must what else is written.
 * @param parameters of the network
 * @param others bytes of the other files
 * @throws {ConfigError} when the disk has less room than a new run takes
 */
export async function checkRoom(out: string, config: RunConfig, parameters: number, others: number): Promise<void> {
  const { checkpointBytes } = sizesOf(config, parameters, 0);
  const needed = checkpointBytes * (1 + 1 / checkpointsKept(config)) + others;
  const { bavail, bsize } = await statfs(out);
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toPrecision(3)} MB`;
  if (bavail * bsize < needed) throw new ConfigError(`${out}: the checkpoints of this run and what comes out of it take ${megabytes(needed)}, but the disk has ${megabytes(bavail * bsize)} left. Make room, choose another folder, or keep fewer of them (checkpoints.keep).`);
}

/** Takes away what a process that was killed while it wrote has left; none but this one writes now (run-lock.ts). */
export async function sweep(out: string): Promise<void> {
  for (const name of await readdir(out, { recursive: true })) if (leftover.test(basename(name))) await rm(join(out, name), { force: true });
}

/** As `writeFileAtomic` names files that are not complete. */
const leftover = /^\..+\.[0-9a-f]{12}\.tmp$/;

/** Without the lock of a run that was killed before it had anything. */
const entriesOf = async (out: string): Promise<string[]> => (await readdir(out).catch((): string[] => [])).filter((name) => name !== lockFile);
const held = (entries: readonly string[]): string => `it holds ${entries.slice(0, 3).join(', ')}${entries.length > 3 ? ', …' : ''}`;

export const writeRunConfig = (out: string, config: object): Promise<void> => writeFileAtomic(join(out, configFile), stringify(config));

/** Text of a run's configuration, and its path for messages. */
export async function readRunConfig(out: string): Promise<{ readonly text: string; readonly path: string }> {
  const path = join(out, configFile);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ConfigError(`${out} is no run: ${path} cannot be read. Start one with \`ratioflow train <config.yaml> --out ${out}\`.`, { cause });
  });
  return { text, path };
}
