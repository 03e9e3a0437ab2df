/** Training as a person follows it: a bar on a terminal, a line now and then elsewhere. */
import type { RunOptions, TrainingProgress } from '@ratioflow/trainer';
import type { Context } from './context.js';
import { progressBars, type ProgressBar } from './progress.js';
import { duration } from './text.js';

/** Milliseconds between two lines where there is no terminal. */
const lineInterval = 15_000;

type Callbacks = Pick<RunOptions, 'onMessage' | 'onProgress' | 'signal'>;

export async function followTraining<T>(context: Context, work: (callbacks: Callbacks) => Promise<T>): Promise<T> {
  const display = await createDisplay(context);
  try {
    return await work({ signal: context.signal, onProgress: display.show, onMessage: display.note });
  } finally {
    display.stop();
  }
}

interface Display {
  readonly show: (progress: TrainingProgress) => void;
  readonly note: (message: string) => void;
  readonly stop: () => void;
}

async function createDisplay(context: Context): Promise<Display> {
  const { terminal, note } = context;
  if (!terminal) {
    let last = -Infinity;
    return {
      show: (progress) => {
        const now = performance.now();
        if (now - last < lineInterval && progress.iteration !== progress.of) return;
        last = now;
        note(`iteration ${progress.iteration} of ${progress.of}: ${describe(progress)}`);
      },
      note,
      stop: () => undefined,
    };
  }
  const startBar = await progressBars(context);
  let bar: ProgressBar | null = null;
  const stop = (): void => {
    bar?.stop();
    bar = null;
  };
  return {
    show: (progress) => {
      bar ??= startBar(progress.of, 'iterations', '');
      bar.update(progress.iteration, progress.of, describe(progress));
    },
    note: (message) => {
      stop();
      note(message);
    },
    stop,
  };
}

function describe(progress: TrainingProgress): string {
  const ratio = (value: number): string => `${value < 0 ? '' : '+'}${value.toFixed(2)}`;
  const learned = 'accuracy' in progress
    ? `accuracy ${(100 * progress.accuracy).toFixed(1)} %`
    : `log ratio ${ratio(progress.logRatioData)} on data, ${ratio(progress.logRatioSamples)} on samples`;
  const left = progress.secondsLeft > 0 ? `, ${duration(1000 * progress.secondsLeft)} left` : '';
  return `loss ${progress.loss.toFixed(3)}, ${learned}, ${progress.iterationsPerSecond.toPrecision(2)} a second${left}`;
}
