/** Convolutions of every kind. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { activated, imageInput, imageOutput, perAxis, requireConfig, type LayerContext, type LayerConverter } from '../layer-converter.js';
import { fixed, range } from '../layout.js';
import { padsOf, transposedPads, type Padding, type WindowOptions } from '../lowering/window.js';

function windowOf(context: LayerContext, rank: number): WindowOptions {
  requireConfig(context, 'padding', ['same', 'valid']);
  return {
    kernel: perAxis(context, 'kernelSize', rank),
    strides: perAxis(context, 'strides', rank, 1),
    dilations: perAxis(context, 'dilationRate', rank, 1),
    padding: context.config['padding'] as Padding,
  };
}

/** A Conv node over x with channels first. */
function convolve(context: LayerContext, x: Value, kernel: Value, bias: Value | null, window: WindowOptions, group: number, hint = context.layer.name): Value {
  return context.builder.op('Conv', [x, kernel, bias], {
    kernel_shape: window.kernel, strides: window.strides, dilations: window.dilations, group, pads: padsOf(window, shapeOf(x).slice(2), context.where),
  }, hint);
}

const biasOf = (context: LayerContext): Value | null => (context.config['useBias'] === false ? null : context.parameter('bias'));

/** tfjs kernel [...extents, in, out] → ONNX [out, in, ...extents]. */
const convolution = (rank: number): LayerConverter => (context, inputs) => {
  const x = imageInput(context, inputs, rank + 2);
  const kernel = context.parameter('kernel', [rank + 1, rank, ...range(0, rank)]);
  return activated(context, imageOutput(context, convolve(context, x, kernel, biasOf(context), windowOf(context, rank), 1)));
};

/** tfjs kernel [h, w, channels, multiplier] → ONNX [channels · multiplier, 1, h, w]. */
function depthwise(context: LayerContext, x: Value, window: WindowOptions, bias: Value | null, hint?: string): Value {
  const channels = fixed(shapeOf(x)[1], context.where);
  const multiplier = context.weight('depthwise_kernel').dims[3]!;
  const kernel = context.parameter('depthwise_kernel', [2, 3, 0, 1], { shape: [channels * multiplier, 1, ...window.kernel] });
  return convolve(context, x, kernel, bias, window, channels, hint);
}

const depthwiseConv2d: LayerConverter = (context, inputs) => {
  const window = windowOf(context, 2);
  if (window.dilations.some((dilation) => dilation !== 1)) {
    throw new UnsupportedError(`${context.where}: dilationRate = ${JSON.stringify(context.config['dilationRate'])} is not supported: tfjs itself ignores it (supported: 1).`);
  }
  const x = imageInput(context, inputs, 4);
  return activated(context, imageOutput(context, depthwise(context, x, window, biasOf(context))));
};

const separableConv2d: LayerConverter = (context, inputs) => {
  // With channels first, tfjs adds the bias and applies the activation along other axes than its documentation says.
  requireConfig(context, 'dataFormat', ['channelsLast', null]);
  const x = imageInput(context, inputs, 4);
  const inner = depthwise(context, x, windowOf(context, 2), null, `${context.layer.name}_depthwise`);
  const pointwise: WindowOptions = { kernel: [1, 1], strides: [1, 1], dilations: [1, 1], padding: 'valid' };
  const value = convolve(context, inner, context.parameter('pointwise_kernel', [3, 2, 0, 1]), biasOf(context), pointwise, 1);
  return activated(context, imageOutput(context, value));
};

/** tfjs kernel [...extents, out, in] → ONNX [in, out, ...extents]. */
const transposed = (rank: number): LayerConverter => (context, inputs) => {
  const x = imageInput(context, inputs, rank + 2);
  const window = { ...windowOf(context, rank), dilations: Array.from({ length: rank }, () => 1) };
  const { kernel, strides, padding } = window;
  const extents = shapeOf(x).slice(2);
  const outputs = extents.map((extent, axis) => fixed(extent, context.where) * strides[axis]! + (padding === 'same' ? 0 : Math.max(0, kernel[axis]! - strides[axis]!)));
  const { pads, outputPadding } = transposedPads(window, extents, outputs, context.where);
  const value = context.builder.op('ConvTranspose', [x, context.parameter('kernel', [rank + 1, rank, ...range(0, rank)]), biasOf(context)], {
    kernel_shape: kernel, strides, dilations: window.dilations, group: 1, pads,
    output_padding: outputPadding.some((extra) => extra > 0) ? outputPadding : undefined,
  }, context.layer.name);
  return activated(context, imageOutput(context, value));
};

export const convolutionLayers: Readonly<Record<string, LayerConverter>> = {
  Conv1D: convolution(1),
  Conv2D: convolution(2),
  Conv3D: convolution(3),
  Conv2DTranspose: transposed(2),
  Conv3DTranspose: transposed(3),
  DepthwiseConv2D: depthwiseConv2d,
  SeparableConv2D: separableConv2d,
};
