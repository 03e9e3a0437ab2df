/**
 * What the runtime and its worker say to each other: requests with a number, replies with the same number. Everything in
 * them survives structured cloning; errors cross as name and message.
 */
import { ArgumentError, BundleError, FormatError, RatioflowError, RuntimeError } from '@ratioflow/sdk';
import type { Capabilities, Tensor } from '@ratioflow/sdk';
import type { ResolvedGraph } from '@ratioflow/sdk/engine';
import type { EngineOptions } from './engine.js';
import type { ProviderName } from './providers.js';

export type Request = { readonly id: number } & (
  | { readonly do: 'probe'; readonly provider: ProviderName; readonly options: EngineOptions }
  | { readonly do: 'load'; readonly provider: ProviderName; readonly graph: ResolvedGraph; readonly options: EngineOptions }
  | { readonly do: 'run'; readonly session: number; readonly feeds: Readonly<Record<string, Tensor>>; readonly outputs: readonly string[] | undefined }
  | { readonly do: 'runOnDevice'; readonly session: number; readonly feeds: Feeds; readonly output: string }
  | { readonly do: 'read' | 'free'; readonly session: number; readonly held: number }
  | { readonly do: 'dispose'; readonly session: number }
);
/** A tensor on the other side's device, by its number. */
export interface HeldTensor { readonly held: number; readonly shape: readonly number[] }
export type Feeds = Readonly<Record<string, Tensor | HeldTensor>>;
/** A request before it is numbered. */
export type Order = Request extends infer R ? (R extends Request ? Omit<R, 'id'> : never) : never;

/** A session as the other side knows it. */
export interface Loaded {
  readonly session: number;
  readonly provider: string;
  readonly capabilities: Capabilities;
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly batchAxes: Readonly<Record<string, number>> | undefined;
}

export interface Answers {
  readonly probe: string | undefined;
  readonly load: Loaded;
  readonly run: Record<string, Tensor>;
  readonly runOnDevice: HeldTensor;
  readonly read: Float32Array;
  readonly free: undefined;
  readonly dispose: undefined;
}

export type Reply = { readonly id: number } & ({ readonly result: Answers[keyof Answers] } | { readonly error: SentError });

/** What a process ends itself with when it outgrows its limit. */
export const memorySignal = 'SIGUSR2';

/** An error on its way. */
export interface SentError { readonly name: string; readonly message: string; readonly stack: string | undefined }

export function sendError(error: unknown): SentError {
  return error instanceof Error ? { name: error.name, message: error.message, stack: error.stack } : { name: 'Error', message: String(error), stack: undefined };
}

/** The same class on this side, with the worker's own stack as the cause. */
export function receiveError({ name, message, stack }: SentError): Error {
  const cause = new Error(message);
  if (stack !== undefined) cause.stack = stack;
  const known = [ArgumentError, BundleError, FormatError, RuntimeError].find((error) => error.name === name) ?? (name === 'RatioflowError' ? RatioflowError : RuntimeError);
  return new known(message, { cause });
}
