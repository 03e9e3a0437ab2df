/**
 * The slopes of rectifiers as the adjoints write them, Clip(y · 10³⁰, α, 1) (docs/lowerings.md), found again in a graph that is
 * written otherwise for some engines.
 */
import { attributesOf } from '../gradient/rule.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Node, Value } from '../ir/types.js';
import { floatOf } from '../ops/operator.js';

/** Factors from here on are those of slopes: all but 0 goes to the bounds of the `Clip` after them. */
const steep = 1e29;
/** Such a factor for sums of products: it changes no mantissa, so nothing is rounded otherwise, and leaves room below infinity. */
export const powerOfTwo = 2 ** 64;

export interface Slope {
  readonly factor: number;
  readonly clip: Node;
}

/** What a multiplication y · factor does for a slope; undefined for any other node. */
export function slopeOf(builder: GraphBuilder, { opType, inputs: [, other], outputs: [output] }: Node, onlyReader: (value: Value) => Node | undefined): Slope | undefined {
  const factor = opType === 'Mul' && other?.shape?.length === 0 ? builder.constantNumbers(other)?.[0] ?? 0 : 0;
  const clip = factor >= steep ? onlyReader(output!) : undefined;
  return clip?.opType === 'Clip' ? { factor, clip } : undefined;
}

/** Whether a node takes positive factors through. */
export const isRectifier = (node: Node | undefined): node is Node => node?.opType === 'Relu' || node?.opType === 'LeakyRelu';

/** What a slope is to be taken of, in place of y: the operand of a rectifier has the same sign, and if only the slope reads y, y itself is not needed. */
export function signSource(builder: GraphBuilder, y: Value, clip: Node, { makers, onlyReader }: Connections): Value | undefined {
  const rectifier = makers.get(y);
  const [low, high] = [1, 2].map((index) => clip.inputs[index] && builder.constantNumbers(clip.inputs[index])?.[0]);
  const signIsAll = typeof low === 'number' && low >= 0 && typeof high === 'number' && high <= 1;
  return signIsAll && isRectifier(rectifier) && floatOf(rectifier, 'alpha', 1) > 0 && onlyReader(y) ? rectifier.inputs[0]! : undefined;
}

/** The sign of what a convolution makes, times a factor that a slope wants, where nobody else reads it: the convolution of a steeper kernel gives both. */
export function steepConvolution(builder: GraphBuilder, value: Value, { makers, onlyReader }: Connections, now: (value: Value) => Value): Value | undefined {
  const convolution = makers.get(value);
  if (convolution?.opType !== 'Conv' || !onlyReader(value)) return undefined;
  const [x, kernel, bias] = convolution.inputs.map((input) => input && now(input)) as [Value, Value, Value?];
  const steeper = (weights: Value): Value => builder.op('Mul', [weights, builder.scalar(powerOfTwo, weights)]);
  return builder.op('Conv', [x, steeper(kernel), ...(bias ? [steeper(bias)] : [])], attributesOf(convolution));
}

export interface Connections {
  readonly makers: ReadonlyMap<Value, Node>;
  readonly onlyReader: (value: Value) => Node | undefined;
}

/** Who makes and who reads the values of these nodes. */
export function connections(nodes: readonly Node[]): Connections {
  const makers = new Map<Value, Node>();
  const readers = new Map<Value, Node[]>();
  for (const node of nodes) {
    for (const value of node.outputs) if (value) makers.set(value, node);
    for (const value of node.inputs) {
      const list = value && readers.get(value);
      if (list) list.push(node);
      else if (value) readers.set(value, [node]);
    }
  }
  return { makers, onlyReader: (value) => (readers.get(value)?.length === 1 ? readers.get(value)![0] : undefined) };
}
