/** Convolutional LSTM: ONNX has no such operator, so its time steps are written out one after the other. */
import { shapeOf } from '../../ir/builder.js';
import { int64 } from '../../ir/constant.js';
import type { Value } from '../../ir/types.js';
import { numberOf, only, perAxis, requireConfig, type Layer, type LayerContext, type LayerConverter } from '../layer-converter.js';
import { channelsFirst, fixed, type Converted } from '../layout.js';
import { activate } from '../lowering/activations.js';
import { padsOf, type Padding, type WindowOptions } from '../lowering/window.js';

const convLstm2d: LayerConverter = (context, inputs) => {
  const { builder, layer, config, where } = context;
  // tfjs's native backend has no other one on a CPU.
  requireConfig(context, 'dataFormat', ['channelsLast']);
  requireConfig(context, 'padding', ['same', 'valid']);
  requireConfig(context, 'stateful', [false]);
  const { cell } = layer as Layer & { readonly cell: Layer };
  // tfjs itself fails on initial states here.
  const x = channelsFirst(context, only(context, inputs));
  const filters = numberOf(context, 'filters');
  const kernel = perAxis(context, 'kernelSize', 2);
  const bias = config['useBias'] === false ? null : context.parameter('bias', undefined, { of: cell });

  // What the input contributes to the gates, for all time steps at once: [N, 4F, T, H, W].
  const inWindow: WindowOptions = { kernel: [1, ...kernel], strides: [1, ...perAxis(context, 'strides', 2, 1)], dilations: [1, ...perAxis(context, 'dilationRate', 2, 1)], padding: config['padding'] as Padding };
  const channels = fixed(shapeOf(x)[1], where);
  const inKernel = context.parameter('kernel', [3, 2, 0, 1], { of: cell, shape: [4 * filters, channels, 1, ...kernel] });
  const fromInput = convolve(context, x, inKernel, bias, inWindow);

  const recurrentKernel = context.parameter('recurrent_kernel', [3, 2, 0, 1], { of: cell });
  const recurrent: WindowOptions = { kernel, strides: [1, 1], dilations: [1, 1], padding: 'same' };
  const steps = Array.from({ length: fixed(shapeOf(x)[2], where, 'time') }, (_, step) => step);
  let [h, c]: Value[] = [];
  const made = new Map<number, Value>();
  for (const step of config['goBackwards'] === true ? steps.toReversed() : steps) {
    const input = builder.op('Gather', [fromInput, builder.constant(int64([step], []))], { axis: 2 });
    const total = h ? builder.op('Add', [input, convolve(context, h, recurrentKernel, null, recurrent)]) : input;
    const [i, f, candidate, o] = builder.ops('Split', [total], { axis: 1, num_outputs: 4 }, 4);
    const gate = (value: Value): Value => activate(builder, config['recurrentActivation'], value, 1, where, 'recurrentActivation');
    const activation = (value: Value): Value => activate(builder, config['activation'], value, 1, where);
    const added = builder.op('Mul', [gate(i!), activation(candidate!)]);
    c = c ? builder.op('Add', [builder.op('Mul', [gate(f!), c]), added]) : added;
    h = builder.op('Mul', [gate(o!), activation(c)]);
    made.set(step, h);
  }
  // The sequence is in the order in which it was made.
  const sequence = (): Value => builder.op('Concat', [...made.values()].map((value) => builder.op('Unsqueeze', [value, builder.ints([2])])), { axis: 2 });
  const outputs = [config['returnSequences'] === true ? sequence() : h!, ...(config['returnState'] === true ? [h!, c!] : [])];
  return outputs.map((value): Converted => ({ value, layout: 'channels-first' }));
};

function convolve({ builder, where, layer }: LayerContext, x: Value, kernel: Value, bias: Value | null, window: WindowOptions): Value {
  return builder.op('Conv', [x, kernel, bias], {
    kernel_shape: window.kernel, strides: window.strides, dilations: window.dilations, group: 1, pads: padsOf(window, shapeOf(x).slice(2), where),
  }, layer.name);
}

export const convLstmLayers: Readonly<Record<string, LayerConverter>> = { ConvLSTM2D: convLstm2d };
