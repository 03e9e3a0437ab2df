/**
 * Drivers in other languages: a program that is given the folder of the bundles and one of its own, reads `jobs.json`
 * there, and writes `i.samples.npy` and `i.noise.npy` for job i and the engine's name in `engine.json`.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readNpy } from '@ratioflow/node';
import type { Driver } from '../driver.js';

/** @param command and what comes before the two folders */
export async function runProgram(command: string, args: readonly string[], folder: string, jobs: Parameters<Driver['run']>[1]): ReturnType<Driver['run']> {
  const out = await mkdtemp(join(tmpdir(), 'ratioflow-program-'));
  try {
    await writeFile(join(out, 'jobs.json'), JSON.stringify(jobs));
    await promisify(execFile)(command, [...args, folder, out], { timeout: 120_000 });
    const { engine } = JSON.parse(await readFile(join(out, 'engine.json'), 'utf8')) as { engine: string };
    const array = async (file: string): Promise<Float32Array> => (await readNpy(join(out, file))).data as Float32Array;
    const outcomes = await Promise.all(jobs.map(async (_, i) => ({ samples: await array(`${i}.samples.npy`), noise: await array(`${i}.noise.npy`), provider: 'cpu' })));
    return { engine, outcomes };
  } finally {
    await rm(out, { recursive: true });
  }
}
