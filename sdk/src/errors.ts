/**
 * The SDK's errors. Each message says what was received, where, and what to do next; `name` is a literal, so that it
 * survives minification and crosses worker boundaries.
 */

/** Base of every error that ratioflow raises on purpose. */
export class RatioflowError extends Error {
  override name = 'RatioflowError';
}

/** A bundle that is missing, corrupt, hostile, or of another format version. */
export class BundleError extends RatioflowError {
  override name = 'BundleError';
}

/** An argument outside its domain: a shape, a count, a seed, an unknown name. */
export class ArgumentError extends RatioflowError {
  override name = 'ArgumentError';
}

/** A file of arrays (`.npy`) or data that does not hold what its format promises. */
export class FormatError extends RatioflowError {
  override name = 'FormatError';
}

/** An engine could not load or run a graph. `cause` is the engine's own error. */
export class RuntimeError extends RatioflowError {
  override name = 'RuntimeError';
}

/** What an unknown thrown value says. */
export const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause)).trim();

/** Runs a task. What it throws that is not an error of ours becomes the cause of one that says what was going on. */
export async function attempt<T>(what: string, kind: new (message: string, options: { readonly cause: unknown }) => RatioflowError, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (cause) {
    throw cause instanceof RatioflowError ? cause : new kind(`${what}: ${messageOf(cause)}`, { cause });
  }
}
