/** The graphs of a bundle, made from an estimator and a pairing; names of inputs and outputs are fixed (docs/bundle.md). */
import type { Pairing } from '@ratioflow/sdk';
import { GraphBuilder, shapeOf } from '../ir/builder.js';
import { boolean } from '../ir/constant.js';
import { hoistInvariants } from '../ir/hoist.js';
import { newModel } from '../ir/model.js';
import type { Model, Value } from '../ir/types.js';
import { applyEstimator, batchShape, withInput, type Estimator } from './estimator.js';
import { applyDrift, applyStep, logRatio } from './flow.js';

/** x → logRatio [N]. */
export function ratioGraph(estimator: Estimator, pairing: Pairing): Model {
  const { builder, x } = withInput('ratio', estimator);
  builder.output('logRatio', logRatio(builder, pairing, applyEstimator(builder, estimator, x)));
  return newModel(builder.graph);
}

/** x → logRatio [N], drift (shape of x). */
export function gradientGraph(estimator: Estimator, pairing: Pairing): Model {
  const { builder, x } = withInput('gradient', estimator);
  const result = applyDrift(builder, estimator, pairing, x);
  builder.output('logRatio', result.logRatio);
  builder.output('drift', result.drift);
  return newModel(builder.graph);
}

/** x, noise, eta, nu → next, logRatio; one step of the flow, logRatio at x. */
export function stepGraph(estimator: Estimator, pairing: Pairing): Model {
  const { builder, x } = withInput('step', estimator);
  const noise = builder.input('noise', 'float32', batchShape(estimator));
  const eta = builder.input('eta', 'float32', []);
  const nu = builder.input('nu', 'float32', []);
  const { drift, logRatio: ratio } = applyDrift(builder, estimator, pairing, x);
  builder.output('next', applyStep(builder, x, drift, noise, eta, nu));
  builder.output('logRatio', ratio);
  return newModel(builder.graph);
}

/**
 * x0, noise [K, N, …], eta, nu → x: K steps in a Loop, K the leading extent of the noise. Does not clamp, so that the
 * stages of sampling compose; whoever samples clamps once, at the very end.
 */
export function samplerGraph(estimator: Estimator, pairing: Pairing): Model {
  return flowGraph(estimator, pairing, []);
}

/**
 * The sampler with live weights: every parameter given becomes an input of its own name. What depends on weights alone
 * (rotated and phase kernels of the adjoints) is computed once per run, before the loop.
 */
export function liveSamplerGraph(estimator: Estimator, pairing: Pairing, parameters: readonly Value[]): Model {
  return flowGraph(estimator, pairing, parameters);
}

function flowGraph(estimator: Estimator, pairing: Pairing, parameters: readonly Value[]): Model {
  const { builder, x: x0 } = withInput('sampler', estimator, 'x0');
  const noise = builder.input('noise', 'float32', ['K', ...batchShape(estimator)]);
  const eta = builder.input('eta', 'float32', []);
  const nu = builder.input('nu', 'float32', []);
  const live = new Map(parameters.map((value) => [value, builder.input(value.name, 'float32', shapeOf(value))]));
  const count = builder.op('Gather', [builder.op('Shape', [noise]), builder.constant({ dtype: 'int64', dims: [], data: new Uint8Array(8) })], { axis: 0 });
  const body = loopBody(builder, estimator, (inner, k, x) => {
    const { drift } = applyDrift(inner, estimator, pairing, x, live);
    return applyStep(inner, x, drift, inner.op('Gather', [noise, k], { axis: 0 }), eta, nu);
  });
  if (live.size > 0) hoistInvariants(builder, body.graph);
  // An explicit condition: engines differ in what its absence means.
  builder.output('x', builder.op('Loop', [count, builder.constant(boolean(true)), x0], { body: body.graph }));
  return newModel(builder.graph);
}

/** The body of a Loop that carries x. */
function loopBody(outer: GraphBuilder, estimator: Estimator, step: (inner: GraphBuilder, k: Value, x: Value) => Value): GraphBuilder {
  const inner = new GraphBuilder('flow_step', undefined, outer);
  const k = inner.input('k', 'int64', []);
  inner.input('more', 'bool', []);
  const x = inner.input('x_k', 'float32', batchShape(estimator));
  const next = step(inner, k, x);
  inner.output('more_out', inner.constant(boolean(true)));
  inner.output('x_next', next);
  return inner;
}
