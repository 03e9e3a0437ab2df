/** Padding, cropping, upsampling and the image preprocessing layers. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import { imageInput, imageOutput, numberOf, only, perAxis, requireConfig, type LayerContext, type LayerConverter } from '../layer-converter.js';
import { fixed } from '../layout.js';
import { padValue } from '../lowering/reshape.js';
import { gatherAxis, resize, type Interpolation } from '../lowering/resize.js';
import { croppedIndices } from '../lowering/sampling.js';

/** `n`, `[rows, columns]` or `[[top, bottom], [left, right]]`. */
function borders(context: LayerContext, key: string): [number, number][] {
  const value = context.config[key];
  const pair = Array.isArray(value) ? (value as unknown[]) : [value, value];
  const amounts = pair.map((item) => (Array.isArray(item) ? (item as unknown[]) : [item, item]));
  if (amounts.length !== 2 || !amounts.every((item) => item.length === 2 && item.every((amount) => Number.isInteger(amount)))) {
    throw new UnsupportedError(`${context.where}: ${key} = ${JSON.stringify(value)} is not supported (supported: n, [rows, columns] or [[top, bottom], [left, right]]).`);
  }
  return amounts as [number, number][];
}

/** Zero padding before a convolution without padding becomes the convolution's own (see fold-padding.ts). */
const zeroPadding2d: LayerConverter = (context, inputs) => {
  const x = imageInput(context, inputs, 4);
  return imageOutput(context, padValue(context.builder, { value: x, layout: 'plain' }, [[0, 0], [0, 0], ...borders(context, 'padding')]).value);
};

const cropping2d: LayerConverter = (context, inputs) => {
  const { builder, where } = context;
  const x = imageInput(context, inputs, 4);
  const crops = borders(context, 'cropping');
  if (crops.flat().every((amount) => amount === 0)) return imageOutput(context, x);
  const ends = crops.map(([, after], axis) => fixed(shapeOf(x)[axis + 2], where) - after);
  const value = builder.op('Slice', [x, builder.ints(crops.map(([before]) => before)), builder.ints(ends), builder.ints([2, 3]), builder.ints([1, 1])]);
  return imageOutput(context, value);
};

const upSampling2d: LayerConverter = (context, inputs) => {
  const x = imageInput(context, inputs, 4);
  requireConfig(context, 'interpolation', ['nearest', 'bilinear']);
  const factors = perAxis(context, 'size', 2, 2);
  const sizes = factors.map((factor, axis) => fixed(shapeOf(x)[axis + 2], context.where) * factor);
  return imageOutput(context, resize(context.builder, x, sizes, { interpolation: (context.config['interpolation'] ?? 'nearest') as Interpolation, grid: 'asymmetric' }, context.where));
};

/** tfjs aligns the corners unless `cropToAspectRatio` is set, which does nothing else. */
const resizing: LayerConverter = (context, inputs) => {
  const x = imageInput(context, inputs, 4);
  requireConfig(context, 'interpolation', ['nearest', 'bilinear']);
  const grid = context.config['cropToAspectRatio'] === true ? 'asymmetric' : 'align-corners';
  return imageOutput(context, resize(context.builder, x, [numberOf(context, 'height'), numberOf(context, 'width')], { interpolation: context.config['interpolation'] as Interpolation, grid }, context.where));
};

/** Crops, and upsamples without aligned corners where the image is too small, both just as tfjs does. */
const centerCrop: LayerConverter = (context, inputs) => {
  const { builder, where } = context;
  const x = imageInput(context, inputs, 4);
  const wanted = [numberOf(context, 'height'), numberOf(context, 'width')];
  const extents = shapeOf(x).slice(2).map((extent) => fixed(extent, where));
  const margins = extents.map((extent, axis) => {
    const margin = extent === wanted[axis] ? 0 : Math.floor((extent - wanted[axis]!) / 2);
    // tfjs leaves a column out where the widths differ by one.
    return axis === 1 && margin === 0 && extent !== wanted[axis] ? 1 : margin;
  });
  if (margins.some((margin) => margin < 0)) return imageOutput(context, resize(builder, x, wanted, { interpolation: 'bilinear', grid: 'asymmetric' }, where));
  return imageOutput(context, wanted.reduce((image, size, axis) => gatherAxis(builder, image, axis + 2, croppedIndices(extents[axis]!, size, margins[axis]!, where)), x));
};

const rescaling: LayerConverter = (context, inputs) => {
  const { builder } = context;
  const input = only(context, inputs);
  const x = input.value.dtype === 'float32' ? input.value : builder.op('Cast', [input.value], { to: 1 });
  const scaled = builder.op('Mul', [x, builder.scalar(numberOf(context, 'scale'), x)]);
  const offset = numberOf(context, 'offset', 0);
  return { value: offset === 0 ? scaled : builder.op('Add', [scaled, builder.scalar(offset, x)]), layout: input.layout };
};

export const spatialLayers: Readonly<Record<string, LayerConverter>> = {
  CenterCrop: centerCrop,
  Cropping2D: cropping2d,
  Rescaling: rescaling,
  Resizing: resizing,
  UpSampling2D: upSampling2d,
  ZeroPadding2D: zeroPadding2d,
};
