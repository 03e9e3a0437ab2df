/** Batch and layer normalisation with the statistics that `predict` uses. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import { numberOf, only, type LayerConverter } from '../layer-converter.js';
import { axisIn, fixed, range } from '../layout.js';
import { batchNormalization, layerNormalization } from '../lowering/normalization.js';

const batch: LayerConverter = (context, inputs) => {
  const { builder, where } = context;
  const x = only(context, inputs);
  const axis = axisIn(x, numberOf(context, 'axis', -1), where);
  const value = batchNormalization(builder, x.value, axis, {
    mean: context.parameter('moving_mean'),
    variance: context.parameter('moving_variance'),
    scale: context.config['scale'] === false ? null : context.parameter('gamma'),
    offset: context.config['center'] === false ? null : context.parameter('beta'),
    epsilon: numberOf(context, 'epsilon', 1e-3),
  }, context.layer.name);
  return { value, layout: x.layout };
};

const layer: LayerConverter = (context, inputs) => {
  const { builder, where } = context;
  const x = only(context, inputs);
  const rank = shapeOf(x.value).length;
  const given = context.config['axis'] ?? -1;
  const tfjsAxes = (Array.isArray(given) ? (given as number[]) : [given as number]).map((axis) => (axis < 0 ? axis + rank : axis));
  if (tfjsAxes.some((axis, index) => axis === 0 || (index > 0 && axis < tfjsAxes[index - 1]!))) {
    throw new UnsupportedError(`${where}: axis = ${JSON.stringify(given)} is not supported (supported: ascending axes after the batch axis).`);
  }
  // Axes of the value, and the order of the parameters' axes that goes with them.
  const placed = tfjsAxes.map((axis, index) => ({ axis: axisIn(x, axis, where), index })).sort((a, b) => a.axis - b.axis);
  const axes = placed.map(({ axis }) => axis);
  const permutation = placed.map(({ index }) => index);
  const trailing = axes.every((axis, index) => axis === rank - axes.length + index);
  const shape = trailing ? axes : range(axes[0]!, rank);
  const extents = shape.map((axis) => (axes.includes(axis) ? fixed(shapeOf(x.value)[axis], where) : 1));
  const parameter = (key: string, name: string): ReturnType<typeof context.parameter> | null => (context.config[key] === false ? null : context.parameter(name, permutation, { shape: extents }));
  const value = layerNormalization(builder, x.value, axes, { scale: parameter('scale', 'gamma'), offset: parameter('center', 'beta'), epsilon: numberOf(context, 'epsilon', 1e-3) }, context.layer.name);
  return { value, layout: x.layout };
};

export const normalizationLayers: Readonly<Record<string, LayerConverter>> = {
  BatchNormalization: batch,
  LayerNormalization: layer,
};
