/** Pooling windows and what they make of an extent. */
import { GraphError } from '../errors.js';
import type { Dim, Node } from '../ir/types.js';
import { windowOf, type Window } from './convolution.js';
import { inputOf, intOf, intsOf, type Operator, type OutputType } from './operator.js';
import type { MaybeDim } from './symbolic.js';

export function poolWindow(node: Node, spatial: readonly Dim[], where: string): Window {
  const kernel = intsOf(node, 'kernel_shape');
  if (!kernel) throw new GraphError(`${where}: lacks kernel_shape.`);
  if (kernel.length !== spatial.length) throw new GraphError(`${where}: a kernel of rank ${kernel.length} does not fit ${spatial.length} spatial axes.`);
  return windowOf(node, kernel, spatial, where);
}

/** Number of windows along an axis. With ceil_mode a last window may hang over the end, but must begin inside (PyTorch's rule, ONNX's since 1.16). */
export function poolExtent(extent: Dim, window: Window, axis: number, ceil: boolean, where: string): MaybeDim {
  const [stride, begin, end] = [window.strides[axis]!, window.begin[axis]!, window.end[axis]!];
  const reach = (window.kernel[axis]! - 1) * window.dilations[axis]! + 1;
  if (typeof extent !== 'number') return stride === 1 && begin + end === reach - 1 ? extent : undefined;
  const room = extent + begin + end - reach;
  if (room < 0) throw new GraphError(`${where}: a window of reach ${reach} does not fit into extent ${extent} on spatial axis ${axis}.`);
  if (!ceil) return Math.floor(room / stride) + 1;
  const count = Math.ceil(room / stride) + 1;
  return (count - 1) * stride >= extent + begin ? count - 1 : count;
}

function pooled(node: Node, where: string): OutputType {
  const { dtype, shape } = inputOf(node, 0);
  if (!shape) return { dtype, shape: undefined };
  const spatial = shape.slice(2);
  const mode = node.attributes.get('auto_pad');
  if (mode?.type === 'string' && mode.value.startsWith('SAME') && spatial.some((dim) => typeof dim !== 'number')) return { dtype, shape: [...shape.slice(0, 2), ...spatial.map(() => undefined)] };
  const window = poolWindow(node, spatial, where);
  const ceil = intOf(node, 'ceil_mode', 0) === 1;
  return { dtype, shape: [...shape.slice(0, 2), ...spatial.map((extent, axis) => poolExtent(extent, window, axis, ceil, where))] };
}

const windowAttributes = { auto_pad: 'string', ceil_mode: 'int', dilations: 'ints', kernel_shape: 'ints', pads: 'ints', strides: 'ints' } as const;

const globalPool: Operator = {
  inputs: [1, 1],
  attributes: {},
  infer: (node) => {
    const x = inputOf(node, 0);
    return [{ dtype: x.dtype, shape: x.shape?.map((dim, axis) => (axis < 2 ? dim : 1)) }];
  },
};

export const poolingOperators: Readonly<Record<string, Operator>> = {
  MaxPool: {
    inputs: [1, 1],
    attributes: { ...windowAttributes, storage_order: 'int' },
    infer: (node, where) => {
      const type = pooled(node, where);
      return [type, { ...type, dtype: 'int64' }];
    },
  },
  AveragePool: { inputs: [1, 1], attributes: { ...windowAttributes, count_include_pad: 'int' }, infer: (node, where) => [pooled(node, where)] },
  LpPool: { inputs: [1, 1], attributes: { ...windowAttributes, p: 'int' }, infer: (node, where) => [pooled(node, where)] },
  GlobalAveragePool: globalPool,
  MaxUnpool: {
    inputs: [2, 3],
    attributes: { kernel_shape: 'ints', pads: 'ints', strides: 'ints' },
    infer: (node) => {
      const { dtype, shape } = inputOf(node, 0);
      const kernel = intsOf(node, 'kernel_shape');
      if (!shape || !kernel) return [{ dtype, shape: undefined }];
      if (node.inputs[2]) return [{ dtype, shape: node.inputs[2].content ?? shape.map(() => undefined) }];
      const [strides, pads] = [intsOf(node, 'strides') ?? kernel.map(() => 1), intsOf(node, 'pads') ?? [...kernel, ...kernel].map(() => 0)];
      const spatial = shape.slice(2).map((dim, axis): MaybeDim => (typeof dim === 'number' ? (dim - 1) * strides[axis]! + kernel[axis]! - pads[axis]! - pads[axis + kernel.length]! : undefined));
      return [{ dtype, shape: [...shape.slice(0, 2), ...spatial] }];
    },
  },
  GlobalMaxPool: globalPool,
  GlobalLpPool: { ...globalPool, attributes: { p: 'int' } },
};
