/** The bundle of an estimator. */
import { pairingOf, type PairingName, type Runtime, type TrainingRecord } from '@ratioflow/sdk';
import type { Model } from '../ir/types.js';
import { estimatorOf } from '../products/estimator.js';
import { loweredField } from '../products/estimator-graphs.js';
import { estimatorField } from '../products/field.js';
import { halfField } from '../products/half-field.js';
import { priorOf, type PriorSource } from '../products/prior.js';
import { assembleBundle, type ProductOptions } from './assemble-bundle.js';

/** Options of {@link createBundle}. */
export interface BundleOptions {
  readonly name: string;
  /** x [N, …] → n [N] or [N, 1]. */
  readonly estimator: Model;
  readonly pairing: PairingName;
  readonly prior: PriorSource;
  /** Step size η. */
  readonly eta: number;
  /** Noise scale ν. */
  readonly nu: number;
  /** Bridging steps K. */
  readonly K: number;
  /** Refinement steps κ. */
  readonly kappa: number;
  /** Samples are clamped to this range at the very end. @default null: no clamp */
  readonly valueRange?: readonly [number, number] | null;
  /** @default null */
  readonly classNames?: readonly string[] | null;
  /** @default null */
  readonly training?: TrainingRecord | null;
  /** Whether graphs may leave the emission profile, as foreign estimators make them: the manifest then says where. @default false: an error */
  readonly allowDepartures?: boolean;
  /** What the bundle holds besides what every bundle holds. */
  readonly products?: ProductOptions;
  /** Computes the expected outputs of the verification vectors, on a CPU, with graph optimisation off: `createRuntime()` of `@ratioflow/node`. */
  readonly reference: Runtime;
}

/**
 * Makes a bundle.
 * @returns file name → content, manifest.json included
 * @throws {GraphError} when the estimator's signature does not fit
 * @throws {UnsupportedError} when it cannot be differentiated, or half precision is too coarse for it
 */
export async function createBundle(options: BundleOptions): Promise<Map<string, Uint8Array>> {
  const estimator = estimatorOf(options.estimator);
  const pairing = pairingOf(options.pairing);
  const { name, eta, nu, K, kappa, valueRange = null, classNames = null, training = null, products = {}, allowDepartures = false, reference } = options;
  return assembleBundle({
    field: estimatorField(estimator, pairing),
    lowered: { cpu: loweredField(estimator, pairing, 'cpu'), wasm: loweredField(estimator, pairing, 'wasm') },
    half: products.float16 ? halfField(estimator, pairing) : undefined,
    prior: priorOf(options.prior, estimator.sampleShape),
    about: { name, valueRange, pairing: pairing.name, eta, nu, K, kappa, classNames, training },
    products,
    allowDepartures,
    reference,
  });
}
