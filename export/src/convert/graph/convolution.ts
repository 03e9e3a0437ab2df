/** Convolutions, pooling and batch normalisation of GraphModels. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { channelsFirst, fixed, inLayout, plain, range, type Layout } from '../layout.js';
import { batchNormalization, layerNormalization } from '../lowering/normalization.js';
import { pool, type PoolKind } from '../lowering/pooling.js';
import { padsOf, transposedPads, type WindowOptions } from '../lowering/window.js';
import { fusedActivation } from './elementwise.js';
import { computed, constant, extents, input, shapeOfTensor, valueTensor, type GraphTensor, type NodeContext, type NodeConverter } from './graph-tensor.js';

/** Image input with channels first, and the layout of an image output. */
function image(context: NodeContext, inputs: readonly GraphTensor[], rank = 2, index = 0): { x: Value; layout: Layout } {
  const format = context.attributes.string('data_format', '').toUpperCase() || 'NHWC';
  const first = format.startsWith('NC');
  const x = computed(context, inputs, index);
  const found = shapeOf(x.value).length;
  if (found !== rank + 2) throw new UnsupportedError(`${context.where}: needs an input of rank ${rank + 2}, got rank ${found}.`);
  return { x: first ? plain(context.builder, x) : channelsFirst(context, x), layout: first ? 'plain' : 'channels-first' };
}

/** Sliding window from strides, padding and dilations, whose lists cover batch and channels too. */
function windowOf(context: NodeContext, kernel: readonly number[], layout: Layout): WindowOptions {
  const { attributes } = context;
  const rank = kernel.length;
  const spatial = (values: readonly number[]): number[] => {
    if (values.length === rank || values.length < 2) return Array.from({ length: rank }, (_, axis) => values[axis] ?? values[0] ?? 1);
    return layout === 'plain' ? values.slice(2) : values.slice(1, -1);
  };
  const strides = spatial(attributes.ints('strides'));
  const dilations = spatial(attributes.ints('dilations'));
  const padding = attributes.string('padding').toUpperCase();
  if (padding === 'EXPLICIT') {
    const list = attributes.ints('explicit_paddings');
    const pairs = range(0, rank + 2).map((axis) => [list[2 * axis] ?? 0, list[2 * axis + 1] ?? 0] as const);
    const own = layout === 'plain' ? pairs.slice(2) : pairs.slice(1, -1);
    return { kernel, strides, dilations, padding: [...own.map(([before]) => before), ...own.map(([, after]) => after)] };
  }
  if (padding !== 'SAME' && padding !== 'VALID') return attributes.refuse('padding', padding, '"SAME", "VALID", "EXPLICIT"');
  return { kernel, strides, dilations, padding: padding === 'SAME' ? 'same' : 'valid' };
}

/** TensorFlow kernel [...extents, in, out] → ONNX [out, in, ...extents]; depthwise [h, w, in, multiplier] → [in · multiplier, 1, h, w]. Grouped kernels take in/group. */
const convolution = (rank: number, depthwise = false): NodeConverter => (context, inputs) => {
  const { builder, where } = context;
  const { x, layout } = image(context, inputs, rank);
  const filter = constant(context, inputs, 1, 'kernel');
  const kernel = filter.dims.slice(0, rank);
  const channels = fixed(shapeOf(x)[1], where);
  const [taken, made] = [filter.dims[rank]!, filter.dims[rank + 1]!];
  // Fewer channels than the input has: the convolution is grouped.
  const group = channels / taken;
  if (!Number.isInteger(group) || (depthwise ? group !== 1 : made % group !== 0)) throw new UnsupportedError(`${where}: an input of ${channels} channels does not go with a kernel [${filter.dims.join(', ')}].`);
  const weight = depthwise
    ? context.store(filter, [2, 3, 0, 1], [channels * made, 1, ...kernel])
    : context.store(filter, [rank + 1, rank, ...range(0, rank)]);
  const window = windowOf(context, kernel, layout);
  const { bias, activate } = fusedActivation(context, inputs);
  const value = builder.op('Conv', [x, weight, bias], {
    kernel_shape: kernel, strides: window.strides, dilations: window.dilations, group: depthwise ? channels : group, pads: padsOf(window, shapeOf(x).slice(2), where),
  }, context.name);
  return valueTensor(activate(value, layout), layout);
};

/** The gradient of a convolution with respect to its input, which networks use as transposed convolution. */
const transposedConvolution: NodeConverter = (context, inputs) => {
  const { builder, where } = context;
  const { x, layout } = image(context, inputs, 2, 2);
  const filter = constant(context, inputs, 1, 'kernel');
  const window = windowOf(context, filter.dims.slice(0, 2), layout);
  const { pads, outputPadding } = transposedPads(window, shapeOf(x).slice(2), outputExtents(context, inputs, layout), where);
  const value = builder.op('ConvTranspose', [x, context.store(filter, [3, 2, 0, 1])], {
    kernel_shape: window.kernel, strides: window.strides, dilations: window.dilations, group: 1, pads,
    output_padding: outputPadding.some((extra) => extra > 0) ? outputPadding : undefined,
  }, context.name);
  return valueTensor(value, layout);
};

/** Spatial extents that the first input asks for; its batch extent may be symbolic. */
function outputExtents(context: NodeContext, inputs: readonly GraphTensor[], layout: Layout): number[] {
  const content = extents(context, inputs, 0, 'output shape');
  return (layout === 'plain' ? content.slice(2) : content.slice(1, -1)).map((extent) => fixed(extent, context.where));
}

const pooling = (kind: PoolKind, rank: number): NodeConverter => (context, inputs) => {
  const { x, layout } = image(context, inputs, rank);
  const sizes = context.attributes.ints('ksize');
  const kernel = layout === 'plain' ? sizes.slice(2) : sizes.slice(1, -1);
  const rest = layout === 'plain' ? sizes.slice(0, 2) : [sizes[0], sizes.at(-1)];
  if (kernel.length !== rank || rest.some((size) => size !== 1)) context.attributes.refuse('ksize', sizes, 'windows over the spatial axes');
  const { strides, padding } = windowOf(context, kernel, layout);
  return valueTensor(pool(context.builder, kind, x, { kernel, strides, dilations: kernel.map(() => 1), padding }, context.where), layout);
};

/** By the batch's own statistics: Keras 2 writes a layer's normalisation so, with the places to normalise as channels. */
function ownStatistics(context: NodeContext, inputs: readonly GraphTensor[], { x, layout }: { x: Value; layout: Layout }): GraphTensor {
  const { builder } = context;
  const perChannel = (index: number): Value => {
    const tensor = input(context, inputs, index);
    if (tensor.kind === 'uniform') return builder.scalar(tensor.number, x);
    return builder.op('Reshape', [plain(builder, computed(context, inputs, index)), builder.ints([-1, ...shapeOf(x).slice(2).map(() => 1)])]);
  };
  const axes = range(0, shapeOf(x).length).filter((axis) => axis !== 1);
  return valueTensor(layerNormalization(builder, x, axes, { scale: perChannel(1), offset: perChannel(2), epsilon: context.attributes.float('epsilon', 1e-3) }, context.name), layout);
}

const batchNorm: NodeConverter = (context, inputs) => {
  const { x, layout } = image(context, inputs, shapeOfTensor(inputs[0]!).length - 2);
  if (context.attributes.bool('is_training')) return ownStatistics(context, inputs, { x, layout });
  const statistic = (index: number, what: string): Value => context.store(constant(context, inputs, index, what));
  const value = batchNormalization(context.builder, x, 1, {
    scale: statistic(1, 'scale'), offset: statistic(2, 'offset'), mean: statistic(3, 'mean'), variance: statistic(4, 'variance'), epsilon: context.attributes.float('epsilon', 1e-3),
  }, context.name);
  return valueTensor(value, layout);
};

/** With what TensorFlow's optimizer joins to it: a sum with another tensor, then an activation. */
const fusedBatchNorm: NodeConverter = (context, inputs) => {
  const { builder, attributes } = context;
  const normalized = computed(context, [batchNorm(context, inputs) as GraphTensor]);
  const sum = attributes.int('num_side_inputs', 0) === 0 ? normalized.value : builder.op('Add', [normalized.value, inLayout(context, computed(context, inputs, 5), normalized.layout)]);
  const activation = attributes.string('activation_mode', 'Identity');
  if (activation !== 'Relu' && activation !== 'Identity') attributes.refuse('activation_mode', activation, 'Identity, Relu');
  return valueTensor(activation === 'Relu' ? builder.op('Relu', [sum]) : sum, normalized.layout);
};

const localResponse: NodeConverter = (context, inputs) => {
  const { attributes } = context;
  const { x, layout } = image(context, inputs);
  const size = 2 * attributes.int('depth_radius', 5) + 1;
  return valueTensor(context.builder.op('LRN', [x], { size, bias: attributes.float('bias', 1), alpha: attributes.float('alpha', 1) * size, beta: attributes.float('beta', 0.5) }), layout);
};

export const convolutionNodes: Readonly<Record<string, NodeConverter>> = {
  AvgPool: pooling('average', 2),
  AvgPool3D: pooling('average', 3),
  Conv2D: convolution(2),
  Conv2DBackpropInput: transposedConvolution,
  Conv3D: convolution(3),
  DepthwiseConv2d: convolution(2, true),
  DepthwiseConv2dNative: convolution(2, true),
  FusedBatchNorm: batchNorm,
  FusedBatchNormV2: batchNorm,
  FusedBatchNormV3: batchNorm,
  FusedConv2D: convolution(2),
  FusedDepthwiseConv2dNative: convolution(2, true),
  LRN: localResponse,
  MaxPool: pooling('max', 2),
  MaxPool3D: pooling('max', 3),
  _FusedBatchNormEx: fusedBatchNorm,
  _FusedConv2D: convolution(2),
};
