/** The graphs of a bundle, made from a field; names of inputs and outputs are fixed (docs/bundle.md). */
import { GraphBuilder } from '../ir/builder.js';
import { boolean, int64 } from '../ir/constant.js';
import { hoistInvariants } from '../ir/hoist.js';
import { mergeEqual } from '../ir/merge.js';
import { newModel, removeUnused, usedBy } from '../ir/model.js';
import type { Model, Value } from '../ir/types.js';
import { fieldShape, type Field } from './field.js';
import { applyStep } from './flow.js';

type Extras = ReadonlyMap<string, Value>;

/** x → logRatio [N]. */
export function ratioModel(field: Field): Model {
  const { builder, extras } = begin('ratio', field);
  const x = batchInput(builder, field, 'x');
  builder.output('logRatio', field.evaluate(builder, x, extras).logRatio);
  return finish(builder, field);
}

/** x → logRatio [N], drift (shape of x). */
export function gradientModel(field: Field): Model {
  const { builder, extras } = begin('gradient', field);
  const result = field.evaluate(builder, batchInput(builder, field, 'x'), extras);
  builder.output('logRatio', result.logRatio);
  builder.output('drift', result.drift);
  return finish(builder, field);
}

/** x, noise, eta, nu → next, logRatio; one step of the flow, logRatio at x. */
export function stepModel(field: Field): Model {
  const { builder, extras } = begin('step', field);
  const x = batchInput(builder, field, 'x');
  const noise = batchInput(builder, field, 'noise');
  const [eta, nu] = schedule(builder);
  const { drift, logRatio } = field.evaluate(builder, x, extras);
  builder.output('next', applyStep(builder, x, drift, noise, eta, nu));
  builder.output('logRatio', logRatio);
  return finish(builder, field);
}

/**
 * x0, noise [K, N, …], eta, nu → x: K steps in a Loop, K the leading extent of the noise. Does not clamp, so that the
 * stages of sampling compose; whoever samples clamps once, at the very end.
 * @param live parameters that become inputs of their own names (their stand-ins are the field's business): what depends
 *   on them alone is then computed once per run, before the loop
 */
export function samplerModel(field: Field, live: (builder: GraphBuilder) => Field = () => field): Model {
  const { builder, extras } = begin('sampler', field);
  const x0 = batchInput(builder, field, 'x0');
  const noise = builder.input('noise', 'float32', ['K', ...fieldShape(field)]);
  const [eta, nu] = schedule(builder);
  const inner = live(builder);
  const count = builder.op('Gather', [builder.op('Shape', [noise]), builder.constant(int64([0], []))], { axis: 0 });
  const x = flowLoop(builder, inner, count, x0, (body, k) => body.op('Gather', [noise, k], { axis: 0 }), { eta, nu, extras, hoist: inner !== field });
  builder.output('x', x);
  return finish(builder, field);
}

/**
 * x0, steps [] (int64), eta, nu → x: the sampler whose noise the engine draws itself. Fast where moving noise is slow; no
 * two engines draw the same, and no seed is promised to mean anything.
 */
export function deviceNoiseModel(field: Field): Model {
  const { builder, extras } = begin('sampler_device_noise', field);
  const x0 = batchInput(builder, field, 'x0');
  const steps = builder.input('steps', 'int64', []);
  const [eta, nu] = schedule(builder);
  builder.output('x', flowLoop(builder, field, steps, x0, (body, _, x) => body.op('RandomNormalLike', [x], { mean: 0, scale: 1 }), { eta, nu, extras }));
  return finish(builder, field);
}

/** The sampler for exactly `steps` steps, without control flow: x0, noise [steps, N, …], eta, nu → x. */
export function unrolledModel(field: Field, steps: number): Model {
  const { builder, extras } = begin('sampler_unrolled', field);
  let x = batchInput(builder, field, 'x0');
  const noise = builder.input('noise', 'float32', [steps, ...fieldShape(field)]);
  const [eta, nu] = schedule(builder);
  for (let k = 0; k < steps; k++) {
    const { drift } = field.evaluate(builder, x, extras, true);
    x = applyStep(builder, x, drift, builder.op('Gather', [noise, builder.constant(int64([k], []))], { axis: 0 }), eta, nu);
  }
  builder.output('x', x);
  // Every step brings its own copy of the weights and of the kernels made of them.
  mergeEqual(builder.graph);
  return finish(builder, field);
}

/** What the loop of the flow takes from around it. */
export interface LoopSetting {
  readonly eta: Value;
  readonly nu: Value;
  readonly extras: Extras;
  /** Compute what does not change from step to step before the loop. */
  readonly hoist?: boolean;
}

/** `count` steps from x0 in a Loop. @param noiseAt adds ξ_k to the body */
export function flowLoop(
  builder: GraphBuilder, field: Field, count: Value, x0: Value, noiseAt: (body: GraphBuilder, k: Value, x: Value) => Value, { eta, nu, extras, hoist }: LoopSetting,
): Value {
  const body = new GraphBuilder('flow_step', undefined, builder);
  const k = body.input('k', 'int64', []);
  body.input('more', 'bool', []);
  const x = batchInput(body, field, 'x_k');
  const { drift } = field.evaluate(body, x, extras, true);
  const next = applyStep(body, x, drift, noiseAt(body, k, x), eta, nu);
  body.output('more_out', body.constant(boolean(true)));
  body.output('x_next', next);
  // The log ratio, for one, is not asked for; engines compute what a body holds.
  removeUnused(body.graph);
  if (hoist) hoistInvariants(builder, body.graph);
  // An explicit condition: engines differ in what its absence means.
  return builder.op('Loop', [count, builder.constant(boolean(true)), x0], { body: body.graph });
}

/** A builder, with the field's own inputs declared last. */
export function begin(name: string, field: Field): { builder: GraphBuilder; extras: Extras } {
  const builder = new GraphBuilder(name);
  const extras = new Map(field.inputs.map(({ name: input, dtype, shape }) => [input, builder.input(input, dtype, shape)]));
  return { builder, extras };
}

const batchInput = (builder: GraphBuilder, field: Field, name: string): Value => builder.input(name, 'float32', fieldShape(field));

const schedule = (builder: GraphBuilder): [Value, Value] => [builder.input('eta', 'float32', []), builder.input('nu', 'float32', [])];

/** The model; of the field's own inputs those that are used, after the format's. */
export function finish(builder: GraphBuilder, field: Field): Model {
  const model = newModel(builder.graph);
  const extra = (value: Value): boolean => field.inputs.some(({ name }) => name === value.name);
  const used = new Set(model.graph.nodes.flatMap((node) => [...usedBy(node)]));
  const { inputs } = model.graph;
  model.graph.inputs = [...inputs.filter((value) => !extra(value)), ...inputs.filter((value) => extra(value) && used.has(value))];
  return model;
}
