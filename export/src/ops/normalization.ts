/** Normalisation layers: the first output has the shape of the first input. */
import type { Node } from '../ir/types.js';
import { elementTypeNames, type DataTypeCode } from './data-type.js';
import { inputOf, intOf, normalizeAxis, type AttributeKind, type Operator, type OutputType } from './operator.js';

const same = (inputs: [number, number], attributes: Record<string, AttributeKind>): Operator => ({
  inputs,
  attributes,
  infer: (node) => [{ dtype: inputOf(node, 0).dtype, shape: inputOf(node, 0).shape }],
});

/** Types of mean and inverse deviation: that of `stash_type`, single precision unless it is given, and extent 1 from `axis` on. */
function statistics(node: Node, where: string): OutputType {
  const { shape } = inputOf(node, 0);
  const at = shape && normalizeAxis(intOf(node, 'axis', -1), shape.length, where);
  return { dtype: elementTypeNames[intOf(node, 'stash_type', 1) as DataTypeCode], shape: shape?.map((dim, axis) => (axis < at! ? dim : 1)) };
}

export const normalizationOperators: Readonly<Record<string, Operator>> = {
  BatchNormalization: {
    inputs: [5, 5],
    attributes: { epsilon: 'float', momentum: 'float', training_mode: 'int' },
    infer: (node) => {
      const [x, mean, variance] = [inputOf(node, 0), inputOf(node, 3), inputOf(node, 4)];
      return [{ dtype: x.dtype, shape: x.shape }, { dtype: mean.dtype, shape: mean.shape }, { dtype: variance.dtype, shape: variance.shape }];
    },
  },
  InstanceNormalization: same([3, 3], { epsilon: 'float' }),
  GroupNormalization: same([3, 3], { epsilon: 'float', num_groups: 'int', stash_type: 'int' }),
  LayerNormalization: {
    inputs: [2, 3],
    attributes: { axis: 'int', epsilon: 'float', stash_type: 'int' },
    infer: (node, where) => {
      const x = inputOf(node, 0);
      const type = statistics(node, where);
      return [{ dtype: x.dtype, shape: x.shape }, type, type];
    },
  },
  RMSNormalization: same([2, 2], { axis: 'int', epsilon: 'float', stash_type: 'int' }),
  LpNormalization: same([1, 1], { axis: 'int', p: 'int' }),
  MeanVarianceNormalization: same([1, 1], { axes: 'ints' }),
  LRN: same([1, 1], { alpha: 'float', beta: 'float', bias: 'float', size: 'int' }),
};
