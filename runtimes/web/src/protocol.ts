/**
 * What a page and its worker say to each other. Requests carry a number that their replies repeat; arrays in replies are
 * transferred, not copied.
 */
import { ArgumentError, BundleError, FormatError, RatioflowError, RuntimeError } from '@ratioflow/sdk';
import type { Manifest, Model, OpenOptions, Progress } from '@ratioflow/sdk';
import type { BundleFiles } from './file-source.js';
import type { RuntimeOptions } from './runtime.js';
import type { Download } from './url-source.js';

/** What to open: an absolute URL, or files. */
export interface OpenRequest {
  readonly bundle: string | BundleFiles;
  readonly cache: boolean;
  readonly runtime: RuntimeOptions;
  readonly load: OpenOptions;
}

/** Methods of a model that answer once. */
export type CallName = 'sample' | 'step' | 'score' | 'prior' | 'gradient' | 'verify' | 'dispose';

export type Request =
  | { readonly type: 'open'; readonly id: number; readonly request: OpenRequest }
  /** `watched`: report every step. */
  | { readonly type: 'call'; readonly id: number; readonly method: CallName; readonly args: readonly unknown[]; readonly watched: boolean }
  /** The next frame of flow `id`, which begins at the first such request, the only one with options. */
  | { readonly type: 'next'; readonly id: number; readonly args: Parameters<Model['flow']> }
  | { readonly type: 'return' | 'abort'; readonly id: number };

export type Reply =
  /** `done`: of a flow, that this is no frame but its statistics. */
  | { readonly type: 'result'; readonly id: number; readonly value: unknown; readonly done: boolean; readonly state: RuntimeState }
  | { readonly type: 'failure'; readonly id: number; readonly error: ErrorRecord; readonly state: RuntimeState }
  | { readonly type: 'step'; readonly id: number; readonly progress: Progress }
  | { readonly type: 'download'; readonly download: Download };

/** The runtime in the worker, as it is now. */
export interface RuntimeState {
  readonly name: string;
  readonly warnings: readonly string[];
}

/** What opening answers. */
export type Opened = Manifest;

/** An error on its way: classes do not survive the passage. */
export interface ErrorRecord {
  readonly name: string;
  readonly message: string;
  readonly cause?: ErrorRecord;
}

const classes: Readonly<Record<string, new (message: string, options?: ErrorOptions) => Error>> =
  { RatioflowError, ArgumentError, BundleError, FormatError, RuntimeError };

/** An error as data. */
export function recordOf(error: unknown): ErrorRecord {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  return { name: error.name, message: error.message, ...(error.cause !== undefined && { cause: recordOf(error.cause) }) };
}

/** The same error again, of its own class where it is one of the SDK's. */
export function errorOf({ name, message, cause }: ErrorRecord): Error {
  const known = Object.hasOwn(classes, name) ? classes[name]! : Error;
  const error = new known(message, cause === undefined ? {} : { cause: errorOf(cause) });
  error.name = name;
  return error;
}

/** Buffers of the typed arrays in a result: what may be transferred. */
export function buffersOf(value: unknown, found = new Set<ArrayBuffer>()): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) {
    if (value.buffer instanceof ArrayBuffer) found.add(value.buffer);
  } else if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) buffersOf(inner, found);
  }
  return [...found];
}
