/** Operators of detection networks. */
import { UnsupportedError } from '../errors.js';
import { inputOf, intOf, intsOf, knownInts, normalizeAxis, type Operator } from './operator.js';

export const visionOperators: Readonly<Record<string, Operator>> = {
  CenterCropPad: {
    inputs: [2, 2],
    attributes: { axes: 'ints' },
    infer: (node, where) => {
      const [{ dtype, shape }, wanted] = [inputOf(node, 0), knownInts(node.inputs[1])];
      if (!shape || !wanted) return [{ dtype, shape: shape?.map(() => undefined) }];
      const axes = (intsOf(node, 'axes') ?? [...shape.keys()]).map((axis) => normalizeAxis(axis, shape.length, where));
      if (axes.length !== wanted.length) throw new UnsupportedError(`${where}: has ${wanted.length} extents for ${axes.length} axes.`);
      return [{ dtype, shape: shape.map((extent, axis) => (axes.includes(axis) ? wanted[axes.indexOf(axis)] : extent)) }];
    },
  },
  DeformConv: {
    inputs: [3, 5],
    attributes: { dilations: 'ints', group: 'int', kernel_shape: 'ints', offset_group: 'int', pads: 'ints', strides: 'ints' },
    infer: (node) => {
      const [x, weight, offset] = [inputOf(node, 0), inputOf(node, 1), inputOf(node, 2)];
      return [{ dtype: x.dtype, shape: x.shape && weight.shape && offset.shape && [x.shape[0], weight.shape[0], ...offset.shape.slice(2)] }];
    },
  },
  RoiAlign: {
    inputs: [3, 3],
    attributes: { coordinate_transformation_mode: 'string', mode: 'string', output_height: 'int', output_width: 'int', sampling_ratio: 'int', spatial_scale: 'float' },
    infer: (node) => {
      const [x, rois] = [inputOf(node, 0), inputOf(node, 1)];
      return [{ dtype: x.dtype, shape: x.shape && rois.shape && [rois.shape[0], x.shape[1], intOf(node, 'output_height', 1), intOf(node, 'output_width', 1)] }];
    },
  },
};
