/** Iterations of a run in its folder, whatever is trained: record, checkpoints, what is shown at intervals, interrupts. */
import { DivergenceError, TrainingError } from '../errors.js';
import { diagnosed } from '../loop/diagnose.js';
import type { TrainedWeights } from '../loop/weights.js';
import { listCheckpoints, readCheckpoint, setAsideAfter, writeCheckpoint, type Checkpoint, type Retention } from './checkpoint.js';
import type { RunMetrics } from './metrics.js';
import { progressMeter, type Pace } from './progress.js';
import { writeRunConfig } from './run-folder.js';

/** How a run is watched and stopped. */
export interface IterateOptions<M extends RunMetrics> {
  /** Folder of the run. */
  readonly out: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: M & Pace) => void) | undefined;
  /** Sentences worth showing: the backend, a checkpoint, a warning. */
  readonly onMessage?: ((message: string) => void) | undefined;
}

/** What a run leaves for people while it goes on. */
export interface RunLog<M extends RunMetrics> {
  readonly rows: readonly M[];
  /** Takes an iteration; every few seconds what is new goes to the files. */
  add(metrics: M): Promise<void>;
  /** Writes what is new to the files. */
  flush(): Promise<void>;
  /** Draws and writes what shows the run as a whole. @param status where the run stands, a sentence */
  publish(status: string): Promise<void>;
}

/** What is trained. */
export interface RunTask<M extends RunMetrics, L extends RunLog<M>> {
  readonly config: {
    readonly name: string;
    readonly seed: string;
    readonly training: { readonly iterations: number };
    readonly checkpoints: { readonly every: number; readonly keep: Retention };
    readonly divergence: { readonly action: 'report' | 'stop' | 'rollback'; readonly factor: number; readonly attempts: number };
  };
  readonly learner: Pick<TrainedWeights, 'state' | 'restore'>;
  /** Names of the settings that a run that diverges needs smaller, for messages. */
  readonly stepSettings: string;
  /** Opens the record of iterations 1 … from, without anything of a later past. */
  openLog(from: number): Promise<L>;
  /** Iterations `from` … `to` − 1, one `yield` each; between yields nothing runs. */
  train(from: number, to: number, signal: AbortSignal | undefined, stepFactor: number): AsyncIterable<M>;
  /** What is wrong, judged by the rows so far, in a sentence; null when all is well. */
  readonly diagnose: (rows: readonly M[]) => string | null;
  /** Iterations between calls of `show`, the last one not included; 0: never. */
  readonly showEvery: number;
  /** Pictures and figures of the present weights. */
  show(iteration: number, log: L): Promise<void>;
}

/**
 * Runs a task from a checkpoint, or from the start, to its last iteration.
 * @returns the record of all iterations
 */
export async function iterate<M extends RunMetrics, L extends RunLog<M>>(task: RunTask<M, L>, checkpoint: Checkpoint | null, options: IterateOptions<M>): Promise<L> {
  const { config, learner } = task;
  const { out, signal, onProgress, onMessage } = options;
  const [from, to] = [checkpoint?.iteration ?? 0, config.training.iterations];
  // It follows from the seed, but the learner that had it goes on; a copy is kept only where it may be gone back to.
  const initial: Checkpoint | null = config.divergence.action === 'rollback' ? { iteration: 0, arrays: learner.state(), metadata: {} } : null;
  if (checkpoint) restore(learner, checkpoint);
  // Only now: what cannot be trained leaves the folder empty, and overrides that do not fit the checkpoint leave the run as it was.
  await writeRunConfig(out, config);
  if (checkpoint) {
    const aside = await setAsideAfter(out, from);
    if (aside) onMessage?.(`Checkpoints of later iterations lie in ${aside} now.`);
    onMessage?.(`Going on after iteration ${from} of ${to}.`);
  }
  let log = await task.openLog(from);
  let done = from;
  /** Where it was resumed or rolled back to. */
  let start = from;
  let saved = checkpoint !== null;
  let { stepFactor, rollbacks } = historyOf(checkpoint);
  const save = async (): Promise<void> => {
    await log.flush();
    const arrays = learner.state();
    for (const [name, { data }] of arrays) {
      if (!data.every(Number.isFinite)) throw new DivergenceError(`${name} holds numbers that are not finite after iteration ${done}: the network has diverged, and no checkpoint of it was written.`);
    }
    const metadata = { name: config.name, seed: config.seed, stepFactor: String(stepFactor), rollbacks: String(rollbacks) };
    await writeCheckpoint(out, { iteration: done, arrays, metadata }, config.checkpoints.keep);
    saved = true;
  };
  const advice = (): string => [
    `${saved ? 'Resume from an earlier checkpoint (--from)' : 'Start again'} with a smaller ${task.stepSettings}`,
    config.divergence.action === 'rollback' ? `; it was rolled back ${rollbacks} of at most ${config.divergence.attempts} times.` : '; divergence.action = rollback does so by itself.',
  ].join('');
  /** Whether none of the last iterations up to this one shows, by itself, what `diagnose` looks for in their mean. */
  const isHealthy = (iteration: number): boolean => log.rows
    .filter((row) => row.iteration > iteration - diagnosed && row.iteration <= iteration)
    .every((row) => task.diagnose(Array.from({ length: diagnosed }, () => row)) === null);
  const watch = watcher(task, advice, onMessage);
  const measure = progressMeter<M>(to);
  const advance = async (): Promise<void> => {
    for await (const result of task.train(done, to, signal, stepFactor)) {
      done = result.iteration;
      await log.add(result);
      onProgress?.(measure(result));
      watch(log.rows);
      if (done % config.checkpoints.every === 0 || done === to) await save();
      if (task.showEvery > 0 && done % task.showEvery === 0 && done < to) await task.show(done, log);
    }
  };
  for (;;) {
    try {
      await advance();
      return log;
    } catch (error) {
      const good = error instanceof DivergenceError && config.divergence.action === 'rollback' && rollbacks < config.divergence.attempts ? await goodCheckpoint(out, done, isHealthy) ?? (done > 0 ? initial : null) : null;
      if (good) {
        await log.flush();
        restore(learner, good);
        start = done = good.iteration;
        rollbacks++;
        stepFactor *= config.divergence.factor;
        log = await task.openLog(done);
        await setAsideAfter(out, done);
        onMessage?.(`${(error as Error).message} Rolled back to iteration ${done}; steps are ${stepFactor} times as large as configured from there (${rollbacks} of at most ${config.divergence.attempts} rollbacks).`);
        // Written anew with what has happened, so that a resumed run goes on in the same way.
        await save();
        continue;
      }
      // The learner holds the last completed iteration, unless its step itself went wrong.
      if (signal?.aborted && done > start) {
        await save();
        await log.publish(`The run was stopped after iteration ${done} and can go on from there.`);
        onMessage?.(`Stopped after iteration ${done}; a checkpoint was written. Go on with --resume ${out}.`);
      } else {
        // The error is what counts, not that the record cannot be written either.
        await log.flush().catch(() => undefined);
      }
      throw error instanceof DivergenceError ? new DivergenceError(`${error.message} ${advice()}`, { cause: error }) : error;
    }
  }
}

/** What rollbacks before a checkpoint have left. */
function historyOf(checkpoint: Checkpoint | null): { stepFactor: number; rollbacks: number } {
  const { stepFactor = '1', rollbacks = '0' } = checkpoint?.metadata ?? {};
  return { stepFactor: Number(stepFactor), rollbacks: Number(rollbacks) };
}

/**
 * The latest intact checkpoint from before the trouble; null when there is none. That of the last good iteration itself leads into it
 * again: the loss that became no number follows from its weights, whatever the size of the step after.
 * @param isHealthy whether all was well up to an iteration in which the trouble may have begun
 */
async function goodCheckpoint(out: string, diverged: number, isHealthy: (iteration: number) => boolean): Promise<Checkpoint | null> {
  const earlier = (await listCheckpoints(out)).filter((iteration) => iteration < diverged).reverse();
  const trusted = earlier.filter((iteration) => iteration <= diverged - diagnosed);
  for (const iteration of trusted.length > 0 ? trusted : earlier.filter(isHealthy)) {
    const checkpoint = await readCheckpoint(out, iteration).catch(() => null);
    if (checkpoint) return checkpoint;
  }
  return null;
}

/** Reports trouble once until it is over, or ends the run by an error. */
function watcher<M extends RunMetrics>({ config: { divergence: { action } }, diagnose }: Pick<RunTask<M, RunLog<M>>, 'config' | 'diagnose'>, advice: () => string, onMessage: ((message: string) => void) | undefined): (rows: readonly M[]) => void {
  let reported = false;
  return (rows) => {
    const trouble = diagnose(rows);
    if (trouble === null) {
      reported = false;
      return;
    }
    const message = `Iteration ${rows.at(-1)!.iteration}: ${trouble}`;
    if (action !== 'report') throw new DivergenceError(message);
    if (!reported) onMessage?.(`${message} ${advice()}`);
    reported = true;
  };
}

/** @throws {TrainingError} for a checkpoint of another network */
export function restore(learner: Pick<TrainedWeights, 'restore'>, checkpoint: Checkpoint): void {
  try {
    learner.restore(checkpoint.arrays);
  } catch (cause) {
    throw new TrainingError(`The checkpoint of iteration ${checkpoint.iteration} does not fit the configuration: ${(cause as Error).message}. Was the network changed?`, { cause });
  }
}
