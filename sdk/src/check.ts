/**
 * Checks of values that come from outside: each either returns the value with its type or reports field, value and what
 * is allowed. The same checks serve the manifest (BundleError) and arguments (ArgumentError).
 */
import { ArgumentError } from './errors.js';

/** Reports a bad value; never returns. */
export type Fail = (field: string, value: unknown, allowed: string) => never;

/** Returns the value of a field with its type, or fails. */
export type Check<T> = (value: unknown, field: string, fail: Fail) => T;

/** What is wrong with a field, as a sentence. */
export const complaint = (field: string, value: unknown, allowed: string): string => `${field} is ${show(value)}; allowed: ${allowed}.`;

/** Reports a bad argument. */
export const failArgument: Fail = (...found) => {
  throw new ArgumentError(complaint(...found));
};

/** An argument that has been checked. @throws {ArgumentError} */
export const argument = <T>(field: string, value: unknown, check: Check<T>): T => check(value, field, failArgument);

/** A value for a message: JSON where it is short, else its beginning; of typed arrays their kind. */
export function show(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'number' || value === undefined) return String(value);
  let text: string | undefined;
  try {
    text = JSON.stringify(value, (_, part: { readonly buffer?: unknown } | null) => (part?.buffer ? part.constructor.name : part));
  } catch {
    // A cycle or a toJSON that throws: the type must do.
  }
  text ??= `a ${typeof value}`;
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** A value that fits as it is. */
export const accept = <T>(fits: (value: unknown) => boolean, allowed: string): Check<T> =>
  (value, field, fail) => (fits(value) ? value as T : fail(field, value, allowed));

/** An integer from `min` to `max`. */
export const integer = (min: number, max: number = Number.MAX_SAFE_INTEGER): Check<number> =>
  accept((value) => Number.isSafeInteger(value) && value as number >= min && value as number <= max, `an integer from ${min}${max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`}`);

/** Graphs compute in float32, which ends a little beyond it. */
const largest = 3.4e38;

/** A number of at least `min` that float32 can hold. */
export const finite = (min = -largest): Check<number> =>
  accept((value) => typeof value === 'number' && value >= min && value <= largest, `a number from ${min} to ${largest}`);

/** A string that a pattern describes. */
export const pattern = (described: RegExp, allowed: string): Check<string> => accept((value) => typeof value === 'string' && described.test(value), allowed);

/** A string of 1 to `max` characters (UTF-16) without control characters, so that it can be printed. */
export const text = (max: number): Check<string> =>
  pattern(new RegExp(`^[^\\0-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]{1,${max}}$`), `a string of 1 to ${max} characters without control characters`);

/** One of a list. */
export const oneOf = <T extends string | boolean>(names: readonly T[]): Check<T> => accept((value) => (names as readonly unknown[]).includes(value), names.join(', '));

/** An array of at most `max` entries. */
export const list = <T>(item: Check<T>, max: number): Check<readonly T[]> => (value, field, fail) => (Array.isArray(value) && value.length <= max
  ? value.map((entry, i) => item(entry, `${field}[${i}]`, fail))
  : fail(field, Array.isArray(value) ? `an array of ${value.length}` : value, `an array of at most ${max} entries`));

/** A plain object, as opposed to null or an array. */
export const record: Check<Readonly<Record<string, unknown>>> = accept((value) => typeof value === 'object' && value !== null && !Array.isArray(value), 'an object');

/** An object with entries of one kind. `Object.fromEntries` defines own properties, so that no key can reach a prototype. */
export const dictionary = <T>(item: Check<T>): Check<Readonly<Record<string, T>>> => (value, field, fail) =>
  Object.fromEntries(Object.entries(record(value, field, fail)).map(([name, entry]) => [name, item(entry, `${field}[${show(name)}]`, fail)]));

type Fields<T> = { readonly [Name in keyof T]-?: object extends Pick<T, Name> ? Check<T[Name] | undefined> : Check<T[Name]> };

/** An object with these fields; others are dropped, and so are those whose check gives undefined. */
export const object = <T extends object>(fields: Fields<T>): Check<T> => (value, field, fail) => {
  const given = record(value, field || 'the whole', fail);
  const parsed = Object.entries<Check<unknown>>(fields).map(([name, check]) => [name, check(given[name], field ? `${field}.${name}` : name, fail)] as const);
  return Object.fromEntries(parsed.filter(([, entry]) => entry !== undefined)) as T;
};

/** A field that may be absent. */
export const optional = <T>(check: Check<T>): Check<T | undefined> => (value, field, fail) => (value === undefined ? value : check(value, field, fail));

/** A field that may be null. */
export const nullable = <T>(check: Check<T>): Check<T | null> => (value, field, fail) => (value === null ? value : check(value, field, fail));
