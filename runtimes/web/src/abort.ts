/**
 * Signals: what is aborted rejects at once, with the signal's own reason, whatever it was waiting for.
 */
import type { AbortSignalLike, Frame, Statistics } from '@ratioflow/sdk';

/** The outcome of a task, unless the signal is aborted before. @param onAbort called then, to end the task as well */
export async function unlessAborted<T>(signal: AbortSignalLike | undefined, task: () => Promise<T>, onAbort?: () => void): Promise<T> {
  const check = (): void => {
    if (signal?.aborted) throw signal.reason;
  };
  check();
  let stop = (): void => undefined;
  try {
    const outcome = await Promise.race([task(), new Promise<void>((resolve) => {
      stop = watchSignal(signal, () => {
        onAbort?.();
        resolve();
      });
    })]);
    check();
    return outcome as T;
  } finally {
    stop();
  }
}

/** A flow of the frames that `next` fetches. @param end called when nobody wants another */
export async function* abortableFlow(
  signal: AbortSignalLike | undefined, next: () => Promise<IteratorResult<Frame, Statistics>>, end: () => void, onAbort?: () => void,
): AsyncGenerator<Frame, Statistics, void> {
  try {
    for (;;) {
      const { value, done } = await unlessAborted(signal, next, onAbort);
      if (done) return value;
      yield value;
    }
  } finally {
    end();
  }
}

/** Calls `onAbort` once the signal is aborted, until the function returned is called. */
function watchSignal(signal: AbortSignalLike | undefined, onAbort: () => void): () => void {
  if (signal instanceof AbortSignal) {
    signal.addEventListener('abort', onAbort);
    return () => signal.removeEventListener('abort', onAbort);
  }
  // A signal of another make only says whether it has been aborted.
  const timer = signal && setInterval(() => signal.aborted && onAbort(), 20);
  return () => clearInterval(timer);
}
