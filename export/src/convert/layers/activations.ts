/** Activation layers. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { activated, numberOf, only, type LayerContext, type LayerConverter } from '../layer-converter.js';
import { axisIn, toChannelsFirst } from '../layout.js';
import { clip, softmaxOver } from '../lowering/activations.js';

const pointwise = (apply: (context: LayerContext, x: Value) => Value): LayerConverter => (context, inputs) => {
  const x = only(context, inputs);
  return { value: apply(context, x.value), layout: x.layout };
};

/** One slope per element, or shared along axes: axes as in tfjs, the batch axis left out. */
const prelu: LayerConverter = (context, inputs) => {
  const x = only(context, inputs);
  const rank = shapeOf(x.value).length;
  const slope = x.layout === 'plain' ? context.parameter('alpha') : context.parameter('alpha', toChannelsFirst(rank).slice(1).map((axis) => axis - 1));
  return { value: context.builder.op('PRelu', [x.value, slope]), layout: x.layout };
};

/** Over one axis, or jointly over several. */
const softmax: LayerConverter = (context, inputs) => {
  const { builder, where } = context;
  const x = only(context, inputs);
  const given = context.config['axis'] ?? 1;
  const axes = (Array.isArray(given) ? (given as number[]) : [given as number]).map((axis) => axisIn(x, axis, where));
  if (axes.length === 0) throw new UnsupportedError(`${where}: axis = [] is not supported (supported: one axis or several).`);
  return { value: softmaxOver(builder, x.value, axes.toSorted((a, b) => a - b)), layout: x.layout };
};

export const activationLayers: Readonly<Record<string, LayerConverter>> = {
  Activation: (context, inputs) => activated(context, only(context, inputs)),
  ELU: pointwise((context, x) => context.builder.op('Elu', [x], { alpha: numberOf(context, 'alpha', 1) })),
  LeakyReLU: pointwise((context, x) => context.builder.op('LeakyRelu', [x], { alpha: numberOf(context, 'alpha', 0.3) })),
  PReLU: prelu,
  ReLU: pointwise((context, x) => (context.config['maxValue'] == null ? context.builder.op('Relu', [x]) : clip(context.builder, x, 0, numberOf(context, 'maxValue')))),
  Softmax: softmax,
  ThresholdedReLU: pointwise((context, x) => context.builder.op('ThresholdedRelu', [x], { alpha: numberOf(context, 'theta', 1) })),
};
