/**
 * A progress bar on a terminal; nothing elsewhere.
 */
import type { Context } from './context.js';

/** Shows how far something has got. */
export interface ProgressBar {
  /** @param total where it was not known at the start */
  update(done: number, total?: number): void;
  /** Takes the bar off the screen. */
  stop(): void;
}

/** @param unit what is counted, for example `steps` */
export async function showProgress({ terminal }: Context, total: number, unit: string): Promise<ProgressBar> {
  if (terminal === undefined) return { update: () => undefined, stop: () => undefined };
  const { default: { SingleBar } } = await import('cli-progress');
  const bar = new SingleBar({
    stream: terminal, format: `{bar} {percentage}% | {value}/{total} ${unit} | {eta_formatted} left`,
    barCompleteChar: '█', barIncompleteChar: '░', barsize: 30, clearOnComplete: true, hideCursor: true, fps: 10,
    // Ctrl-C is handled by the command line itself.
    gracefulExit: false, stopOnComplete: false,
  });
  bar.start(total, 0);
  return {
    update: (done, known) => {
      if (known !== undefined) bar.setTotal(known);
      bar.update(done);
    },
    stop: () => bar.stop(),
  };
}
