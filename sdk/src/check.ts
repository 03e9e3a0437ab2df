/**
 * Checks of values that come from outside: each either returns the value with its type or reports field, value and what
 * is allowed. The same checks serve the manifest (BundleError) and arguments (ArgumentError).
 */
import { ArgumentError } from './errors.js';

/** Reports a bad value; never returns. */
export type Fail = (field: string, value: unknown, allowed: string) => never;

/** A value for a message: JSON where it is short, else its beginning. */
export function show(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'number' || value === undefined) return String(value);
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // A cycle or a toJSON that throws: the type must do.
  }
  text ??= `a ${typeof value}`;
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Reports a bad argument as `field is value; allowed: ...`. */
export const failArgument: Fail = (field, value, allowed) => {
  throw new ArgumentError(`${field} is ${show(value)}; allowed: ${allowed}.`);
};

/** An integer from `min` to `max`. */
export function integer(fail: Fail, field: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
    return fail(field, value, max === Number.MAX_SAFE_INTEGER ? `an integer from ${min}` : `an integer from ${min} to ${max}`);
  }
  return value;
}

/** A finite number of at least `min`. */
export function finite(fail: Fail, field: string, value: unknown, min = -Infinity): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < min) {
    return fail(field, value, min === -Infinity ? 'a finite number' : `a finite number of at least ${min}`);
  }
  return value;
}

/** A string of 1 to `max` characters without control characters, so that it can be printed. */
export function text(fail: Fail, field: string, value: unknown, max: number): string {
  if (typeof value !== 'string' || value.length < 1 || value.length > max || /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.test(value)) {
    return fail(field, value, `a string of 1 to ${max} characters without control characters`);
  }
  return value;
}

/** One of a list of strings. */
export function oneOf<T extends string>(fail: Fail, field: string, value: unknown, allowed: readonly T[]): T {
  const found = allowed.find((name) => name === value);
  return found ?? fail(field, value, allowed.join(', '));
}

/** A plain object, as opposed to null or an array. */
export function record(fail: Fail, field: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail(field, value, 'an object');
  return value as Readonly<Record<string, unknown>>;
}

/** An array of at most `max` entries. */
export function list(fail: Fail, field: string, value: unknown, max: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > max) return fail(field, Array.isArray(value) ? `an array of ${value.length}` : value, `an array of at most ${max} entries`);
  return value;
}
