/** `gradient`: adds the input gradient to a whole model. */
import { GraphError, UnsupportedError } from '../errors.js';
import { dtypeOf, GraphBuilder, shapeOf } from '../ir/builder.js';
import { removeUnused } from '../ir/model.js';
import type { Model, Value } from '../ir/types.js';
import { oldestRaised } from '../onnx/raise-opset.js';
import { backpropagate } from './backpropagate.js';

/** Options of {@link gradient}. */
export interface GradientOptions {
  /** Output to differentiate. @default the only output */
  readonly of?: string;
  /** Inputs to differentiate with respect to. @default the only floating-point input that is no initializer */
  readonly wrt?: string | readonly string[];
  /** Adds an input `seed_<output>` of the output's shape that is multiplied with the output before summing. @default false */
  readonly seed?: boolean;
  /** An input that no differentiable path leads from has the gradient zero, instead of being an error. @default false */
  readonly zeros?: boolean;
}

/**
 * Adds the gradient of the sum of output `of` with respect to each `wrt` as an output `grad_<input>`; everything else
 * stays. The model given is changed and returned.
 * @throws {UnsupportedError} naming the node that cannot be differentiated
 */
export function gradient(model: Model, options: GradientOptions = {}): Model {
  const { graph } = model;
  const opset = model.opsets.get('') ?? 0;
  if (opset < oldestOpset) {
    throw new UnsupportedError(`The model is of opset ${opset}; gradients are made for opset ${opset < oldestRaised ? oldestRaised : oldestOpset} and later. Convert it first (onnx.version_converter, or export it again).`);
  }
  const builder = new GraphBuilder(graph.name, graph, undefined, opset);
  const original = new Set(graph.nodes);
  const constants = new Set(graph.initializers.keys());
  const output = pick(graph.outputs, options.of, 'output');
  const candidates = graph.inputs.filter((input) => !graph.initializers.has(input) && /^float(16|32|64)$/.test(input.dtype ?? ''));
  const names = typeof options.wrt === 'string' ? [options.wrt] : options.wrt;
  const wrt = names ? names.map((name) => pick(graph.inputs, name, 'input')) : [pick(candidates, undefined, 'input')];
  const seed = options.seed ? builder.input(`seed_${output.name}`, dtypeOf(output), shapeOf(output)) : ones(builder, output);
  const gradients = backpropagate(builder, [[output, seed]], wrt, { zeros: options.zeros });
  wrt.forEach((input, index) => builder.output(`grad_${input.name}`, gradients[index]!));
  // Rules may leave nodes behind that nobody uses; what the model had stays, used or not.
  removeUnused(graph, (item) => !(original as ReadonlySet<unknown>).has(item) && !(constants as ReadonlySet<unknown>).has(item));
  return model;
}

/** Nodes that rules emit are valid from this version of ai.onnx on; reading a file raises older ones to it. */
const oldestOpset = 13;

/** A tensor of ones shaped like `value`: one elementwise operator, no integer arithmetic on shapes. */
export function ones(builder: GraphBuilder, value: Value): Value {
  return filled(builder, value, 1);
}

/** A tensor filled with `fill` and shaped like `value`. */
export function filled(builder: GraphBuilder, value: Value, fill: number): Value {
  return builder.op('Clip', [value, builder.scalar(fill, value), builder.scalar(fill, value)]);
}

function pick(values: readonly Value[], name: string | undefined, kind: 'input' | 'output'): Value {
  const known = values.map((value) => value.name).join(', ') || 'none';
  if (name === undefined) {
    if (values.length === 1) return values[0]!;
    throw new GraphError(`The model has ${values.length} ${kind}s that could be meant (${known}): name one.`);
  }
  const value = values.find((candidate) => candidate.name === name);
  if (!value) throw new GraphError(`The model has no ${kind} ${JSON.stringify(name)}: it has ${known}.`);
  return value;
}
