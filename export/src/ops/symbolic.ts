/**
 * Arithmetic on extents that may be symbolic. A product such as `4*N` is kept in one normal form (coefficient first,
 * symbols sorted), so that equal products are equal strings; whatever has no such form is undefined: not known.
 */
import type { Dim } from '../ir/types.js';

/** An extent or its absence, when not even a symbol stands for it. */
export type MaybeDim = Dim | undefined;

interface Monomial {
  readonly coefficient: number;
  readonly symbols: readonly string[];
}

const plainSymbol = /^[^*()+\s]+$/;

function parse(dim: Dim): Monomial | undefined {
  if (typeof dim === 'number') return { coefficient: dim, symbols: [] };
  const factors = dim.split('*');
  if (!factors.every((factor) => plainSymbol.test(factor))) return undefined;
  const symbols = factors.filter((factor) => !/^\d+$/.test(factor));
  const coefficient = factors.reduce((product, factor) => (/^\d+$/.test(factor) ? product * Number(factor) : product), 1);
  return { coefficient, symbols: symbols.sort() };
}

function format({ coefficient, symbols }: Monomial): MaybeDim {
  if (!Number.isSafeInteger(coefficient)) return undefined;
  if (coefficient === 0 || symbols.length === 0) return coefficient;
  if (coefficient < 0) return undefined;
  return [...(coefficient === 1 ? [] : [String(coefficient)]), ...symbols].join('*');
}

/** The product of extents; undefined when one of them is unknown or has no normal form. */
export function product(dims: readonly MaybeDim[]): MaybeDim {
  let total: Monomial = { coefficient: 1, symbols: [] };
  const only = dims.filter((dim) => dim !== 1);
  if (only.length === 1) return only[0];
  for (const dim of only) {
    const factor = dim === undefined ? undefined : parse(dim);
    if (!factor) return undefined;
    total = { coefficient: total.coefficient * factor.coefficient, symbols: [...total.symbols, ...factor.symbols].sort() };
  }
  return format(total);
}

/** a ÷ b when it is known to come out even. */
export function quotient(a: MaybeDim, b: MaybeDim): MaybeDim {
  if (a === undefined || b === undefined || b === 0) return undefined;
  if (b === 1) return a;
  if (a === b) return 1;
  const [top, bottom] = [parse(a), parse(b)];
  if (!top || !bottom || top.coefficient % bottom.coefficient !== 0) return undefined;
  const symbols = [...top.symbols];
  for (const symbol of bottom.symbols) {
    const at = symbols.indexOf(symbol);
    if (at < 0) return undefined;
    symbols.splice(at, 1);
  }
  return format({ coefficient: top.coefficient / bottom.coefficient, symbols });
}

/** a + sign · b, for equal symbols or numbers. */
export function sum(a: MaybeDim, b: MaybeDim, sign: 1 | -1 = 1): MaybeDim {
  if (a === undefined || b === undefined) return undefined;
  if (b === 0) return a;
  const [left, right] = [parse(a), parse(b)];
  if (!left || !right) return a === b && sign === -1 ? 0 : undefined;
  if (a === 0 && sign === 1) return b;
  if (left.symbols.join('*') !== right.symbols.join('*')) return undefined;
  return format({ coefficient: left.coefficient + sign * right.coefficient, symbols: left.symbols });
}

/** Extents that nothing names get a name of their own, marked by `?`: unknown, but the same wherever it stands. */
export const anonymous = (owner: string, index: number, kind: 'shape' | 'content' = 'shape'): string => `?${kind === 'content' ? '=' : ''}${owner}.${index}`;

export const isAnonymous = (dim: Dim): boolean => typeof dim === 'string' && dim.includes('?');
