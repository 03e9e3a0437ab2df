/**
 * The engine in a worker thread, so that the event loop stays free while it computes, or in a process of its own, which
 * may crash without taking anything along. What goes to a thread is copied once, where the caller keeps its arrays, and
 * handed over; what comes back is handed over without a copy.
 */
import { fork } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { ArgumentError, RuntimeError } from '@ratioflow/sdk';
import type { DeviceTensor, Tensor } from '@ratioflow/sdk';
import type { Engine, EngineSession } from './engine.js';
import { memorySignal, receiveError } from './remote-protocol.js';
import type { Answers, HeldTensor, Loaded, Order, Reply } from './remote-protocol.js';

export type RemoteKind = 'thread' | 'process';

/** The thread or process, whichever it is. */
interface Remote {
  post(message: object, transfer: ArrayBuffer[]): void;
  /** Whether it keeps the program running. */
  hold(held: boolean): void;
  end(): void;
}

interface Pending { readonly resolve: (value: Answers[keyof Answers]) => void; readonly reject: (reason: Error) => void }

/** Without a session and without work, a remote ends after this many milliseconds: the next model often follows at once. */
const idleMilliseconds = 1000;

/** What a process may take before it is ended. */
export interface Limits {
  /** Milliseconds of one call, from when its turn comes. */
  readonly timeout: number | undefined;
  /** Bytes of resident memory. */
  readonly memoryLimit: number | undefined;
}

export function createRemoteEngine(kind: RemoteKind, limits: Limits): Engine {
  let current: Connection | undefined;
  const connection = (): Connection => (current?.alive === true ? current : (current = connect(kind, limits)));
  return {
    probe: (provider, options) => connection().ask({ do: 'probe', provider, options }),
    load: async (provider, graph, options) => {
      const to = connection();
      return session(to, graph.name, await to.ask({ do: 'load', provider, graph, options }));
    },
  };
}

interface Connection {
  readonly alive: boolean;
  ask<What extends Order>(order: What, transfer?: ArrayBuffer[]): Promise<Answers[What['do']]>;
}

function session(to: Connection, name: string, { session: id, ...facts }: Loaded): EngineSession {
  let disposed = false;
  /** Numbers of this session's tensors on the device. */
  const held = new WeakMap<DeviceTensor, HeldTensor>();
  const check = (): void => {
    if (disposed) throw new ArgumentError(`The session of ${name} has been disposed of.`);
  };
  const copyOf = ({ shape, data }: Tensor): Tensor => ({ shape: [...shape], data: data.slice() });
  const memoryOf = (tensors: readonly (Tensor | HeldTensor)[]): ArrayBuffer[] => tensors.flatMap((tensor) => ('data' in tensor ? [tensor.data.buffer as ArrayBuffer] : []));
  return {
    ...facts,
    run: async (feeds, outputs, given = false) => {
      check();
      const copies = given ? feeds : mapped(feeds, copyOf);
      return to.ask({ do: 'run', session: id, feeds: copies, outputs }, memoryOf(Object.values(copies)));
    },
    ...(facts.capabilities.deviceTensors && {
      runOnDevice: async (feeds, output) => {
        check();
        const copies = mapped(feeds, (tensor) => ('data' in tensor ? copyOf(tensor) : held.get(tensor)!));
        const there = await to.ask({ do: 'runOnDevice', session: id, feeds: copies, output }, memoryOf(Object.values(copies)));
        let freed = false;
        const tensor: DeviceTensor = {
          shape: there.shape,
          read: () => to.ask({ do: 'read', session: id, held: there.held }),
          dispose: () => {
            // With the session or the remote, what they held is gone.
            if (freed || disposed || !to.alive) return;
            freed = true;
            void to.ask({ do: 'free', session: id, held: there.held }).catch(() => undefined);
          },
        };
        held.set(tensor, there);
        return tensor;
      },
    } satisfies Partial<EngineSession>),
    dispose: async () => {
      if (disposed) return;
      disposed = true;
      // With the remote, its sessions are gone.
      if (to.alive) await to.ask({ do: 'dispose', session: id });
    },
  };
}

const mapped = <From, To>(record: Readonly<Record<string, From>>, change: (value: From) => To): Record<string, To> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]));

function connect(kind: RemoteKind, { timeout, memoryLimit }: Limits): Connection {
  const pending = new Map<number, Pending>();
  let asked = 0;
  let sessions = 0;
  let problem: string | undefined;
  let idle: NodeJS.Timeout | undefined;
  let clock: NodeJS.Timeout | undefined;

  /** Times the oldest call from now on: it is the one being served, the others wait. */
  const time = (): void => {
    clearTimeout(clock);
    if (timeout === undefined || pending.size === 0) return;
    clock = setTimeout(() => {
      fail(`The worker process took more than ${timeout} ms for one call and was ended`);
      remote.end();
    }, timeout);
  };
  const fail = (reason: string): void => {
    problem ??= reason;
    remote.hold(false);
    for (const { reject } of pending.values()) reject(new RuntimeError(`${problem}; open the model again.`));
    pending.clear();
    time();
  };
  const settle = (reply: Reply): void => {
    const { resolve, reject } = pending.get(reply.id) ?? {};
    pending.delete(reply.id);
    time();
    if (pending.size === 0) remote.hold(false);
    if ('error' in reply) reject?.(receiveError(reply.error));
    else resolve?.(reply.result);
  };
  const rest = (): void => {
    if (pending.size > 0 || sessions > 0 || problem !== undefined) return;
    idle = setTimeout(() => {
      problem = 'The worker has ended because nothing used it';
      remote.end();
    }, idleMilliseconds).unref();
  };
  const remote = start(kind, memoryLimit, settle, fail);
  remote.hold(false);

  return {
    get alive() { return problem === undefined; },
    ask: async <What extends Order>(order: What, transfer: ArrayBuffer[] = []) => {
      if (problem !== undefined) throw new RuntimeError(`${problem}; open the model again.`);
      clearTimeout(idle);
      const id = asked++;
      try {
        const answer = await new Promise<Answers[keyof Answers]>((resolve, reject) => {
          pending.set(id, { resolve, reject });
          if (pending.size === 1) time();
          remote.hold(true);
          remote.post({ ...order, id }, transfer);
        });
        if (order.do === 'load') sessions++;
        return answer as Answers[What['do']];
      } finally {
        if (order.do === 'dispose') sessions--;
        rest();
      }
    },
  };
}

function start(kind: RemoteKind, memoryLimit: number | undefined, settle: (reply: Reply) => void, fail: (reason: string) => void): Remote {
  const main = new URL('./remote-main.js', import.meta.url);
  // Options that this program was started with, an inspector's port for one, are not for the worker: hence execArgv.
  if (kind === 'thread') {
    const worker = new Worker(main, { name: 'ratioflow', execArgv: [] });
    worker.on('message', settle);
    worker.on('error', (error) => fail(`The worker thread failed: ${error.message}`));
    worker.on('exit', (code) => fail(`The worker thread ended with code ${code}`));
    return {
      post: (message, transfer) => worker.postMessage(message, transfer),
      hold: (held) => (held ? worker.ref() : worker.unref()),
      end: () => void worker.terminate(),
    };
  }
  // Arrays cross as they are.
  const child = fork(main, memoryLimit === undefined ? [] : [String(memoryLimit)], { serialization: 'advanced', execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  child.on('message', (reply) => settle(reply as Reply));
  child.on('error', (error) => fail(`The worker process failed: ${error.message}`));
  child.on('exit', (code, signal) => fail(signal === memorySignal
    ? `The worker process took more memory than the memoryLimit of ${memoryLimit} bytes and was ended` : `The worker process ended with ${signal ?? `code ${code}`}`));
  return {
    post: (message) => child.send(message, (error) => { if (error) fail(`The worker process cannot be reached: ${error.message}`); }),
    hold: (held) => {
      const change = held ? 'ref' : 'unref';
      child[change]();
      child.channel?.[change]();
    },
    end: () => child.kill('SIGKILL'),
  };
}
