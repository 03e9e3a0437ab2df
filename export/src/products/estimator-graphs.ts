/** The graphs of an estimator with its pairing, each by itself; a bundle holds all of them (bundle/create-bundle.ts). */
import type { Pairing } from '@ratioflow/sdk';
import { shapeOf } from '../ir/builder.js';
import type { Model, Value } from '../ir/types.js';
import type { Estimator } from './estimator.js';
import { estimatorField } from './field.js';
import { gradientModel, ratioModel, samplerModel, stepModel } from './graphs.js';
import { winogradField } from './winograd-field.js';

/** x → logRatio [N]. */
export const ratioGraph = (estimator: Estimator, pairing: Pairing): Model => ratioModel(estimatorField(estimator, pairing));

/** x → logRatio [N], drift (shape of x). */
export const gradientGraph = (estimator: Estimator, pairing: Pairing): Model => gradientModel(estimatorField(estimator, pairing));

/** x, noise, eta, nu → next, logRatio; one step of the flow, logRatio at x. */
export const stepGraph = (estimator: Estimator, pairing: Pairing): Model => stepModel(estimatorField(estimator, pairing));

/** x0, noise [K, N, …], eta, nu → x: K steps in a Loop, K the leading extent of the noise. Does not clamp. */
export const samplerGraph = (estimator: Estimator, pairing: Pairing): Model => samplerModel(estimatorField(estimator, pairing));

/** The same, lowered for engines on a CPU; undefined where that gains nothing. */
export function loweredSamplerGraph(estimator: Estimator, pairing: Pairing): Model | undefined {
  const field = winogradField(estimatorField(estimator, pairing));
  return field && samplerModel(field);
}

/**
 * The sampler with live weights: every parameter given becomes an input of its own name. What depends on weights alone
 * (rotated and phase kernels of the adjoints) is computed once per run, before the loop.
 */
export function liveSamplerGraph(estimator: Estimator, pairing: Pairing, parameters: readonly Value[]): Model {
  return samplerModel(estimatorField(estimator, pairing), (builder) =>
    estimatorField(estimator, pairing, new Map(parameters.map((value) => [value, builder.input(value.name, 'float32', shapeOf(value))]))));
}
