/** Pooling, over windows and over everything. */
import { imageInput, imageOutput, only, perAxis, requireConfig, type LayerConverter } from '../layer-converter.js';
import { plain, type Converted } from '../layout.js';
import { globalPool, pool, type PoolKind } from '../lowering/pooling.js';
import type { Padding } from '../lowering/window.js';

const windowed = (kind: PoolKind, rank: number): LayerConverter => (context, inputs) => {
  requireConfig(context, 'padding', ['same', 'valid']);
  const x = imageInput(context, inputs, rank + 2);
  const kernel = perAxis(context, 'poolSize', rank);
  const strides = perAxis(context, 'strides', rank);
  return imageOutput(context, pool(context.builder, kind, x, { kernel, strides, dilations: kernel.map(() => 1), padding: context.config['padding'] as Padding }, context.where));
};

const overall = (kind: PoolKind): LayerConverter => (context, inputs) => {
  requireConfig(context, 'dataFormat', ['channelsLast', 'channelsFirst', null]);
  const x = only(context, inputs);
  const image: Converted = context.config['dataFormat'] === 'channelsFirst' ? { value: plain(context.builder, x), layout: 'channels-first' } : x;
  return globalPool(context.builder, kind, image);
};

export const poolingLayers: Readonly<Record<string, LayerConverter>> = {
  AveragePooling1D: windowed('average', 1),
  AveragePooling2D: windowed('average', 2),
  AveragePooling3D: windowed('average', 3),
  MaxPooling1D: windowed('max', 1),
  MaxPooling2D: windowed('max', 2),
  MaxPooling3D: windowed('max', 3),
  GlobalAveragePooling1D: overall('average'),
  GlobalAveragePooling2D: overall('average'),
  GlobalMaxPooling1D: overall('max'),
  GlobalMaxPooling2D: overall('max'),
};
