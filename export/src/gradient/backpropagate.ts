/**
 * Reverse-mode differentiation on a graph: walks the nodes between the inputs and outputs in question backwards and asks
 * each operator's rule for its share. Appends to the graph; changes nothing that is there.
 */
import { RatioflowError } from '@ratioflow/sdk';
import { GraphError, UnsupportedError } from '../errors.js';
import { UnknownTypeError, type GraphBuilder } from '../ir/builder.js';
import { usedBy } from '../ir/model.js';
import type { DataType, Graph, Node, Value } from '../ir/types.js';
import { showShape } from '../ops/operator.js';
import { fullLike, type Contribution, type Deferred, type Phasing, type Rule, type RuleContext } from './rule.js';
import { manyOutputs, nonDifferentiable, ruleOf } from './rules/table.js';

const differentiableTypes: ReadonlySet<DataType | undefined> = new Set(['float32', 'float64', 'float16', 'bfloat16', undefined]);

/**
 * Vector-Jacobian products.
 * @param seeds pairs of a value and the gradient that flows into it (same shape)
 * @param wrt values whose gradients are wanted
 * @param options `zeros`: whether a value from which no differentiable path leads has the gradient zero
 * @returns one gradient per `wrt`
 * @throws {UnsupportedError} for an operator without a rule, or, unless `zeros`, when no differentiable path leads from `wrt` to the seeds
 */
export function backpropagate(builder: GraphBuilder, seeds: readonly (readonly [Value, Value])[], wrt: readonly Value[], { zeros = false, phases = 'together' }: { readonly zeros?: boolean | undefined; readonly phases?: Phasing | undefined } = {}): Value[] {
  const gradients = propagate(builder, ancestors(builder.graph, seeds.map(([value]) => value)), seeds, wrt, { zeros, phases });
  return wrt.map((value, index) => {
    const gradient = gradients[index];
    if (!gradient) {
      if (zeros) return fullLike({ builder }, value, 0);
      throw new UnsupportedError(`No differentiable path leads from ${JSON.stringify(value.name)} to ${seeds.map(([output]) => JSON.stringify(output.name)).join(', ')}: its gradient would be zero everywhere.`);
    }
    return gradient;
  });
}

/** Walks `candidates`, which stand in graph order, backwards; null for a value that no gradient reaches. */
function propagate(builder: GraphBuilder, candidates: readonly Node[], seeds: readonly (readonly [Value, Value])[], wrt: readonly Value[], settings: { readonly zeros: boolean; readonly phases: Phasing }): (Value | null)[] {
  const { zeros, phases } = settings;
  const forward = dependents(candidates, wrt);
  const nodes = candidates.filter((node) => [...usedBy(node)].some((value) => forward.has(value)));
  const pending = new Map<Value, Contribution[]>();
  const add = (value: Value, contribution: Contribution): void => {
    if (!contribution) return;
    const list = pending.get(value);
    if (list) list.push(contribution);
    else pending.set(value, [contribution]);
  };
  for (const [value, gradient] of seeds) add(value, gradient);

  for (const node of nodes.reverse()) {
    const outputGradients = node.outputs.map((value) => (value && forward.has(value) ? collect(builder, pending, value) : null));
    const gradient = outputGradients.find((value) => value !== null);
    if (!gradient) continue;
    const where = `${node.domain ? `${node.domain}.` : ''}${node.opType} node ${JSON.stringify(node.name)}`;
    if (zeros && node.domain === '' && nonDifferentiable.has(node.opType)) continue;
    const rule = node.domain === '' ? ruleOf(node.opType) : undefined;
    if (!rule) throw new UnsupportedError(`${where}: ${explain(node)}`);
    const extra = outputGradients.findIndex((value, index) => index > 0 && value !== null);
    if (extra > 0 && !manyOutputs.has(node.opType)) throw new UnsupportedError(`${where}: only its first output can be differentiated, and the gradient of ${JSON.stringify(node.outputs[extra]!.name)} is wanted.`);
    const wants = (index: number): boolean => {
      const value = node.inputs[index];
      return !!value && forward.has(value);
    };
    const expand = (make: () => Value | readonly Value[], inputs: readonly Value[]): (Value | null)[] => {
      const start = builder.graph.nodes.length;
      const outputs = [make()].flat();
      const received = outputs.flatMap((output, index): [Value, Value][] => (outputGradients[index] ? [[output, outputGradients[index]]] : []));
      // Once each: the gradient of a value that stands in two places is already the sum.
      const wanted = [...new Set(inputs)].filter((input) => forward.has(input));
      const found = new Map(propagate(builder, builder.graph.nodes.slice(start), received, wanted, settings).map((value, index) => [wanted[index], value]));
      return inputs.map((input, index) => (inputs.indexOf(input) === index ? (found.get(input) ?? null) : null));
    };
    const contributions = applyRule(rule, { node, builder, where, outputGradients, gradient, phases, wants, expand });
    node.inputs.forEach((value, index) => {
      if (value && wants(index)) add(value, contributions[index] ?? null);
    });
  }

  return wrt.map((value) => {
    const gradient = collect(builder, pending, value);
    if (gradient) checkShape(value, gradient);
    return gradient;
  });
}

/**
 * A rule that misses a type or shape cannot go on: the message then says at which node. A node may also contradict itself in
 * ways that no check foresees; whoever calls sees one kind of error all the same.
 */
function applyRule(rule: Rule, context: RuleContext): readonly Contribution[] {
  try {
    return rule(context);
  } catch (error) {
    if (error instanceof UnknownTypeError) throw new UnsupportedError(`${context.where}: ${error.message}`, { cause: error });
    if (error instanceof RatioflowError) throw error;
    throw new GraphError(`${context.where}: its attributes, types and shapes contradict each other (${(error as Error).message}).`, { cause: error });
  }
}

function explain(node: Node): string {
  if (node.domain !== '') return `operators of the domain ${JSON.stringify(node.domain)} cannot be differentiated.`;
  if (['If', 'Loop', 'Scan'].includes(node.opType)) return 'control flow cannot be differentiated. Unroll or inline it before export.';
  return nonDifferentiable.has(node.opType) ? 'this operator is not differentiable.' : 'there is no gradient rule for this operator.';
}

/** Sums what has flowed into `value` so far; contributions that share their last step are added before it. */
function collect(builder: GraphBuilder, pending: Map<Value, Contribution[]>, value: Value): Value | null {
  const contributions = pending.get(value);
  if (!contributions) return null;
  const ready: Value[] = [];
  const deferred = new Map<string, Deferred[]>();
  for (const contribution of contributions) {
    if (!contribution) continue;
    if (!('finish' in contribution)) ready.push(contribution);
    else if (deferred.has(contribution.key)) deferred.get(contribution.key)!.push(contribution);
    else deferred.set(contribution.key, [contribution]);
  }
  for (const group of deferred.values()) ready.push(group[0]!.finish(sumOfParts(builder, group.map(({ parts }) => parts))));
  const total = sum(builder, ready);
  pending.set(value, [total]);
  return total;
}

/** Lists of parts added place by place; null is zero. */
export const sumOfParts = (builder: GraphBuilder, lists: readonly (readonly (Value | null)[])[]): (Value | null)[] => lists[0]!.map((_, place) => {
  const values = lists.flatMap((parts) => parts[place] ?? []);
  return values.length === 0 ? null : sum(builder, values);
});

const sum = (builder: GraphBuilder, values: readonly Value[]): Value => values.reduce((a, b) => builder.op('Add', [a, b]));

function checkShape(value: Value, gradient: Value): void {
  const [a, b] = [value.shape, gradient.shape];
  if (a && b && (a.length !== b.length || a.some((dim, axis) => typeof dim === 'number' && typeof b[axis] === 'number' && dim !== b[axis]))) {
    throw new GraphError(`The gradient of ${JSON.stringify(value.name)} came out as ${showShape(b)} instead of ${showShape(a)}; this is a defect of a gradient rule.`);
  }
}

/** The values that depend on `roots` through floating-point values alone, the roots included: what gradients flow through. */
function dependents(nodes: readonly Node[], roots: readonly Value[]): Set<Value> {
  const reached = new Set(roots);
  for (const node of nodes) {
    if (![...usedBy(node)].some((value) => reached.has(value))) continue;
    for (const output of node.outputs) if (output && differentiableTypes.has(output.dtype)) reached.add(output);
  }
  return reached;
}

/** Nodes on which `targets` depend, in graph order. */
function ancestors(graph: Graph, targets: readonly Value[]): Node[] {
  const needed = new Set(targets);
  const nodes: Node[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((value) => value && needed.has(value))) continue;
    nodes.push(node);
    for (const value of usedBy(node)) needed.add(value);
  }
  return nodes.reverse();
}
