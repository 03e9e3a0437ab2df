/**
 * Values of options, from text. A value that cannot be meant is a usage error, reported with what is allowed.
 */
import { InvalidArgumentError } from 'commander';

/** An integer from `min`. */
export const integerFrom = (min: number) => (text: string): number => {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < min) throw new InvalidArgumentError(`Allowed: an integer from ${min}.`);
  return value;
};

/** A finite number of at least `min`. */
export const numberFrom = (min: number) => (text: string): number => {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < min) throw new InvalidArgumentError(`Allowed: a number of at least ${min}.`);
  return value;
};

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
