/**
 * Dilated convolutions as TensorFlow writes them: the pixels of every residue modulo the dilation moved into the batch
 * (SpaceToBatchND), a plain convolution, and back (BatchToSpaceND).
 */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Dim } from '../../ir/types.js';
import { fixed, plain, range } from '../layout.js';
import { padValue } from '../lowering/reshape.js';
import type { DecodedWeight } from './decode-weights.js';
import { Attributes, type GraphNode } from './graph-def.js';
import { computed, integers, valueTensor, type NodeConverter } from './graph-tensor.js';

const convolutions = new Set(['Conv2D', 'DepthwiseConv2dNative', '_FusedConv2D', 'FusedDepthwiseConv2dNative']);

/** Puts one convolution with dilations where the three nodes do the same and the blocks are known; other nodes as they are. */
export function joinDilations(nodes: ReadonlyMap<string, GraphNode>, weights: ReadonlyMap<string, DecodedWeight>): Map<string, GraphNode> {
  const readers = new Map<string, number>();
  for (const { inputs } of nodes.values()) for (const [name] of inputs) readers.set(name, (readers.get(name) ?? 0) + 1);
  const integersOf = (name: string | undefined): number[] | undefined => {
    const weight = name === undefined || nodes.get(name)?.op !== 'Const' ? undefined : weights.get(name);
    return weight && Array.from(weight.data);
  };
  const joined = (back: GraphNode): GraphNode | undefined => {
    const [name] = back.inputs[0] ?? [];
    const convolution = back.op === 'BatchToSpaceND' && name !== undefined && readers.get(name) === 1 ? nodes.get(name) : undefined;
    if (!convolution || !convolutions.has(convolution.op)) return undefined;
    const attributes = new Attributes(convolution);
    const [first, ...operands] = convolution.inputs;
    const forth = first && nodes.get(first[0]);
    const isPlain = attributes.string('padding').toUpperCase() === 'VALID' && [...attributes.ints('strides'), ...attributes.ints('dilations')].every((step) => step === 1)
      && !attributes.string('data_format').toUpperCase().startsWith('NC');
    if (forth?.op !== 'SpaceToBatchND' || !isPlain) return undefined;
    const [blocks, pads, backBlocks, crops] = [integersOf(forth.inputs[1]?.[0]), integersOf(forth.inputs[2]?.[0]), integersOf(back.inputs[1]?.[0]), integersOf(back.inputs[2]?.[0])];
    // A crop takes away what the padding, up to a multiple of the blocks, was too much.
    const padding = pads?.map((pad, index) => pad - (crops?.[index] ?? Number.NaN));
    if (blocks?.length !== 2 || String(blocks) !== String(backBlocks) || padding?.length !== 4 || !padding.every((pad) => pad >= 0)) return undefined;
    const list = (i: readonly number[]): Record<string, unknown> => ({ list: { i } });
    return {
      ...convolution, name: back.name, inputs: [forth.inputs[0]!, ...operands],
      attr: { ...convolution.attr, padding: { s: btoa('EXPLICIT') }, explicit_paddings: list([0, 0, ...padding, 0, 0]), dilations: list([1, ...blocks, 1]) },
    };
  };
  return new Map([...nodes].map(([name, node]) => [name, joined(node) ?? node]));
}

/** Where this is no part of a dilated convolution. */
const spaceToBatch: NodeConverter = (context, inputs) => {
  const { builder, where } = context;
  const [blocks, pads] = [integers(context, inputs, 1, 'block shape'), integers(context, inputs, 2, 'paddings')];
  const given = { value: plain(builder, computed(context, inputs)), layout: 'plain' } as const;
  const rank = shapeOf(given.value).length;
  const { value: x } = padValue(builder, given, range(0, rank).map((axis) => (axis >= 1 && axis <= blocks.length ? [pads[2 * axis - 2]!, pads[2 * axis - 1]!] : [0, 0])));
  const extents = numbers(shapeOf(x).slice(1), where);
  const outer = blocks.map((block, axis) => extents[axis]! / block);
  if (!outer.every(Number.isInteger)) throw new UnsupportedError(`${where}: blocks [${blocks.join(', ')}] do not divide the extents [${extents.join(', ')}].`);
  const rest = extents.slice(blocks.length);
  const m = blocks.length;
  const apart = builder.op('Reshape', [x, builder.ints([-1, ...outer.flatMap((extent, axis) => [extent, blocks[axis]!]), ...rest])]);
  const turned = builder.op('Transpose', [apart], { perm: [...range(0, m).map((axis) => 2 + 2 * axis), 0, ...range(0, m).map((axis) => 1 + 2 * axis), ...range(2 * m + 1, 2 * m + 1 + rest.length)] });
  return valueTensor(builder.op('Reshape', [turned, builder.ints([-1, ...outer, ...rest])]));
};

const batchToSpace: NodeConverter = (context, inputs) => {
  const { builder, where } = context;
  const [blocks, crops] = [integers(context, inputs, 1, 'block shape'), integers(context, inputs, 2, 'crops')];
  const x = plain(builder, computed(context, inputs));
  const extents = numbers(shapeOf(x).slice(1), where);
  const m = blocks.length;
  const rest = extents.slice(m);
  const apart = builder.op('Reshape', [x, builder.ints([...blocks, -1, ...extents])]);
  const turned = builder.op('Transpose', [apart], { perm: [m, ...range(0, m).flatMap((axis) => [m + 1 + axis, axis]), ...range(2 * m + 1, 2 * m + 1 + rest.length)] });
  const whole = blocks.map((block, axis) => block * extents[axis]!);
  const value = builder.op('Reshape', [turned, builder.ints([-1, ...whole, ...rest])]);
  const cropped = range(0, m).filter((axis) => crops[2 * axis] !== 0 || crops[2 * axis + 1] !== 0);
  if (cropped.length === 0) return valueTensor(value);
  return valueTensor(builder.op('Slice', [
    value, builder.ints(cropped.map((axis) => crops[2 * axis]!)), builder.ints(cropped.map((axis) => whole[axis]! - crops[2 * axis + 1]!)), builder.ints(cropped.map((axis) => axis + 1)), builder.ints(cropped.map(() => 1)),
  ]));
};

const numbers = (dims: readonly Dim[], where: string): number[] => dims.map((dim) => fixed(dim, where, 'moving blocks'));

export const dilationNodes: Readonly<Record<string, NodeConverter>> = { BatchToSpaceND: batchToSpace, SpaceToBatchND: spaceToBatch };
