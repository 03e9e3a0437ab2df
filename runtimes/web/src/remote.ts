/**
 * The page's side: a `Model` whose engine is in a worker, so that the page never waits for it.
 */
import { ArgumentError, RuntimeError } from '@ratioflow/sdk';
import type { FlowOptions, Frame, Manifest, Model, Progress, SampleOptions, Statistics } from '@ratioflow/sdk';
import { checkHooks } from '@ratioflow/sdk/engine';
import { abortableFlow, unlessAborted } from './abort.js';
import { errorOf } from './protocol.js';
import type { CallName, OpenRequest, Reply, Request } from './protocol.js';
import type { Download } from './url-source.js';

interface Waiting {
  readonly resolve: (result: { value: unknown; done: boolean }) => void;
  readonly reject: (error: unknown) => void;
  readonly onStep: ((progress: Progress) => void) | undefined;
}

/** Options of `openRemote`. */
export interface RemoteOptions {
  readonly onProgress?: ((download: Download) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Opens a bundle in a worker that serves this package's protocol, and ends the worker with the model. */
export async function openRemote(worker: Worker, request: OpenRequest, { onProgress, signal }: RemoteOptions = {}): Promise<Model> {
  const waiting = new Map<number, Waiting>();
  const warnings: string[] = [];
  let name = 'onnxruntime-web';
  let lastId = 0;
  let ended: Error | undefined;
  let disposing: Promise<void> | undefined;

  const post = (message: Request): void => worker.postMessage(message);
  const end = (error: Error): void => {
    ended ??= error;
    worker.terminate();
    for (const { reject } of waiting.values()) reject(ended);
    waiting.clear();
  };
  const send = (message: Request, onStep?: (progress: Progress) => void): Promise<{ value: unknown; done: boolean }> =>
    new Promise((resolve, reject) => {
      if (ended !== undefined) throw ended;
      waiting.set(message.id, { resolve, reject, onStep });
      try {
        post(message);
      } catch (cause) {
        waiting.delete(message.id);
        throw new ArgumentError(`An argument cannot be sent to the worker: ${String(cause)}`, { cause });
      }
    });

  worker.onmessage = ({ data }: MessageEvent<Reply>) => {
    if (data.type === 'download') {
      onProgress?.(data.download);
      return;
    }
    const request = waiting.get(data.id);
    if (data.type === 'step') {
      request?.onStep?.(data.progress);
      return;
    }
    ({ name } = data.state);
    warnings.splice(0, warnings.length, ...data.state.warnings);
    waiting.delete(data.id);
    if (data.type === 'result') request?.resolve(data);
    else request?.reject(errorOf(data.error));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    end(new RuntimeError(`The worker of the model failed: ${event.message || 'it cannot be loaded (is the network there, does a content security policy forbid it in worker-src, or another origin keep this one from reading it?)'}.`));
  };
  worker.onmessageerror = () => end(new RuntimeError('A message of the worker of the model cannot be read.'));

  /** Gives a request up: what the worker answers then is of no interest. */
  const abort = (id: number) => (): void => {
    post({ type: 'abort', id });
    waiting.delete(id);
  };

  const call = async <T>(method: CallName, ...args: readonly unknown[]): Promise<T> =>
    (await send({ type: 'call', id: ++lastId, method, args, watched: false })).value as T;

  const sample = async (options: SampleOptions = {}): Promise<Awaited<ReturnType<Model['sample']>>> => {
    checkHooks(options);
    const { signal: given, onStep, ...rest } = options;
    const id = ++lastId;
    let reported: Promise<unknown> = Promise.resolve();
    const watch = onStep && ((progress: Progress): void => {
      // One after the other, while the engine goes on; after one that failed there are no more.
      reported = reported.then(() => onStep(progress));
      reported.catch(() => post({ type: 'abort', id }));
    });
    return unlessAborted(given, async () => {
      const outcome = send({ type: 'call', id, method: 'sample', args: [rest], watched: watch !== undefined }, watch);
      await outcome.catch(() => undefined);
      await reported;
      return (await outcome).value as Awaited<ReturnType<Model['sample']>>;
    }, abort(id));
  };

  async function* flow(options: FlowOptions = {}): AsyncGenerator<Frame, Statistics, void> {
    checkHooks(options);
    const { signal: given, ...rest } = options;
    const id = ++lastId;
    // The first request begins the flow; x₀ and noise need not travel again.
    let args: Parameters<Model['flow']> = [rest];
    return yield* abortableFlow(given, () => {
      const frame = send({ type: 'next', id, args });
      args = [];
      return frame as Promise<IteratorResult<Frame, Statistics>>;
    }, () => ended ?? post({ type: 'return', id }), abort(id));
  }

  const dispose = async (): Promise<void> => {
    if (ended === undefined) await call('dispose');
    end(new ArgumentError('The model has been disposed of: open it again.'));
  };

  let manifest: Manifest;
  try {
    manifest = (await unlessAborted(signal, () => send({ type: 'open', id: ++lastId, request }))).value as Manifest;
  } catch (error) {
    end(new ArgumentError('The model was not opened.'));
    throw error;
  }
  const model: Omit<Model, typeof Symbol.asyncDispose> = {
    manifest,
    runtime: {
      get name() {
        return name;
      },
      warnings,
      load: () => Promise.reject(new ArgumentError('This runtime is in a worker: make one with createRuntime() to load graphs of your own.')),
    },
    sample,
    flow,
    step: (...args) => call('step', ...args),
    score: (x) => call('score', x),
    prior: (options) => call('prior', options),
    gradient: (x) => call('gradient', x),
    verify: () => call('verify'),
    dispose: () => (disposing ??= dispose()),
  };
  const { asyncDispose } = Symbol as { readonly asyncDispose?: symbol };
  return { ...model, ...(asyncDispose && { [asyncDispose]: model.dispose }) } as Model;
}
