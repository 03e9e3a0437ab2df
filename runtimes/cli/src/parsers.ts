/**
 * Values of options, from text. A value that cannot be meant is a usage error, reported with what is allowed.
 */
import { InvalidArgumentError } from 'commander';

/** An integer from `min` to `max`. */
export const integerFrom = (min: number, max: number = Number.MAX_SAFE_INTEGER) => (text: string): number => {
  const value = Number(text);
  if (!/^(\d+|-[1-9]\d*)$/.test(text) || !(value >= min && value <= max)) throw new InvalidArgumentError(`Allowed: an integer from ${min}${max === Number.MAX_SAFE_INTEGER ? '' : ` to ${max}`}.`);
  return value;
};

/** Integers from 0 with commas between, such as 0,5,10. */
export const integerList = (text: string): number[] => text.split(',').map(integerFrom(0));

/** Puts every value of an option that is repeated into one list. */
export const collect = <T>(parse: (text: string) => T) => (text: string, list: readonly T[]): T[] => [...list, parse(text)];

/** Classes with commas between; -1 is none. */
export const classList = (text: string): number[] => text.split(',').map(integerFrom(-1));

/** The number that a text is; NaN for an empty one, and beyond what float32, in which graphs compute, can hold. */
const float32Of = (text: string): number => (text.trim() !== '' && Number.isFinite(Math.fround(Number(text))) ? Number(text) : NaN);

/** A finite number of either sign. */
export function finiteNumber(text: string): number {
  if (Number.isNaN(float32Of(text))) throw new InvalidArgumentError('Allowed: a finite number of float32 (at most 3.4e38 in size).');
  return float32Of(text);
}

/** A finite number of at least `min`. */
export const numberFrom = (min: number) => (text: string): number => {
  if (!(float32Of(text) >= min)) throw new InvalidArgumentError(`Allowed: a number of at least ${min} that float32 can hold (at most 3.4e38).`);
  return float32Of(text);
};

/** A number above 0, at most 1. */
export function partOfOne(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value > 0 && value <= 1)) throw new InvalidArgumentError('Allowed: a number above 0, at most 1.');
  return value;
}

/** Positive integers with commas between, such as 3,32,32. */
export function shapeList(text: string): number[] {
  const shape = text.split(',').map(Number);
  if (!/^\d+(,\d+)*$/.test(text) || ![1, 3].includes(shape.length) || !shape.every((extent) => Number.isSafeInteger(extent) && extent >= 1)) {
    throw new InvalidArgumentError('Allowed: C,H,W for images or D for points, such as 3,32,32 or 2.');
  }
  return shape;
}

/** A range of values, or the word that there is none: commander makes an empty text of a null. */
export type RangeFlag = readonly [number, number] | 'none';

/** What the flag means. */
export const rangeOf = (flag: RangeFlag): readonly [number, number] | null => (flag === 'none' ? null : flag);

/** LOW,HIGH with low < high, or none. */
export function range(text: string): RangeFlag {
  if (text === 'none') return text;
  const [low, high, ...rest] = text.split(',').map(float32Of);
  if (low === undefined || high === undefined || rest.length > 0 || !(low < high)) {
    throw new InvalidArgumentError('Allowed: LOW,HIGH with LOW < HIGH, such as -1,1, or none.');
  }
  return [low, high];
}

/** A seed: an integer in [0, 2⁶⁴). */
export function seed(text: string): bigint {
  if (!/^\d{1,20}$/.test(text) || BigInt(text) >= 2n ** 64n) throw new InvalidArgumentError('Allowed: an integer from 0 to 2^64 - 1.');
  return BigInt(text);
}

const providers = ['cuda', 'webgpu', 'cpu'] as const;

/** Providers, separated by commas, in order of preference. */
export function providerList(text: string): (typeof providers)[number][] {
  return text.split(',').map((name) => {
    const found = providers.find((provider) => provider === name.trim());
    if (found === undefined) throw new InvalidArgumentError(`Allowed: ${providers.join(', ')}, or several, separated by commas.`);
    return found;
  });
}
