/**
 * A field for engines on a CPU, for networks of dense layers. The slope of a rectifier is Clip(y · 10³⁰, α, 1); rectifiers take
 * positive factors through, so from the first dense layer to the last the values are carried 2⁶⁴ times as large, and
 * `Clip` is all of the slope. A power of two changes no mantissa: every result is the same, bit for bit.
 */
import { attributesOf } from '../gradient/rule.js';
import type { GraphBuilder } from '../ir/builder.js';
import { hasGraph, madeFrom } from '../ir/model.js';
import type { Node, Value } from '../ir/types.js';
import { floatOf } from '../ops/operator.js';
import { rewrittenField, tried, type Field } from './field.js';
import { connections, isRectifier, powerOfTwo, signSource, slopeOf } from './slopes.js';

/** The same field; undefined where no slope becomes cheaper, and beside convolutions, where that is nothing. */
export function carriedField(field: Field): Field | undefined {
  const { builder, x, drift, logRatio } = tried(field);
  const { nodes } = builder.graph;
  const gains = !nodes.some(({ opType }) => opType === 'Conv') && choose(builder, nodes, x, [drift, logRatio]).slopes.size > 0;
  return gains ? rewrittenField(field, rewrite) : undefined;
}

interface Choice {
  /** Values that are carried larger: made, and read, only by what takes a factor through, brings it in, or needs it. */
  readonly carried: ReadonlySet<Value>;
  /** Multiplications that they make needless. */
  readonly slopes: ReadonlySet<Node>;
}

function choose(builder: GraphBuilder, nodes: readonly Node[], x: Value, results: readonly Value[]): Choice {
  if (nodes.some(hasGraph)) return { carried: new Set(), slopes: new Set() };
  const varying = madeFrom(nodes, [x]);
  /** A dense layer: of its operands only the first depends on x. */
  const isDense = ({ opType, inputs }: Node): boolean => opType === 'Gemm' && inputs[0]?.dtype === 'float32' && inputs.slice(1).every((value) => !value || !varying.has(value));
  const takesThrough = (node: Node): boolean => node.opType === 'Add' || isRectifier(node);
  const { onlyReader } = connections(nodes);
  const slopes = new Set(nodes.filter((node) => slopeOf(builder, node, onlyReader)));

  const carried = new Set(nodes.filter((node) => isDense(node) || takesThrough(node)).map(({ outputs }) => outputs[0]!));
  for (const value of results) carried.delete(value);
  const isConsistent = (node: Node): boolean => {
    if (isDense(node) || slopes.has(node)) return true;
    if (takesThrough(node)) return node.inputs.every((value) => carried.has(value!)) && carried.has(node.outputs[0]!);
    return false;
  };
  // Whatever else touches a value takes it out, and that may reach its neighbours.
  for (let size = -1; size !== carried.size;) {
    size = carried.size;
    for (const node of nodes) if (!isConsistent(node)) for (const value of [...node.inputs, ...node.outputs]) if (value) carried.delete(value);
  }
  const cheaper = new Set([...slopes].filter(({ inputs: [y] }) => carried.has(y!)));
  // Of the rest only what goes together with a slope's operand is worth it: dense layers bring the factor in and take it out.
  const together = new Set([...cheaper].map(({ inputs: [y] }) => y!));
  for (let size = -1; size !== together.size;) {
    size = together.size;
    for (const node of [...nodes, ...nodes.toReversed()]) {
      const values = [...node.inputs, ...node.outputs];
      if (takesThrough(node) && values.some((value) => value && together.has(value))) for (const value of values) if (value) together.add(value);
    }
  }
  return { carried: together, slopes: cheaper };
}

function rewrite(builder: GraphBuilder, nodes: readonly Node[], x: Value, results: readonly Value[]): (value: Value) => Value {
  const { carried, slopes } = choose(builder, nodes, x, results);
  const connected = connections(nodes);
  const replaced = new Map<Value, Value>();
  const now = (value: Value): Value => replaced.get(value) ?? value;
  const scale = (value: Value | null | undefined): number => (value && carried.has(value) ? powerOfTwo : 1);
  for (const node of nodes) {
    const inputs = node.inputs.map((value) => value && now(value));
    const bias = inputs[2];
    const output = node.outputs[0]!;
    const [before, after] = [scale(node.inputs[0]), scale(output)];
    if (slopes.has(node)) replaced.set(output, now(signSource(builder, node.inputs[0]!, connected.onlyReader(output)!, connected) ?? node.inputs[0]!));
    else if (node.opType === 'Gemm' && before * after > 1) {
      if (after > 1 && bias) inputs[2] = builder.op('Mul', [bias, builder.scalar(after, bias)]);
      replaced.set(output, builder.op('Gemm', inputs, { ...attributesOf(node), alpha: (floatOf(node, 'alpha', 1) * after) / before }));
    } else {
      node.inputs = inputs;
      builder.graph.nodes.push(node);
    }
  }
  return now;
}
