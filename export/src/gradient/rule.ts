/** The form of a vector-Jacobian rule, and the few helpers that many rules share. */
import { UnsupportedError } from '../errors.js';
import { shapeOf, type GraphBuilder } from '../ir/builder.js';
import type { Node, Value } from '../ir/types.js';

/**
 * A gradient contribution whose last step is linear and can be shared: contributions to one value with equal keys are
 * added first, and `finish` runs once on the sum. (Adjoints of strided convolutions that meet in one sum share the
 * interleaving of their phases this way.)
 */
export interface Deferred {
  readonly key: string;
  readonly value: Value;
  readonly finish: (sum: Value) => Value;
}

/** What a rule gives for one input; null where nothing flows, for example into integers. */
export type Contribution = Value | Deferred | null;

export interface RuleContext {
  readonly node: Node;
  readonly builder: GraphBuilder;
  /** For messages: operator and name of the node. */
  readonly where: string;
  /** Gradients with respect to the outputs; null where none flows. */
  readonly outputGradients: readonly (Value | null)[];
  /** The gradient of the first output, which flows into most rules. */
  readonly gradient: Value;
  /** Whether somebody needs the gradient of this input. Rules leave the others out. */
  readonly wants: (input: number) => boolean;
}

/** A pure function from a node and its output gradients to its input gradients, in plain ai.onnx operators. */
export type Rule = (context: RuleContext) => readonly Contribution[];

/** Input `index`, which the operator requires. */
export function requiredInput(context: RuleContext, index: number): Value {
  const value = context.node.inputs[index];
  if (!value) throw new UnsupportedError(`${context.where}: lacks its input ${index}.`);
  return value;
}

export function requiredOutput(context: RuleContext, index = 0): Value {
  const value = context.node.outputs[index];
  if (!value) throw new UnsupportedError(`${context.where}: lacks its output ${index}.`);
  return value;
}

/** Sums a gradient over the axes along which `target` was broadcast. */
export function unbroadcast(context: RuleContext, gradient: Value, target: Value): Value {
  const { builder } = context;
  const [wide, narrow] = [shapeOf(gradient), shapeOf(target)];
  const lead = wide.length - narrow.length;
  const axes: number[] = [];
  for (const [axis, extent] of wide.entries()) {
    const own = axis < lead ? 1 : narrow[axis - lead]!;
    if (axis < lead || (own === 1 && extent !== 1)) axes.push(axis);
    else if (own !== extent && typeof own !== 'number') {
      throw new UnsupportedError(`${context.where}: whether ${JSON.stringify(target.name)} is broadcast along axis ${axis} (${own} against ${extent}) is not known before it runs.`);
    }
  }
  if (axes.length === 0) return gradient;
  const sum = builder.op('ReduceSum', [gradient, builder.ints(axes)], { keepdims: lead === 0 ? 1 : 0 });
  return lead === 0 || axes.length === lead ? sum : builder.op('Reshape', [sum, builder.reshapeTarget(target)]);
}
