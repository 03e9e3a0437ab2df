/** The estimator as every product sees it: x [N, …sample] → n [N]. */
import { GraphError } from '../errors.js';
import { shapeOf, type GraphBuilder } from '../ir/builder.js';
import { inline } from '../ir/inline.js';
import type { Graph, Model, Value } from '../ir/types.js';
import { showShape } from '../ops/operator.js';

/** An estimator graph of known signature. */
export interface Estimator {
  readonly graph: Graph;
  /** [C, H, W] or [D]. */
  readonly sampleShape: readonly number[];
}

/** Name of the symbolic batch extent in every graph of a bundle. */
export const batch = 'N';

/**
 * Takes a model as an estimator after checking its signature.
 * @throws {GraphError} saying what is wrong: number of inputs and outputs, types, shapes
 */
export function estimatorOf(model: Model): Estimator {
  const { graph } = model;
  const inputs = graph.inputs.filter((input) => !graph.initializers.has(input));
  const [x] = inputs;
  const [n] = graph.outputs;
  if (inputs.length !== 1 || graph.outputs.length !== 1 || !x || !n) {
    throw new GraphError(`An estimator has one input and one output; this model has inputs ${list(inputs)} and outputs ${list(graph.outputs)}.`);
  }
  if (x.dtype !== 'float32' || n.dtype !== 'float32') throw new GraphError(`An estimator maps float32 to float32; this model maps ${String(x.dtype)} to ${String(n.dtype)}.`);
  const [first, ...sample] = shapeOf(x);
  if (typeof first === 'number') throw new GraphError(`The batch axis of the estimator's input ${x.name} ${showShape(x.shape)} is fixed to ${first}: export it with a symbolic batch extent.`);
  if (![1, 3].includes(sample.length) || !sample.every((extent) => typeof extent === 'number' && extent > 0)) {
    throw new GraphError(`The estimator's input must be [N, C, H, W] or [N, D] with static extents, got ${showShape(x.shape)}.`);
  }
  const output = shapeOf(n);
  if (output.length < 1 || output.length > 2 || (output.length === 2 && output[1] !== 1)) {
    throw new GraphError(`The estimator's output must be [N] or [N, 1], got ${showShape(output)}.`);
  }
  return { graph, sampleShape: sample as number[] };
}

const list = (values: readonly Value[]): string => values.map((value) => `${value.name} ${showShape(value.shape)}`).join(', ') || 'none';

/** Values that stand for initializers of the estimator, for example inputs that hold live weights. */
export type Substitutes = ReadonlyMap<Value, Value>;

/** n(x) [N] inside another graph. */
export function applyEstimator(builder: GraphBuilder, { graph }: Estimator, x: Value, substitutes: Substitutes = new Map()): Value {
  const input = graph.inputs.find((value) => !graph.initializers.has(value))!;
  const [n] = inline(builder, graph, new Map([...substitutes, [input, x]]));
  const result = shapeOf(n!).length === 1 ? n! : builder.op('Reshape', [n!, builder.ints([-1])]);
  // Whatever the estimator calls its batch extent, it is the one of x.
  result.shape = [shapeOf(x)[0]!];
  return result;
}
