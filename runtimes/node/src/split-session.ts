/**
 * A batch over several cores: its parts side by side, each on an engine of its own with few threads, instead of one engine
 * whose threads wait for each other in every operator (docs/benchmarks.md has what that gains). Samples do not know of each
 * other, so the parts are the whole to the last bit, or to rounding where an engine adds up differently for fewer samples.
 */
import type { Session, Tensor, TensorData } from '@ratioflow/sdk';
import type { EngineSession } from './engine.js';

/** Elements that a part must feed: below, handing them to another thread takes longer than it saves. */
const leastElements = 2 ** 11;

/** The engines of the parts, loaded when a batch is first large enough. */
export interface Parts {
  readonly count: number;
  /** Loaded at once, for every batch with a sample for each of them. */
  readonly now?: boolean;
  /** The whole session may be one of them. */
  load(): Promise<readonly EngineSession[]>;
  /** Told when they cannot be loaded; the whole session does the work then. */
  failed(cause: unknown): void;
}

/** The session that runs small batches on `whole` and large ones in parts; it owns all of them. */
export function splitSession(whole: EngineSession, parts: Parts): Session {
  let disposed = false;
  const load = async (): Promise<readonly EngineSession[]> => {
    try {
      return await parts.load();
    } catch (cause) {
      parts.failed(cause);
      return [];
    }
  };
  let loading = parts.now === true ? load() : undefined;
  const least = parts.now === true ? 0 : parts.count * leastElements;
  return {
    ...whole,
    run: async (feeds, outputs) => {
      const batch = disposed ? 0 : batchSize(feeds, whole.batchAxes ?? {}, least);
      const sessions = batch < parts.count ? [] : await (loading ??= load());
      if (sessions.length === 0) return whole.run(feeds, outputs);
      const boundary = (part: number): number => Math.round((part * batch) / sessions.length);
      const results = await settleAll(sessions.map((session, part) => session.run(apart(feeds, slice(feeds, whole.batchAxes!, boundary(part), boundary(part + 1))), outputs, true)));
      return join(results);
    },
    dispose: async () => {
      disposed = true;
      const sessions = await (loading ?? []);
      await settleAll([...new Set([whole, ...sessions])].map((session) => session.dispose()));
    },
  };
}

/** Elements of x₀ that flow together at most, but for the fewest samples that are worth a run. */
const [largestSlice, fewestSamples] = [2 ** 14, 4];

/**
 * The session with a large batch run slice by slice: what the layers of a lowered network make of a few samples stays in the
 * processor's cache (measured for CIFAR-10's: 1.35 times the speed of all 32 at once).
 */
export function slicedSession(whole: EngineSession): EngineSession {
  return {
    ...whole,
    run: async (feeds, outputs) => {
      const axes = whole.batchAxes ?? {};
      const batch = batchSize(feeds, axes, 0);
      const size = Math.max(fewestSamples, Math.floor((largestSlice * batch) / Math.min(...Object.keys(axes).map((name) => feeds[name]!.data.length))));
      if (!(batch > size)) return whole.run(feeds, outputs);
      const results: Record<string, Tensor>[] = [];
      for (let first = 0; first < batch; first += size) results.push(await whole.run(slice(feeds, axes, first, Math.min(first + size, batch)), outputs));
      return join(results);
    },
  };
}

/** Samples in the feeds when these agree and hold at least so many elements, else 0: then nothing is split, and the engine says what is wrong. */
function batchSize(feeds: Readonly<Record<string, Tensor>>, axes: Readonly<Record<string, number>>, least: number): number {
  let size: number | undefined;
  let elements = 0;
  for (const [name, axis] of Object.entries(axes)) {
    const { shape, data } = feeds[name] ?? { shape: [], data: [] };
    if (data.length !== product(shape) || (size ??= shape[axis]) !== shape[axis]) return 0;
    elements += data.length;
  }
  return elements < least ? 0 : size ?? 0;
}

/** Samples `from` to `to − 1`. */
function slice(feeds: Readonly<Record<string, Tensor>>, axes: Readonly<Record<string, number>>, from: number, to: number): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => {
    const axis = axes[name];
    return [name, axis === undefined ? tensor : { shape: tensor.shape.with(axis, to - from), data: sliceData(tensor, axis, from, to) }];
  }));
}

/** Slices with memory of their own: what is still that of the feeds is copied. */
const apart = (feeds: Readonly<Record<string, Tensor>>, slices: Readonly<Record<string, Tensor>>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(slices).map(([name, { shape, data }]) => [name, { shape, data: data.buffer === feeds[name]!.data.buffer ? data.slice() : data }]));

function sliceData({ shape, data }: Tensor, axis: number, from: number, to: number): TensorData {
  const [rows, size] = [product(shape.slice(0, axis)), product(shape.slice(axis + 1))];
  const row = shape[axis]! * size;
  if (rows === 1) return data.subarray(from * size, to * size);
  const part = sameKind(data, rows * (to - from) * size);
  for (let i = 0; i < rows; i++) part.set(data.subarray(i * row + from * size, i * row + to * size) as never, i * (to - from) * size);
  return part;
}

/** Outputs have the samples first. */
function join(results: readonly Readonly<Record<string, Tensor>>[]): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(results[0]!).map(([name, { shape, data }]) => {
    const parts = results.map((result) => result[name]!);
    const batch = parts.reduce((sum, part) => sum + part.shape[0]!, 0);
    const joined = sameKind(data, parts.reduce((sum, part) => sum + part.data.length, 0));
    let offset = 0;
    for (const part of parts) {
      joined.set(part.data as never, offset);
      offset += part.data.length;
    }
    return [name, { shape: shape.with(0, batch), data: joined }];
  }));
}

const product = (extents: readonly number[]): number => extents.reduce((a, b) => a * b, 1);

const sameKind = (like: TensorData, length: number): TensorData => new (like.constructor as new (length: number) => TensorData)(length);

/** All results, once nothing is under way any more; when one has failed, the others are given back. */
export async function settleAll<T>(work: readonly Promise<T>[], giveBack?: (result: T) => Promise<void>): Promise<T[]> {
  const outcomes = await Promise.allSettled(work);
  if (giveBack && outcomes.some(({ status }) => status === 'rejected')) {
    for (const outcome of outcomes) if (outcome.status === 'fulfilled') await giveBack(outcome.value);
  }
  return Promise.all(work);
}
