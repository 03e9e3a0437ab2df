/**
 * The worker's side: one model, opened at the page's request, and the calls that the page makes on it.
 */
import { openBundle } from '@ratioflow/sdk';
import type { Frame, Model, Runtime, SampleOptions, Statistics } from '@ratioflow/sdk';
import { fileSource } from './file-source.js';
import { buffersOf, recordOf } from './protocol.js';
import type { OpenRequest, Reply, Request } from './protocol.js';
import { createRuntime } from './runtime.js';
import { urlSource } from './url-source.js';

/** The part of a worker's global scope, or of a message port, that serving needs. */
export interface Scope {
  postMessage(message: Reply, transfer: ArrayBuffer[]): void;
  onmessage: ((event: MessageEvent<Request>) => void) | null;
}

/** Answers requests that arrive at `scope`, for as long as it lives. */
export function serve(scope: Scope): void {
  let runtime: Pick<Runtime, 'name' | 'warnings'> = { name: 'onnxruntime-web', warnings: [] };
  // The first request is to open.
  let opening: Promise<Model>;
  const aborts = new Map<number, AbortController>();
  const flows = new Map<number, { flow: AsyncGenerator<Frame, Statistics, void>; ahead: Promise<IteratorResult<Frame, Statistics>> }>();

  const send = (reply: Reply, transfer: ArrayBuffer[] = []): void => scope.postMessage(reply, transfer);
  const state = (): { name: string; warnings: string[] } => ({ name: runtime.name, warnings: [...runtime.warnings] });
  const answer = async (id: number, result: Promise<{ readonly value: unknown; readonly done?: boolean | undefined }>): Promise<void> => {
    try {
      const { value, done = false } = await result;
      send({ type: 'result', id, value, done, state: state() }, buffersOf(value));
    } catch (error) {
      aborts.delete(id);
      send({ type: 'failure', id, error: recordOf(error), state: state() });
    }
  };
  const signalOf = (id: number): AbortSignal => {
    const controller = new AbortController();
    aborts.set(id, controller);
    return controller.signal;
  };

  const open = async ({ bundle, cache, runtime: options, load }: OpenRequest): Promise<Model> => {
    const made = runtime = createRuntime(options);
    const onProgress = (download: Extract<Reply, { type: 'download' }>['download']): void => send({ type: 'download', download });
    return openBundle(typeof bundle === 'string' ? urlSource(bundle, { cache, onProgress }) : fileSource(bundle), made, load);
  };

  const call = async ({ id, method, args, watched }: Extract<Request, { type: 'call' }>): Promise<{ readonly value: unknown }> => {
    const target = await opening;
    try {
      return { value: await (method === 'sample'
        ? target.sample({ ...args[0] as SampleOptions, signal: signalOf(id), ...(watched && { onStep: (progress) => send({ type: 'step', id, progress }) }) })
        : (target[method] as (...list: readonly unknown[]) => Promise<unknown>)(...args)) };
    } finally {
      aborts.delete(id);
    }
  };

  /** A frame, while the engine already works on the one after it. */
  const next = async ({ id, args }: Extract<Request, { type: 'next' }>): Promise<IteratorResult<Frame, Statistics>> => {
    let known = flows.get(id);
    if (known === undefined) {
      const flow = (await opening).flow({ ...args[0], signal: signalOf(id) });
      known = { flow, ahead: flow.next() };
      flows.set(id, known);
    }
    const result = await known.ahead;
    if (result.done !== true) {
      known.ahead = known.flow.next();
      // Whoever asks for that frame hears of its failure.
      known.ahead.catch(() => undefined);
    }
    return result;
  };
  const end = (id: number): void => {
    aborts.get(id)?.abort();
    aborts.delete(id);
    void flows.get(id)?.flow.return(undefined as never).catch(() => undefined);
    flows.delete(id);
  };

  scope.onmessage = ({ data }) => {
    switch (data.type) {
      case 'open':
        opening = open(data.request);
        void answer(data.id, opening.then(({ manifest }) => ({ value: manifest })));
        break;
      case 'call': void answer(data.id, call(data)); break;
      case 'next': void answer(data.id, next(data)); break;
      case 'return': end(data.id); break;
      case 'abort': aborts.get(data.id)?.abort(); break;
    }
  };
}
