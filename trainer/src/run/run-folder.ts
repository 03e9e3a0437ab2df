/** The folder of a run: made new, or found with its configuration. */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { stringify } from 'yaml';
import { ConfigError } from '../errors.js';

const configFile = 'config.yaml';

/** @throws {ConfigError} when the folder already holds something */
export async function makeRunFolder(out: string): Promise<void> {
  const entries = await entriesOf(out);
  if (entries.length > 0) throw new ConfigError(`${out} is not empty (${held(entries)}): choose another folder, or go on with --resume ${out}.`);
  await mkdir(out, { recursive: true });
}

/** An empty folder for what is no run. @throws {ConfigError} when it already holds something */
export async function makeFolder(out: string): Promise<void> {
  const entries = await entriesOf(out);
  if (entries.length > 0) throw new ConfigError(`${out} is not empty (${held(entries)}): choose another folder, or remove it.`);
  await mkdir(out, { recursive: true });
}

const entriesOf = (out: string): Promise<string[]> => readdir(out).catch(() => []);
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
