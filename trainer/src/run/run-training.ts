/** A training run in a folder: configuration, metrics, previews, checkpoints, and at the end the bundle. */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeBundle } from '@ratioflow/export';
import { createRuntime, writeFileAtomic } from '@ratioflow/node';
import { FormatError, type Runtime } from '@ratioflow/sdk';
import { stringify } from 'yaml';
import { parseConfig } from '../config/load.js';
import type { TrainingConfig } from '../config/schema.js';
import { ConfigError, TrainingError } from '../errors.js';
import { train } from '../loop/train.js';
import type { PriorState } from '../priors/prior.js';
import { flowRuntimes } from '../bridge/flow-runtimes.js';
import { assemble, type Assembly } from './assemble.js';
import { readLatestCheckpoint, writeCheckpoint, type Checkpoint } from './checkpoint.js';
import { previewOf } from './preview.js';
import { progressMeter, type TrainingProgress } from './progress.js';
import { openRecord, type RunRecord } from './run-record.js';
import { bundleOf } from './run-bundle.js';
import { decodeSafetensors, encodeSafetensors } from './safetensors.js';

export interface RunOptions {
  /** Folder of the run. */
  readonly out: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: TrainingProgress) => void) | undefined;
  /** Sentences worth showing: the backend, a checkpoint, a warning. */
  readonly onMessage?: ((message: string) => void) | undefined;
}

export interface RunResult {
  readonly out: string;
  readonly bundle: string;
  readonly iterations: number;
}

const configFile = 'config.yaml';
const priorFile = 'prior.safetensors';

/**
 * Starts a run in a new folder.
 * @throws {ConfigError} when the folder already holds something
 * @throws {TrainingError} when training diverges; the last checkpoint stays
 */
export async function startRun(config: TrainingConfig, options: RunOptions): Promise<RunResult> {
  const entries = await readdir(options.out).catch(() => []);
  if (entries.length > 0) throw new ConfigError(`${options.out} is not empty (it holds ${entries.slice(0, 3).join(', ')}${entries.length > 3 ? ', …' : ''}): choose another folder, or go on with --resume ${options.out}.`);
  await mkdir(options.out, { recursive: true });
  return run(config, options, null);
}

/**
 * Goes on from the latest intact checkpoint of a run.
 * @param overrides changes of its configuration, `key=value` each, for example `training.iterations=2000`
 */
export async function resumeRun(overrides: readonly string[], options: RunOptions): Promise<RunResult> {
  const path = join(options.out, configFile);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ConfigError(`${options.out} is no run: ${path} cannot be read. Start one with \`ratioflow train <config.yaml> --out ${options.out}\`.`, { cause });
  });
  const config = parseConfig(text, path, overrides);
  const { checkpoint, warnings } = await readLatestCheckpoint(options.out);
  for (const warning of warnings) options.onMessage?.(warning);
  if (checkpoint.iteration > config.training.iterations) {
    throw new ConfigError(`training.iterations = ${config.training.iterations}, but ${options.out} has done ${checkpoint.iteration} already: give a larger number, or start a new run.`);
  }
  return run(config, options, checkpoint);
}

/**
 * The assembled run of a folder with the weights of its latest checkpoint, for export.
 */
export async function openRun(out: string): Promise<{ run: Assembly; iteration: number }> {
  const path = join(out, configFile);
  const config = parseConfig(await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ConfigError(`${out} is no run: ${path} cannot be read.`, { cause });
  }), path);
  const { checkpoint } = await readLatestCheckpoint(out);
  const run = await assemble(config, createRuntime(), { prior: await readPrior(out) });
  restore(run, checkpoint);
  return { run, iteration: checkpoint.iteration };
}

async function run(config: TrainingConfig, options: RunOptions, checkpoint: Checkpoint | null): Promise<RunResult> {
  const { out, onMessage } = options;
  const runtime = createRuntime();
  const assembly = await assemble(config, runtime, { prior: await readPrior(out), flowRuntimes: flowRuntimes(config.training.batch, config.provider), onMessage });
  try {
    for (const warning of assembly.tensorflow.warnings) onMessage?.(warning);
    onMessage?.(`Learning: ${assembly.tensorflow.description}. Flow: ${assembly.bridge.engine === 'tfjs' ? 'the same' : runtime.name}.`);
    await writePrior(out, assembly.prior.state);
    if (checkpoint) restore(assembly, checkpoint);
    // Only now: what cannot be trained leaves the folder empty, and overrides that do not fit the checkpoint leave the run as it was.
    await writeFileAtomic(join(out, configFile), stringify(config));
    if (checkpoint) {
      onMessage?.(`Going on after iteration ${checkpoint.iteration} of ${config.training.iterations}.`);
    }
    const from = checkpoint?.iteration ?? 0;
    const record = await openRecord(out, from, assembly, runtime);
    await iterate(assembly, runtime, options, record, from);
    const { iterations } = config.training;
    const files = await bundleOf(assembly, iterations, runtime);
    const bundle = join(out, 'bundle');
    await writeBundle(bundle, files);
    if (config.previews.every > 0) await preview(assembly, runtime, files, record, iterations, options.signal);
    await record.publish('The run is complete: its bundle lies in bundle/.');
    return { out, bundle, iterations };
  } finally {
    await assembly.dispose();
  }
}

async function iterate(assembly: Assembly, runtime: Runtime, options: RunOptions, record: RunRecord, from: number): Promise<void> {
  const { config, learner } = assembly;
  const { out, signal, onProgress, onMessage } = options;
  const to = config.training.iterations;
  let done = from;
  const save = async (): Promise<void> => {
    await record.flush();
    const arrays = learner.state();
    for (const [name, { data }] of arrays) {
      if (!data.every(Number.isFinite)) throw new TrainingError(`${name} holds numbers that are not finite after iteration ${done}: the estimator has diverged. No checkpoint was written; resume from the last one with a smaller training.learningRate or flow.eta.`);
    }
    await writeCheckpoint(out, { iteration: done, arrays, metadata: { name: config.name, seed: config.seed } }, config.checkpoints.keep);
  };
  const measure = progressMeter(to);
  try {
    for await (const result of train(assembly, from, to, signal)) {
      done = result.iteration;
      await record.add(result);
      onProgress?.(measure(result));
      if (done % config.checkpoints.every === 0 || done === to) await save();
      // The last preview is made of the bundle that the run ends with.
      if (config.previews.every > 0 && done % config.previews.every === 0 && done < to) {
        await preview(assembly, runtime, await bundleOf(assembly, done, runtime, { generator: false }), record, done, signal);
        await record.publish(`The run goes on; this is its state after iteration ${done}.`);
      }
    }
  } catch (error) {
    // The learner holds the last completed iteration, unless its step itself went wrong.
    if (signal?.aborted && done > from) {
      await save();
      await record.publish(`The run was stopped after iteration ${done} and can go on from there.`);
      onMessage?.(`Stopped after iteration ${done}; a checkpoint was written. Go on with --resume ${out}.`);
    } else {
      // The error is what counts, not that the record cannot be written either.
      await record.flush().catch(() => undefined);
    }
    throw error;
  }
}

async function preview({ config, dataset, source }: Assembly, runtime: Runtime, files: ReadonlyMap<string, Uint8Array>, record: RunRecord, iteration: number, signal: AbortSignal | undefined): Promise<void> {
  await record.preview(iteration, await previewOf(files, dataset, source, runtime, config.previews.count, `${config.name}, iteration ${iteration}`, signal));
}

function restore({ learner }: Assembly, checkpoint: Checkpoint): void {
  try {
    learner.restore(checkpoint.arrays);
  } catch (cause) {
    throw new TrainingError(`The checkpoint of iteration ${checkpoint.iteration} does not fit the configuration: ${(cause as Error).message}. Was estimator changed?`, { cause });
  }
}

async function writePrior(out: string, state: PriorState): Promise<void> {
  const d = 'mean' in state ? state.mean.length : 0;
  const arrayOf = (shape: readonly number[], data: Float32Array): { shape: readonly number[]; data: Float32Array } => ({ shape, data });
  const entries = state.kind === 'ddp'
    ? { mean: arrayOf([d], state.mean), factor: arrayOf([d, d], state.factor) }
    : state.kind === 'ddp-low-rank'
      ? { mean: arrayOf([d], state.mean), basis: arrayOf([d, state.gains.length], state.basis), gains: arrayOf([state.gains.length], state.gains), deviation: arrayOf([d], state.deviation) }
      : null;
  if (entries) await writeFileAtomic(join(out, priorFile), encodeSafetensors({ arrays: new Map(Object.entries(entries)), metadata: { kind: state.kind } }));
}

async function readPrior(out: string): Promise<PriorState | undefined> {
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
