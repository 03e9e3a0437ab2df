/** `import`: a bundle of anybody's ONNX estimator. */
import { pairingOf } from '@ratioflow/sdk';
import { accept, argument } from '@ratioflow/sdk/engine';
import { checkReference } from '../bundle/check-content.js';
import { createBundle, type BundleOptions } from '../bundle/create-bundle.js';
import type { Model } from '../ir/types.js';
import { estimatorOf } from '../products/estimator.js';
import { gradientGraph } from '../products/estimator-graphs.js';
import type { PriorSource } from '../products/prior.js';
import { compareEstimators } from './compare-estimators.js';
import { prepareEstimator, type PrepareOptions } from './prepare-estimator.js';

/** What `createBundle` takes, and how to read the foreign model. */
export interface ImportOptions extends Omit<BundleOptions, 'estimator' | 'prior' | 'allowDepartures'>, PrepareOptions {
  /** Reads the model; called twice, so that what was made of it can be compared with what it was (`() => readModelFile(path)`). */
  readonly read: () => Promise<Model>;
  /** The prior, or how to make it once the model is known to fit. */
  readonly prior: PriorSource | ((sampleShape: readonly number[]) => Promise<PriorSource>);
  /** Samples are clamped to this range at the very end; null: no clamp. @default [-1, 1] for images, null for points */
  readonly valueRange?: readonly [number, number] | null;
}

/** The files of the bundle, and what was changed on the way to it. */
export interface ImportedBundle {
  /** File name → content, for `writeBundle`. */
  readonly files: Map<string, Uint8Array>;
  /** Sentences for people. */
  readonly notes: readonly string[];
  readonly sampleShape: readonly number[];
}

/**
 * Makes a bundle of a foreign estimator. Its batch extent is freed, its precision and opset are those of bundles, and the
 * result is compared with the original on the reference engine. Operators beyond the emission profile are kept and listed
 * in the manifest's `departures`.
 * @throws {ArgumentError} for a prior, pairing or number that no bundle can have
 * @throws {GraphError} for a signature that does not fit, or when the result differs from the original
 * @throws {UnsupportedError} naming the node that cannot be differentiated or converted
 */
export async function importBundle({ read, prior, sampleShape, layout, negate, ...options }: ImportOptions): Promise<ImportedBundle> {
  argument('read', read, accept((value) => typeof value === 'function', 'a function that reads the model, for example () => readModelFile(path)'));
  checkReference(options.reference);
  const prepared = prepareEstimator(await read(), { ...(sampleShape && { sampleShape }), ...(layout && { layout }), ...(negate && { negate }) });
  const estimator = estimatorOf(prepared.model);
  const shape = estimator.sampleShape;
  // What cannot be differentiated is said before anything long is done.
  gradientGraph(estimator, pairingOf(options.pairing));
  const problem = await compareEstimators(await read(), prepared.model, { sampleShape: shape, layout: layout ?? 'nchw', negate: negate ?? false }, options.reference);
  const source = typeof prior === 'function' ? await prior(shape) : prior;
  const files = await createBundle({ valueRange: shape.length === 3 ? [-1, 1] : null, ...options, prior: source, estimator: prepared.model, allowDepartures: true });
  const notes = problem === undefined ? prepared.notes : [...prepared.notes, `was not compared with the original, which the engine here cannot run: ${problem}`];
  return { files, notes, sampleShape: shape };
}
