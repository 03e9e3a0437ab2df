/**
 * A progress bar on a terminal; nothing elsewhere.
 */
import type { Context } from './context.js';

/** Shows how far something has got. */
export interface ProgressBar {
  /** @param total where it was not known at the start; @param text instead of the time left, where the bar was made with one */
  update(done: number, total?: number, text?: string): void;
  /** Takes the bar off the screen. */
  stop(): void;
}

/** Puts a bar on the screen. @param unit what is counted, for example `steps`; @param text what follows it. @default the time left */
export type StartBar = (total: number, unit: string, text?: string) => ProgressBar;

/** What starts bars at once when it is wanted. */
export async function progressBars({ terminal }: Context): Promise<StartBar> {
  if (terminal === undefined) return () => ({ update: () => undefined, stop: () => undefined });
  const { default: { SingleBar } } = await import('cli-progress');
  return (total, unit, text) => {
    const bar = new SingleBar({
      stream: terminal, format: `{bar} {percentage}% | {value}/{total} ${unit} | ${text === undefined ? '{eta_formatted} left' : '{text}'}`,
      barCompleteChar: '█', barIncompleteChar: '░', barsize: 30, clearOnComplete: true, hideCursor: true, fps: 10,
      // Ctrl-C is handled by the command line itself.
      gracefulExit: false, stopOnComplete: false,
    });
    bar.start(total, 0, { text });
    return {
      update: (done, known, shown) => {
        if (known !== undefined) bar.setTotal(known);
        bar.update(done, shown === undefined ? {} : { text: shown });
      },
      stop: () => bar.stop(),
    };
  };
}

/** A bar that is on the screen from now on. */
export const showProgress = async (context: Context, total: number, unit: string): Promise<ProgressBar> => (await progressBars(context))(total, unit);
