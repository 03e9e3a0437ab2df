/**
 * The few globals that the SDK uses, declared by what it needs of them: they exist in Node, browsers and workers alike,
 * and declaring them here keeps the SDK free of Node's and the DOM's types.
 */

/** What the SDK needs of an `AbortSignal`; the platform's own fits. */
export interface AbortSignalLike {
  readonly aborted: boolean;
  readonly reason: unknown;
}

interface Globals {
  readonly crypto?: { readonly subtle?: { digest(algorithm: 'SHA-256', data: Uint8Array): Promise<ArrayBuffer> } };
  /** As much as the noise kernel needs, which imports nothing. */
  readonly WebAssembly: {
    readonly Module: new (bytes: Uint8Array) => object;
    readonly Instance: new (module: object) => { readonly exports: object };
  };
  readonly performance: { now(): number };
  readonly TextDecoder: new (encoding: 'utf-8', options: { fatal: boolean }) => { decode(bytes: Uint8Array): string };
}

/** The global object with the types above. */
export const globals = globalThis as unknown as Globals;

/** Milliseconds since an arbitrary moment. */
export const now = (): number => globals.performance.now();

/** Throws the signal's reason when it has been aborted. */
export function throwIfAborted(signal: AbortSignalLike | undefined): void {
  // The reason is the caller's own: an Error by default, anything on request.
  if (signal?.aborted) throw signal.reason;
}
