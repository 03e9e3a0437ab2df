/**
 * The flow of FDRL as graphs: log ratio, drift −∇ₓ f′(r(x)), and the Euler–Maruyama step of the stale SDE
 * (arXiv 2303.03714, equation 9): x′ = x − η ∇ₓ f′(r(x)) + ν ξ.
 */
import type { Pairing } from '@ratioflow/sdk';
import { backpropagate } from '../gradient/backpropagate.js';
import { filled } from '../gradient/gradient.js';
import type { Phasing } from '../gradient/rule.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Value } from '../ir/types.js';
import { applyEstimator, type Estimator, type Substitutes } from './estimator.js';

/** Where the network's output is r itself, its logarithm is taken of max(n, this): r is positive, a network's output need not be. */
export const smallestRatio = 1e-12;

/** log r [N] from the network's output n [N]. */
export function logRatio(builder: GraphBuilder, pairing: Pairing, n: Value): Value {
  if (pairing.output === 'log-ratio') return n;
  return builder.op('Log', [builder.op('Max', [n, builder.scalar(smallestRatio, n)])]);
}

/** −d f′(r)/dn per sample [N], the seed of the drift's backward pass (the table of pairings, METHOD: 2n, n, logσ(n), −logσ(−n)). */
export function negativePotentialSlope(builder: GraphBuilder, pairing: Pairing, n: Value): Value {
  switch (pairing.potential) {
    case 'twice': return filled(builder, n, -2);
    case 'identity': return filled(builder, n, -1);
    case 'log-sigmoid': return builder.op('Neg', [builder.op('Sigmoid', [builder.op('Neg', [n])])]);
    case 'softplus': return builder.op('Neg', [builder.op('Sigmoid', [n])]);
    default: return pairing.potential satisfies never;
  }
}

/** How a field is written. */
export interface FieldOptions {
  /** Values in place of the estimator's initializers. */
  readonly substitutes?: Substitutes | undefined;
  /** @default 'together' */
  readonly phases?: Phasing | undefined;
}

/** Drift −∇ₓ f′(r(x)) and log ratio at x. */
export function applyDrift(
  builder: GraphBuilder, estimator: Estimator, pairing: Pairing, x: Value, { substitutes, phases }: FieldOptions = {},
): { drift: Value; logRatio: Value } {
  const n = applyEstimator(builder, estimator, x, substitutes);
  const [drift] = backpropagate(builder, [[n, negativePotentialSlope(builder, pairing, n)]], [x], { phases });
  return { drift: drift!, logRatio: logRatio(builder, pairing, n) };
}

/** x + η · drift + ν · noise. */
export function applyStep(builder: GraphBuilder, x: Value, drift: Value, noise: Value, eta: Value, nu: Value): Value {
  const moved = builder.op('Add', [x, builder.op('Mul', [drift, eta])]);
  return builder.op('Add', [moved, builder.op('Mul', [noise, nu])]);
}
