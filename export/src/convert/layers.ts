/** Converters of tfjs layers, by class name. A layer that is not here is refused by name, never approximated. */
import { UnsupportedError } from '../errors.js';
import { shapeOf } from '../ir/builder.js';
import type { Value } from '../ir/types.js';
import { channelsFirst, only, plain, requireConfig, type Converted, type LayerContext, type LayerConverter } from './layer-converter.js';

type Activate = (context: LayerContext, x: Value) => Value;

const elementwise = (opType: string): Activate => ({ builder }, x) => builder.op(opType, [x]);

const activations: Readonly<Record<string, Activate>> = {
  linear: (_, x) => x,
  relu: elementwise('Relu'),
  sigmoid: elementwise('Sigmoid'),
  tanh: elementwise('Tanh'),
  softplus: elementwise('Softplus'),
  softsign: elementwise('Softsign'),
  elu: ({ builder }, x) => builder.op('Elu', [x], { alpha: 1 }),
  selu: ({ builder }, x) => builder.op('Selu', [x], { alpha: 1.6732632423543772, gamma: 1.0507009873554805 }),
  relu6: ({ builder }, x) => builder.op('Clip', [x, builder.scalar(0, x), builder.scalar(6, x)]),
  swish: ({ builder }, x) => builder.op('Mul', [x, builder.op('Sigmoid', [x])]),
};

function activate(context: LayerContext, x: Value, key = 'activation'): Value {
  const name = context.config[key] ?? 'linear';
  const found = typeof name === 'string' && Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (!found) throw new UnsupportedError(`${context.where}: ${key} = ${JSON.stringify(name)} is not supported (supported: ${Object.keys(activations).join(', ')}).`);
  return found(context, x);
}

const numbers = (context: LayerContext, key: string): number[] => {
  const value = context.config[key];
  return typeof value === 'number' ? [value, value] : (value as number[]);
};

const pointwise = (apply: Activate): LayerConverter => (context, inputs) => {
  const x = only(context, inputs);
  return { value: apply(context, x.value), layout: x.layout };
};

const merge = (opType: string): LayerConverter => ({ builder }, inputs) => {
  const layout = inputs.every((input) => input.layout === inputs[0]!.layout) ? inputs[0]!.layout : 'plain';
  const values = inputs.map((input) => (input.layout === layout ? input.value : plain(builder, input)));
  return { value: values.reduce((a, b) => builder.op(opType, [a, b])), layout };
};

const conv2d: LayerConverter = (context, inputs) => {
  const { builder, config } = context;
  requireConfig(context, 'dataFormat', ['channelsLast']);
  requireConfig(context, 'padding', ['same', 'valid']);
  const x = channelsFirst(context, only(context, inputs));
  const kernel = context.parameter('kernel', [3, 2, 0, 1]);
  const [kernelShape, strides, dilations] = [numbers(context, 'kernelSize'), numbers(context, 'strides'), numbers(context, 'dilationRate')];
  const extents = shapeOf(x).slice(2);
  const begin: number[] = [];
  const end: number[] = [];
  extents.forEach((extent, axis) => {
    let total = 0;
    if (config['padding'] === 'same') {
      if (typeof extent !== 'number') throw new UnsupportedError(`${context.where}: padding "same" needs static spatial extents.`);
      const reach = (kernelShape[axis]! - 1) * dilations[axis]! + 1;
      total = Math.max(0, (Math.ceil(extent / strides[axis]!) - 1) * strides[axis]! + reach - extent);
    }
    begin.push(Math.floor(total / 2));
    end.push(total - Math.floor(total / 2));
  });
  const bias = config['useBias'] === false ? null : context.parameter('bias');
  const value = builder.op('Conv', [x, kernel, bias], {
    kernel_shape: kernelShape, strides, dilations, group: 1, pads: [...begin, ...end],
  }, context.layer.name);
  return { value: activate(context, value), layout: 'channels-first' };
};

/** Zero padding before a convolution without padding becomes the convolution's own (see fold-padding.ts). */
const zeroPadding2d: LayerConverter = (context, inputs) => {
  const { builder, config } = context;
  requireConfig(context, 'dataFormat', ['channelsLast']);
  const x = channelsFirst(context, only(context, inputs));
  const padding = config['padding'] as number | [number, number] | [[number, number], [number, number]];
  const [rows, columns] = typeof padding === 'number' ? [padding, padding] : padding;
  const [top, bottom] = typeof rows === 'number' ? [rows, rows] : rows;
  const [left, right] = typeof columns === 'number' ? [columns, columns] : columns;
  return { value: builder.op('Pad', [x, builder.ints([0, 0, top, left, 0, 0, bottom, right])]), layout: 'channels-first' };
};

const dense: LayerConverter = (context, inputs) => {
  const { builder } = context;
  const x = plain(builder, only(context, inputs));
  const kernel = context.parameter('kernel');
  const bias = context.config['useBias'] === false ? null : context.parameter('bias');
  const value = shapeOf(x).length === 2
    ? builder.op('Gemm', [x, kernel, bias], {}, context.layer.name)
    : [builder.op('MatMul', [x, kernel], {}, context.layer.name)].map((product) => (bias ? builder.op('Add', [product, bias]) : product))[0]!;
  return { value: activate(context, value), layout: 'plain' };
};

const reshape = (target: (context: LayerContext, x: Value) => number[]): LayerConverter => (context, inputs) => {
  const { builder } = context;
  const x = plain(builder, only(context, inputs));
  return { value: builder.op('Reshape', [x, builder.ints([-1, ...target(context, x)])]), layout: 'plain' };
};

const size = (x: Value): number => shapeOf(x).slice(1).reduce<number>((total, dim) => total * (dim as number), 1);

const globalAveragePooling2d: LayerConverter = (context, inputs) => {
  const { builder } = context;
  requireConfig(context, 'dataFormat', ['channelsLast']);
  const x = channelsFirst(context, only(context, inputs));
  const pooled = builder.op('GlobalAveragePool', [x]);
  return { value: builder.op('Reshape', [pooled, builder.ints([-1, shapeOf(x)[1] as number])]), layout: 'plain' };
};

const identity: LayerConverter = (context, inputs): Converted => only(context, inputs);

export const builtInConverters: Readonly<Record<string, LayerConverter>> = {
  Activation: pointwise((context, x) => activate(context, x)),
  Add: merge('Add'),
  Conv2D: conv2d,
  Dense: dense,
  Dropout: identity,
  ELU: pointwise((context, x) => context.builder.op('Elu', [x], { alpha: context.config['alpha'] as number })),
  Flatten: reshape((_, x) => [size(x)]),
  GlobalAveragePooling2D: globalAveragePooling2d,
  LeakyReLU: pointwise((context, x) => context.builder.op('LeakyRelu', [x], { alpha: context.config['alpha'] as number })),
  Multiply: merge('Mul'),
  ReLU: pointwise((context, x) => {
    requireConfig(context, 'maxValue', [null]);
    return context.builder.op('Relu', [x]);
  }),
  Reshape: reshape((context, x) => {
    const target = context.config['targetShape'] as (number | null)[];
    const known = target.reduce<number>((total, dim) => total * (dim ?? -1) * ((dim ?? -1) < 0 ? -1 : 1), 1);
    return target.map((dim) => (dim === null || dim < 0 ? size(x) / known : dim));
  }),
  ZeroPadding2D: zeroPadding2d,
};
