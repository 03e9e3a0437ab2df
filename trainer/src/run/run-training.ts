/** A training run in a folder: configuration, metrics, previews, checkpoints, and at the end the bundle. */
import { join } from 'node:path';
import { writeBundle, type ProductOptions } from '@ratioflow/export';
import { createRuntime, writeFileAtomic } from '@ratioflow/node';
import type { Runtime } from '@ratioflow/sdk';
import { flowRuntime } from '../bridge/flow-runtime.js';
import { classifierOf, runClassifier, type ClassifierResult } from '../classifier/run-classifier.js';
import type { ClassifierMetrics } from '../classifier/train-classifier.js';
import { parseRunConfig } from '../config/load.js';
import type { ClassifierConfig, RunConfig, TrainingConfig } from '../config/schema.js';
import { sampleLength } from '../data/dataset.js';
import { ConfigError } from '../errors.js';
import { parametersOf } from '../estimators/spectral.js';
import { train, type IterationMetrics } from '../loop/train.js';
import { diagnoseEstimator } from '../loop/diagnose.js';
import { bundleBytes, priorBytes } from '../plan/disk.js';
import { assemble, type Assembly } from './assemble.js';
import { listCheckpoints, readCheckpoint, readLatestCheckpoint, type Checkpoint } from './checkpoint.js';
import { iterate, restore, type IterateOptions } from './iterate.js';
import { previewOf } from './preview.js';
import { readData, writeData } from './data-file.js';
import { readPrior, writePrior } from './prior-file.js';
import type { Pace } from './progress.js';
import { estimatorRecord } from './estimator-record.js';
import { bundleOf } from './run-bundle.js';
import { holdingRun } from './run-lock.js';
import { openRecord, type RunRecord } from './run-record.js';
import { checkRoom, makeRunFolder, readRunConfig, sweep } from './run-folder.js';

/** What a run reports while it goes on. */
export type TrainingProgress = (IterationMetrics | ClassifierMetrics) & Pace;
export type RunOptions = IterateOptions<IterationMetrics | ClassifierMetrics>;

export interface RunResult {
  readonly kind: 'estimator';
  readonly out: string;
  readonly bundle: string;
  readonly iterations: number;
}

/**
 * Starts a run in a new folder.
 * @throws {ConfigError} when the folder already holds something, or another process is at work in it
 * @throws {TrainingError} when training diverges; the last checkpoint stays
 */
export function startRun(config: TrainingConfig, options: RunOptions): Promise<RunResult>;
export function startRun(config: ClassifierConfig, options: RunOptions): Promise<ClassifierResult>;
export function startRun(config: RunConfig, options: RunOptions): Promise<RunResult | ClassifierResult>;
export async function startRun(config: RunConfig, options: RunOptions): Promise<RunResult | ClassifierResult> {
  await makeRunFolder(options.out);
  return holdingRun(options.out, () => run(config, options, null));
}

/**
 * Goes on from the latest intact checkpoint of a run, or from that of an iteration; a run that has none yet starts at its beginning.
 * @param overrides changes of its configuration, `key=value` each, for example `training.iterations=2000`
 * @throws {ConfigError} while another process is at work in the folder
 */
export async function resumeRun(overrides: readonly string[], options: RunOptions & { readonly from?: number | undefined }): Promise<RunResult | ClassifierResult> {
  const { text, path } = await readRunConfig(options.out);
  const [before, config] = [parseRunConfig(text, path), parseRunConfig(text, path, overrides)];
  if (before.kind === 'estimator' && config.kind === 'estimator' && before.pairing !== config.pairing) {
    throw new ConfigError(`pairing = ${config.pairing}, but ${options.out} was trained with ${before.pairing}, by which its network's output means something else: leave it as it is, or start a new run.`);
  }
  return holdingRun(options.out, () => resume(config, options));
}

async function resume(config: RunConfig, options: RunOptions & { readonly from?: number | undefined }): Promise<RunResult | ClassifierResult> {
  await sweep(options.out);
  if (options.from === undefined && (await listCheckpoints(options.out)).length === 0) {
    options.onMessage?.(`${options.out} has no checkpoint yet: starting at the beginning.`);
    return run(config, options, null);
  }
  const { checkpoint, warnings } = options.from === undefined ? await readLatestCheckpoint(options.out) : { checkpoint: await readCheckpoint(options.out, options.from), warnings: [] };
  for (const warning of warnings) options.onMessage?.(warning);
  if (checkpoint.iteration > config.training.iterations) {
    throw new ConfigError(`training.iterations = ${config.training.iterations}, but ${options.out} has done ${checkpoint.iteration} already: give a larger number, or start a new run.`);
  }
  return run(config, options, checkpoint);
}

/** What an export has written. */
export interface ExportResult {
  readonly kind: RunConfig['kind'];
  /** The bundle's folder, or the classifier's file. */
  readonly path: string;
  /** Iterations that its weights have seen. */
  readonly iteration: number;
}

/**
 * Exports the (averaged) weights of a run's latest intact checkpoint, without its data: the bundle of an estimator's run, the ONNX file of a classifier's.
 * @param path folder of the bundle; of a classifier the file, whose name ends in .onnx
 * @param products what the bundle holds besides what every bundle holds; a classifier's file has none
 * @throws {ConfigError} for a folder that is no run, or a path or products that do not suit what was trained
 */
export async function exportRun(out: string, path: string, products: ProductOptions = {}): Promise<ExportResult> {
  const { text, path: where } = await readRunConfig(out);
  const config = parseRunConfig(text, where);
  const { kind } = config;
  if (kind === 'classifier') {
    if (!path.endsWith('.onnx')) throw new ConfigError(`${out} trains a classifier, whose export is a single file: ${path} must end in .onnx.`);
    if (Object.keys(products).length > 0) throw new ConfigError(`${out} trains a classifier: half precision, unrolled samplers and embedded weights belong to bundles. Leave those options out.`);
  } else if (path.endsWith('.onnx')) {
    throw new ConfigError(`${out} trains an estimator, whose export is a bundle, a folder: ${path} ends in .onnx. Give a folder; its ratio.onnx is the estimator alone.`);
  }
  const { checkpoint } = await readLatestCheckpoint(out);
  const { iteration } = checkpoint;
  if (kind === 'classifier') {
    await writeFileAtomic(path, await classifierOf(config, checkpoint, await readData(out)));
    return { kind, path, iteration };
  }
  const runtime = createRuntime();
  const prior = await readPrior(out, config);
  // A prior of the data that is not there is computed anew from them.
  const data = config.prior.kind === 'ddp' && !prior ? undefined : await readData(out);
  const assembly = await assemble(config, runtime, { prior, data });
  try {
    restore(assembly.learner, checkpoint);
    await writeBundle(path, await bundleOf(assembly, iteration, runtime, products));
  } finally {
    await assembly.dispose();
  }
  return { kind, path, iteration };
}

const run = (config: RunConfig, options: RunOptions, checkpoint: Checkpoint | null): Promise<RunResult | ClassifierResult> =>
  config.kind === 'classifier' ? runClassifier(config, options, checkpoint) : runEstimator(config, options, checkpoint);

async function runEstimator(config: TrainingConfig, options: RunOptions, checkpoint: Checkpoint | null): Promise<RunResult> {
  const { out, onMessage, signal } = options;
  const runtime = createRuntime();
  const prior = await readPrior(out, config);
  const assembly = await assemble(config, runtime, { prior, flowRuntime: flowRuntime(config.provider), onMessage, signal });
  try {
    for (const warning of assembly.tensorflow.warnings) onMessage?.(warning);
    onMessage?.(`Learning: ${assembly.tensorflow.description}. Flow: ${assembly.bridge.engine === 'tfjs' ? 'the same' : runtime.name}.`);
    if (!checkpoint) await checkRoom(out, config, parametersOf(assembly.network), outcomeBytes(assembly));
    let written = prior;
    const log = await iterate({
      config, learner: assembly.learner, stepSettings: 'training.learningRate or flow.eta',
      async openLog(from) {
        // After the configuration: a run that is killed here can be resumed.
        if (assembly.prior.state !== written) await writePrior(out, assembly.prior.state, config);
        written = assembly.prior.state;
        await writeData(out, assembly.dataset);
        return openRecord(out, from, estimatorRecord(assembly, runtime));
      },
      train: (from, to, abort, stepFactor) => train(assembly, from, to, abort, stepFactor),
      diagnose: (rows) => diagnoseEstimator(assembly.pairing, rows),
      showEvery: config.previews.every,
      async show(iteration, record) {
        await preview(assembly, runtime, await bundleOf(assembly, iteration, runtime, { generator: false }), record, iteration, signal);
        await record.publish(`The run goes on; this is its state after iteration ${iteration}.`);
      },
    }, checkpoint, options);
    const { iterations } = config.training;
    const files = await bundleOf(assembly, iterations, runtime);
    const bundle = join(out, 'bundle');
    await writeBundle(bundle, files);
    // The last preview is made of the bundle that the run ends with.
    if (config.previews.every > 0) await preview(assembly, runtime, files, log, iterations, signal);
    await log.publish('The run is complete: its bundle lies in bundle/.');
    return { kind: 'estimator', out, bundle, iterations };
  } finally {
    await assembly.dispose();
  }
}

/** Of prior and bundle. */
function outcomeBytes({ config, dataset: { sampleShape }, network }: Assembly): number {
  return priorBytes(config, sampleLength(sampleShape)) + bundleBytes(config, { sampleShape, constants: 4 * parametersOf(network) });
}

async function preview({ config, dataset, source }: Assembly, runtime: Runtime, files: ReadonlyMap<string, Uint8Array>, record: RunRecord<IterationMetrics>, iteration: number, signal: AbortSignal | undefined): Promise<void> {
  await record.preview(iteration, await previewOf(files, dataset, source, runtime, config.previews.count, `${config.name}, iteration ${iteration}`, signal));
}
