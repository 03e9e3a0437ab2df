/**
 * The pairings of FDRL: a Bregman divergence for the loss with an f-divergence for the flow (arXiv 2303.03714, Table 1).
 * The one table that trainer, export and SDK share. n is the network's output, r = q/p, always in this direction.
 */
import { argument, oneOf } from './check.js';

/** Names of the pairings, as they stand in configurations, manifests and options. */
export const pairingNames = ['lsif-chi2', 'lr-kl', 'lr-js', 'lr-logd'] as const;
/** One of {@link pairingNames}. */
export type PairingName = (typeof pairingNames)[number];

/** What a pairing decides. */
export interface Pairing {
  readonly name: PairingName;
  /** Meaning of the network's output: the ratio r itself, or log r. */
  readonly output: 'ratio' | 'log-ratio';
  /** Training loss: `lsif` ½ n(x_p)² − n(x_K); `logistic` −logσ(−n(x_p)) − logσ(n(x_K)). */
  readonly loss: 'lsif' | 'logistic';
  /** f'(r) as a function of n, up to a constant: 2n, n, logσ(n), −logσ(−n). The flow descends its gradient. */
  readonly potential: 'twice' | 'identity' | 'log-sigmoid' | 'softplus';
}

/** Every pairing by its name; {@link pairingOf} says what is wrong with a name that is none. */
export const pairings: Readonly<Record<PairingName, Pairing>> = {
  'lsif-chi2': { name: 'lsif-chi2', output: 'ratio', loss: 'lsif', potential: 'twice' },
  'lr-kl': { name: 'lr-kl', output: 'log-ratio', loss: 'logistic', potential: 'identity' },
  'lr-js': { name: 'lr-js', output: 'log-ratio', loss: 'logistic', potential: 'log-sigmoid' },
  'lr-logd': { name: 'lr-logd', output: 'log-ratio', loss: 'logistic', potential: 'softplus' },
};

/** Looks a pairing up. @throws {ArgumentError} for an unknown name */
export function pairingOf(name: string): Pairing {
  return pairings[argument('pairing', name, oneOf(pairingNames))];
}
