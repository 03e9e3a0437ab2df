/**
 * ONNX Runtime's CPU provider keeps the channels of convolutions in blocks, and goes back to the layout of ONNX for every
 * operator that is no convolution, pooling, sum or product. Here the slopes of rectifiers, and the activations of sums, are
 * written as convolutions channel by channel, with which `Clip` and `LeakyRelu` are fused.
 */
import { attributesOf } from '../gradient/rule.js';
import { channelBlock } from '../gradient/rules/convolution.js';
import { shapeOf, type GraphBuilder } from '../ir/builder.js';
import { float32 } from '../ir/constant.js';
import type { Node, Value } from '../ir/types.js';
import { rewrittenField, type Field } from './field.js';
import { connections, signSource, slopeOf, steepConvolution } from './slopes.js';

/** The same field for engines that keep channels in blocks. */
export const inBlocks = (field: Field): Field => rewrittenField(field, rewrite);

function rewrite(builder: GraphBuilder, nodes: readonly Node[]): (value: Value) => Value {
  const connected = connections(nodes);
  const { makers, onlyReader } = connected;
  const replaced = new Map<Value, Value>();
  const now = (value: Value): Value => replaced.get(value) ?? value;

  /** A value in place of y · steep, which `clip` alone reads. */
  const scaled = (y: Value, factor: number, clip: Node): Value => {
    const z = signSource(builder, y, clip, connected);
    return (z && steepConvolution(builder, z, connected, now)) ?? channelwise(builder, now(z ?? y), factor);
  };

  for (const node of nodes) {
    const x = node.inputs[0] as Value;
    const output = node.outputs[0]!;
    const slope = slopeOf(builder, node, onlyReader);
    if (slope && isBlocked(x)) replaced.set(output, scaled(x, slope.factor, slope.clip));
    else if (node.opType === 'LeakyRelu' && isBlocked(x) && makers.get(x)?.opType === 'Add') replaced.set(output, builder.op('LeakyRelu', [channelwise(builder, now(x), 1)], attributesOf(node)));
    else {
      node.inputs = node.inputs.map((value) => value && now(value));
      builder.graph.nodes.push(node);
    }
  }
  return now;
}

const isBlocked = ({ dtype, shape }: Value): boolean => dtype === 'float32' && shape?.length === 4 && typeof shape[1] === 'number' && shape[1] % channelBlock === 0;

/** x · factor as a convolution of every channel by itself. */
function channelwise(builder: GraphBuilder, x: Value, factor: number): Value {
  const channels = shapeOf(x)[1] as number;
  const kernel = builder.constant(float32(new Array<number>(channels).fill(factor), [channels, 1, 1, 1]), 'scale');
  return builder.op('Conv', [x, kernel], { kernel_shape: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], group: channels });
}
