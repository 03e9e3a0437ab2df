/**
 * Where the drift's seed is the same for every sample (pairings whose −f′ is linear in the network's output: lr-kl,
 * lsif-chi2), so is all that the backward pass makes of it before the first slope: the head's weights, spread over what the
 * head reads. Here they are computed as a batch of one, and broadcast, or multiplied into the weights of the next dense
 * layer. The drift then depends no more on the head's output, so that samplers need not compute it.
 */
import { attributesOf } from '../gradient/rule.js';
import type { GraphBuilder } from '../ir/builder.js';
import { madeFrom } from '../ir/model.js';
import type { Node, Shape, Value } from '../ir/types.js';
import { intOf } from '../ops/operator.js';

const broadcasting: ReadonlySet<string> = new Set(['Mul', 'Add', 'Sub']);

/** Rewrites nodes made from x (`rewrittenField`); nodes that nobody reads any more stay, until the graph is finished. */
export function shareAdjoints(builder: GraphBuilder, nodes: readonly Node[], x: Value): (value: Value) => Value {
  const varying = madeFrom(nodes, [x]);
  /** What stands for a value that is the same for every sample: it broadcasts to it. */
  const common = new Map<Value, Value>();
  /** Products of such a value and one that is not. */
  const weighted = new Map<Value, { readonly weights: Value; readonly values: Value }>();
  const isFixed = (value: Value | null | undefined): boolean => !value || !varying.has(value);

  for (const node of nodes) {
    const output = node.outputs[0]!;
    const value = commonOf(node);
    if (value) common.set(output, value);
    else if (broadcasting.has(node.opType)) broadcast(node, output);
    else if (node.opType === 'Gemm') absorb(node);
    builder.graph.nodes.push(node);
  }
  return (value) => value;

  function commonOf(node: Node): Value | undefined {
    const [first, ...others] = node.inputs;
    // Clip(n, c, c), the seed.
    if (node.opType === 'Clip' && first?.shape?.length === 1 && isBatch(first.shape) && others[0] && others[0] === others[1]) return others[0];
    const given = first && common.get(first);
    const { shape } = node.outputs[0]!;
    if (!given?.shape || !shape || !others.every(isFixed)) return undefined;
    const isWhole = countOfOne(first!.shape!) === count(given.shape);
    switch (node.opType) {
      case 'Reshape': return isWhole && isBatch(shape) && countOfOne(shape) === count(given.shape) ? builder.op('Reshape', [given, builder.ints([1, ...shape.slice(1) as number[]])]) : undefined;
      case 'Expand': return isBatch(shape) && shape.length === given.shape.length ? given : undefined;
      case 'Gemm': return isWhole && given.shape.length === 2 && intOf(node, 'transA', 0) === 0 ? builder.op('Gemm', [given, ...others], attributesOf(node)) : undefined;
      case 'Neg': return builder.op('Neg', [given]);
      case 'Mul': return others[0] && isOfOneSample(others[0], shape) ? builder.op('Mul', [given, others[0]]) : undefined;
      default: return undefined;
    }
  }

  /** Lets a product or sum with a common value broadcast. */
  function broadcast(node: Node, output: Value): void {
    const place = node.inputs.findIndex((value) => value && common.has(value));
    const values = node.inputs[1 - place];
    if (place < 0 || !values || common.has(values) || String(values.shape) !== String(output.shape)) return;
    const weights = common.get(node.inputs[place]!)!;
    node.inputs = node.inputs.with(place, weights);
    if (node.opType === 'Mul') weighted.set(output, { weights, values });
  }

  /** (weights ⊙ values) · B = values · (diag(weights) · B). */
  function absorb(node: Node): void {
    const [a, b] = node.inputs as [Value, Value];
    const product = weighted.get(a);
    if (!product?.weights.shape || !isFixed(b) || intOf(node, 'transA', 0) !== 0 || product.weights.shape.length !== 2) return;
    const perRow = intOf(node, 'transB', 0) === 0;
    const weights = perRow ? builder.op('Reshape', [product.weights, builder.ints([-1, 1])]) : product.weights;
    node.inputs = [product.values, builder.op('Mul', [b, weights]), ...node.inputs.slice(2)];
  }
}

/** Whether a shape is that of a batch of any size, all else known. */
const isBatch = ([leading, ...others]: Shape): boolean => typeof leading !== 'number' && others.every((extent) => typeof extent === 'number');

const count = (shape: Shape): number => shape.reduce<number>((product, extent) => product * Number(extent), 1);

const countOfOne = ([, ...others]: Shape): number => count(others);

/** Whether a value has nothing along the axis of samples of what it is broadcast to. */
const isOfOneSample = ({ shape }: Value, { length }: Shape): boolean => !!shape && (shape.length < length || (shape.length === length && shape[0] === 1));
