/**
 * What moves samples: a drift and a log ratio at x, in whatever graph they are wanted. An estimator with its pairing is
 * one; a composition of bundles and classifiers is another. Every graph of a bundle is made from a field.
 */
import type { Pairing } from '@ratioflow/sdk';
import { GraphBuilder } from '../ir/builder.js';
import { neededFor } from '../ir/model.js';
import type { DataType, Node, Shape, Value } from '../ir/types.js';
import { shareAdjoints } from './common-adjoints.js';
import { batch, type Estimator } from './estimator.js';
import { applyDrift, type FieldOptions } from './flow.js';

/** An input that the graphs of a field have besides those of the format. */
export interface FieldInput {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: Shape;
}

export interface Field {
  /** [C, H, W] or [D]. */
  readonly sampleShape: readonly number[];
  readonly inputs: readonly FieldInput[];
  /**
   * Adds drift (shape of x) and log ratio [N] at x to a graph.
   * @param extras the field's inputs by name
   * @param driftOnly the log ratio is not asked for: what leads to it alone may be missing from the graph
   */
  readonly evaluate: (builder: GraphBuilder, x: Value, extras: ReadonlyMap<string, Value>, driftOnly?: boolean) => { drift: Value; logRatio: Value };
}

/** The field of FDRL: −∇ₓ f′(r(x)) and log r(x). */
export function estimatorField(estimator: Estimator, pairing: Pairing, options?: FieldOptions): Field {
  return rewrittenField({
    sampleShape: estimator.sampleShape,
    inputs: [],
    evaluate: (builder, x) => applyDrift(builder, estimator, pairing, x, options),
  }, shareAdjoints);
}

/**
 * The same field, its nodes written otherwise.
 * @param rewrite adds nodes that stand for the given ones to the graph; returns what stands for a value of theirs. They are made from x,
 * and `results` are what is asked of them
 */
export function rewrittenField(field: Field, rewrite: (builder: GraphBuilder, nodes: readonly Node[], x: Value, results: readonly Value[]) => (value: Value) => Value): Field {
  return {
    ...field,
    evaluate: (builder, x, inputs, driftOnly) => {
      const before = builder.graph.nodes.length;
      const { drift, logRatio } = field.evaluate(builder, x, inputs, driftOnly);
      const results = driftOnly ? [drift] : [drift, logRatio];
      const added = neededFor(builder.graph.nodes.slice(before), results);
      builder.graph.nodes = builder.graph.nodes.slice(0, before);
      const now = rewrite(builder, added, x, results);
      return { drift: now(drift), logRatio: now(logRatio) };
    },
  };
}

/** A field in a graph of its own, to look at what it consists of. */
export function tried(field: Field): { readonly builder: GraphBuilder; readonly x: Value; readonly drift: Value; readonly logRatio: Value } {
  const builder = new GraphBuilder('trial');
  const extras = new Map(field.inputs.map(({ name, dtype, shape }) => [name, builder.input(name, dtype, shape)]));
  const x = builder.input('x', 'float32', fieldShape(field));
  return { builder, x, ...field.evaluate(builder, x, extras) };
}

/** Shape of a batch of samples. */
export const fieldShape = (field: Field): Shape => [batch, ...field.sampleShape];
