/** The graphs of an estimator with its pairing, each by itself; a bundle holds all of them (bundle/create-bundle.ts). */
import type { Lowering, Pairing } from '@ratioflow/sdk';
import { shapeOf } from '../ir/builder.js';
import type { Model, Value } from '../ir/types.js';
import type { Estimator } from './estimator.js';
import { inBlocks } from './block-layout.js';
import { carriedField } from './carried-field.js';
import { estimatorField, type Field } from './field.js';
import { gradientModel, ratioModel, samplerModel, stepModel } from './graphs.js';
import { phasedField } from './phased-field.js';
import { wasmField } from './wasm-field.js';
import { winogradField } from './winograd-field.js';

/** x → logRatio [N]. */
export const ratioGraph = (estimator: Estimator, pairing: Pairing): Model => ratioModel(estimatorField(estimator, pairing));

/** x → logRatio [N], drift (shape of x). */
export const gradientGraph = (estimator: Estimator, pairing: Pairing): Model => gradientModel(estimatorField(estimator, pairing));

/** x, noise, eta, nu → next, logRatio; one step of the flow, logRatio at x. */
export const stepGraph = (estimator: Estimator, pairing: Pairing): Model => stepModel(estimatorField(estimator, pairing));

/** x0, noise [K, N, …], eta, nu → x: K steps in a Loop, K the leading extent of the noise. Does not clamp. */
export const samplerGraph = (estimator: Estimator, pairing: Pairing): Model => samplerModel(estimatorField(estimator, pairing));

/** The field computed as suits a kind of engines; undefined where that gains nothing (docs/lowerings.md). */
export function loweredField(estimator: Estimator, pairing: Pairing, lowering: Lowering): Field | undefined {
  const field = estimatorField(estimator, pairing, { phases: 'apart' });
  if (lowering === 'wasm') return wasmField(phasedField(estimator, pairing) ?? field);
  const wide = winogradField(field);
  if (wide) return wide;
  const phased = phasedField(estimator, pairing);
  return phased ? inBlocks(phased) : carriedField(field);
}

/** The sampler, lowered for a kind of engines; undefined where that gains nothing. */
export function loweredSamplerGraph(estimator: Estimator, pairing: Pairing, lowering: Lowering = 'cpu'): Model | undefined {
  const field = loweredField(estimator, pairing, lowering);
  return field && samplerModel(field);
}

/**
 * The sampler with live weights: every parameter given becomes an input of its own name. What depends on weights alone
 * (rotated and phase kernels of the adjoints) is computed once per run, before the loop.
 */
export function liveSamplerGraph(estimator: Estimator, pairing: Pairing, parameters: readonly Value[]): Model {
  return samplerModel(estimatorField(estimator, pairing), (builder) => {
    const field = estimatorField(estimator, pairing, { substitutes: new Map(parameters.map((value) => [value, builder.input(value.name, 'float32', shapeOf(value))])) });
    return carriedField(field) ?? field;
  });
}
