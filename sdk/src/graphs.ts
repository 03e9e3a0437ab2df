/**
 * The sessions of one open bundle: loaded on first use, checked at every run, and disposed of together.
 */
import type { Bundle } from './bundle.js';
import { ArgumentError, RuntimeError, attempt } from './errors.js';
import { throwIfAborted } from './globals.js';
import type { AbortSignalLike } from './globals.js';
import type { GraphName, Manifest } from './manifest.js';
import type { DeviceTensor, FloatTensor, Session, Tensor } from './runtime.js';
import { floatTensor, scalar, showShape, sizeOf } from './tensor.js';

/** Sessions by graph. */
export interface Graphs {
  /** The session of a graph, loaded at the first call. `signal` ends the loading that this call begins; whoever else waits for it then begins anew. */
  session(graph: GraphName, signal?: AbortSignalLike): Promise<Session>;
  /**
   * Runs a graph for the outputs named, each checked to hold as many float32 elements as its shape says.
   * @throws {RuntimeError} when the engine fails or returns something else
   */
  run<Name extends string>(graph: GraphName, feeds: Readonly<Record<string, Tensor>>, outputs: Readonly<Record<Name, readonly number[]>>): Promise<Record<Name, FloatTensor>>;
  /** `Session.runOnDevice` of a graph, its output checked to have the shape given. @throws {RuntimeError} as `run` */
  runOnDevice(graph: GraphName, feeds: Readonly<Record<string, Tensor | DeviceTensor>>, output: string, shape: readonly number[]): Promise<DeviceTensor>;
  /** Lets the runs under way end, then disposes of every session. Idempotent. */
  dispose(): Promise<void>;
}

export function createGraphs(bundle: Bundle): Graphs {
  /** Sessions, each with the signal of whoever asked first, which ends its loading. */
  const sessions = new Map<GraphName, readonly [Promise<Session>, AbortSignalLike | undefined]>();
  const running = new Set<Promise<unknown>>();
  let disposed: Promise<void> | undefined;

  const session = async (graph: GraphName, signal?: AbortSignalLike): Promise<Session> => {
    throwIfAborted(signal);
    if (disposed) throw new ArgumentError(`The model of ${bundle.location} has been disposed of: open it again.`);
    const known = sessions.get(graph);
    const [loading, first] = known ?? [bundle.load(graph, signal), signal];
    if (!known) {
      sessions.set(graph, [loading, signal]);
      // A load that failed, for want of memory say, may be tried again.
      loading.catch(() => sessions.delete(graph));
    }
    return loading.catch((cause: unknown) => {
      // Another gave up what this one may still wait for.
      if (first?.aborted) return session(graph, signal);
      throw cause;
    });
  };

  const track = async <T>(graph: GraphName, samples: number, start: (loaded: Session, defaults: Readonly<Record<string, Tensor>>) => Promise<T>): Promise<T> => {
    const loaded = await session(graph);
    // Disposal may have begun while the graph was loading.
    if (disposed) await session(graph);
    const under = start(loaded, defaultsOf(bundle.manifest, loaded, samples));
    running.add(under);
    try {
      return await under;
    } finally {
      running.delete(under);
    }
  };

  const dispose = async (): Promise<void> => {
    await Promise.allSettled(running);
    for (const [loading] of sessions.values()) await (await loading.catch(() => undefined))?.dispose();
    sessions.clear();
  };
  return {
    session,
    run: (graph, feeds, outputs) => track(graph, Object.values<readonly number[]>(outputs)[0]![0]!, (loaded, defaults) => runSession(graph, loaded, { ...defaults, ...feeds }, outputs)),
    runOnDevice: (graph, feeds, output, shape) => track(graph, shape[0]!, async (loaded, defaults) => {
      const x = await attemptOn(graph, loaded, () => loaded.runOnDevice!({ ...defaults, ...feeds }, output));
      if (showShape(x.shape) === showShape(shape)) return x;
      x.dispose();
      throw wrong(graph, output, `a tensor of shape ${showShape(x.shape)}`, shape);
    }),
    dispose: () => (disposed ??= dispose()),
  };
}

/** What a composed bundle's graph wants besides: no class, the manifest's φ and weights. */
function defaultsOf({ guidance, mixture = [] }: Manifest, { inputNames }: Session, samples: number): Readonly<Record<string, Tensor>> {
  const wants = (name: string): boolean => inputNames.includes(name);
  return {
    ...(wants('y') && { y: { shape: [samples], data: new BigInt64Array(samples).fill(-1n) } }),
    ...(wants('phi') && { phi: scalar(guidance?.scale ?? 0) }),
    ...(wants('weights') && { weights: floatTensor(Float32Array.from(mixture), [mixture.length]) }),
  };
}

/** `Graphs.run` on a session that need not belong to any `Graphs`. */
export async function runSession<Name extends string>(
  graph: GraphName, session: Session, feeds: Readonly<Record<string, Tensor>>, outputs: Readonly<Record<Name, readonly number[]>>,
): Promise<Record<Name, FloatTensor>> {
  const names = Object.keys(outputs) as Name[];
  const results = await attemptOn(graph, session, () => session.run(feeds, names));
  return Object.fromEntries(names.map((name) => [name, checked(graph, name, results[name], outputs[name])])) as Record<Name, FloatTensor>;
}

const attemptOn = <T>(graph: GraphName, session: Session, run: () => Promise<T>): Promise<T> => attempt(`${graph}.onnx failed on ${session.provider}`, RuntimeError, run);

const wrong = (graph: GraphName, name: string, actual: string, shape: readonly number[]): RuntimeError =>
  new RuntimeError(`${graph}.onnx returned ${actual} as ${name}; expected: Float32Array of shape ${showShape(shape)}.`);

function checked(graph: GraphName, name: string, tensor: Tensor | undefined, shape: readonly number[]): FloatTensor {
  // A generator makes bytes, the only ones; nothing but `verify` runs it.
  if (!(tensor?.data instanceof (graph === 'generator' ? Uint8Array : Float32Array)) || tensor.data.length !== sizeOf(shape)) {
    const actual = tensor ? `${tensor.data.constructor.name} of shape ${showShape(tensor.shape)}` : 'nothing';
    throw wrong(graph, name, actual, shape);
  }
  // [N, 1] and [N] are the same data; the shape is the format's.
  return floatTensor(tensor.data as Float32Array, shape);
}
