/** Operators of GraphModels that make tensors of given extents, and those that fill parts of them. */
import { UnsupportedError } from '../../errors.js';
import { dtypeOf, shapeOf } from '../../ir/builder.js';
import { boolean } from '../../ir/constant.js';
import { dataTypeCodes } from '../../ir/types.js';
import { fixed, plain, tfjsShape, toChannelsFirst } from '../layout.js';
import { computed, constant, converted, extents, input, integers, valueTensor, type GraphTensor, type NodeContext, type NodeConverter } from './graph-tensor.js';

/** Elements that a constant of the conversion may have: a graph of some bytes is not to ask for gigabytes. */
const mostElements = 2 ** 24;

function filled(context: NodeContext, dims: readonly number[], value: number, dtype: 'float32' | 'int32' | 'bool'): GraphTensor {
  const count = dims.reduce((a, b) => a * b, 1);
  if (!(count <= mostElements)) throw new UnsupportedError(`${context.where}: makes a constant of ${count} elements, more than ${mostElements}, which is not supported.`);
  const data = dtype === 'float32' ? new Float32Array(count) : dtype === 'int32' ? new Int32Array(count) : new Uint8Array(count);
  return { kind: 'constant', name: context.name, dtype, dims, data: data.fill(value) };
}

const fill: NodeConverter = (context, inputs) => {
  const wanted = extents(context, inputs, 0, 'shape');
  const value = input(context, inputs, 1);
  if (!wanted.every((dim) => typeof dim === 'number')) return { kind: 'uniform', number: constant(context, inputs, 1, 'value').data[0]!, dims: wanted };
  const dims = wanted;
  if (value.kind === 'extents') return { kind: 'extents', content: Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => value.content[0]!), scalar: dims.length === 0 };
  const { data, dtype } = constant(context, inputs, 1, 'value');
  return filled(context, dims, data[0]!, dtype);
};

/** Zeros or ones in the extents of the input, whatever it holds. */
const like = (value: 0 | 1): NodeConverter => (context, inputs) => {
  const { builder } = context;
  const tensor = input(context, inputs, 0);
  if (tensor.kind === 'extents') return { ...tensor, content: tensor.content.map(() => value) };
  if (tensor.kind === 'uniform') return { ...tensor, number: value };
  if (tensor.kind === 'constant') return filled(context, tensor.dims, value, tensor.dtype);
  const dtype = dtypeOf(tensor.value);
  const never = builder.op('And', [dtype === 'bool' ? tensor.value : builder.op('Equal', [tensor.value, tensor.value]), builder.constant(boolean(false), 'false')]);
  const wanted = value === 0 ? never : builder.op('Not', [never]);
  return valueTensor(dtype === 'bool' ? wanted : builder.op('Cast', [wanted], { to: dataTypeCodes[dtype] }), tensor.layout);
};

const broadcastTo: NodeConverter = (context, inputs) => {
  const { builder, where } = context;
  const target = extents(context, inputs, 1, 'shape');
  const x = computed(context, inputs);
  const own = tfjsShape(x);
  if (own.length > target.length) throw new UnsupportedError(`${where}: [${own.join(', ')}] does not broadcast to [${target.join(', ')}].`);
  // An extent that stays is left to the tensor; so open ones need no number.
  const dims = target.map((dim, axis) => (dim === own[axis - target.length + own.length] ? 1 : fixed(dim, where, 'broadcasting')));
  if (own.length < target.length) return valueTensor(builder.op('Expand', [plain(builder, x), builder.ints(dims)]));
  if (dims.every((dim) => dim === 1)) return converted(x);
  const ordered = x.layout === 'plain' ? dims : toChannelsFirst(dims.length).map((axis) => dims[axis]!);
  return valueTensor(builder.op('Expand', [x.value, builder.ints(ordered)]), x.layout);
};

const range: NodeConverter = (context, inputs) => {
  const numbers = ['start', 'limit', 'step'].map((what, index) => {
    const tensor = input(context, inputs, index);
    return tensor.kind === 'constant' ? tensor.data[0]! : integers(context, inputs, index, what)[0]!;
  });
  const [start, limit, step] = numbers as [number, number, number];
  const count = Math.max(0, Math.ceil((limit - start) / step));
  if (context.attributes.type('Tidx') !== 'float') {
    if (!(count <= mostElements)) throw new UnsupportedError(`${context.where}: makes ${count} integers, more than ${mostElements}, which is not supported.`);
    return { kind: 'extents', content: Array.from({ length: count }, (_, index) => start + index * step), scalar: false };
  }
  const constants = filled(context, [count], 0, 'float32') as GraphTensor & { kind: 'constant' };
  return { ...constants, data: (constants.data as Float32Array).map((_, index) => start + index * step) };
};

const oneHot: NodeConverter = (context, inputs) => {
  const { builder } = context;
  const [depth] = integers(context, inputs, 1, 'depth');
  const [on, off] = [computed(context, inputs, 2).value, computed(context, inputs, 3).value];
  const one = builder.ints([1]);
  // Engines have kernels for 64-bit indices.
  const indices = builder.op('Cast', [plain(builder, computed(context, inputs))], { to: dataTypeCodes.int64 });
  const values = builder.op('Concat', [builder.op('Reshape', [off, one]), builder.op('Reshape', [on, one])], { axis: 0 });
  return valueTensor(builder.op('OneHot', [indices, builder.ints([depth!]), values], { axis: context.attributes.int('axis', -1) }));
};

/** Keeps so many diagonals below and above the main one; all of them where the number is negative. */
const bandPart: NodeConverter = (context, inputs) => {
  const { builder, where } = context;
  const [[below], [above]] = [integers(context, inputs, 1, 'number below'), integers(context, inputs, 2, 'number above')];
  const x = plain(builder, computed(context, inputs));
  const [rows, columns] = shapeOf(x).slice(-2).map((dim) => fixed(dim, where)) as [number, number];
  const kept = filled(context, [rows, columns], 0, 'bool') as GraphTensor & { kind: 'constant' };
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) kept.data[i * columns + j] = (below! < 0 || i - j <= below!) && (above! < 0 || j - i <= above!) ? 1 : 0;
  }
  return valueTensor(builder.op('Where', [context.store(kept), x, builder.scalar(0, x)]));
};

export const fillingNodes: Readonly<Record<string, NodeConverter>> = {
  BroadcastTo: broadcastTo,
  Fill: fill,
  MatrixBandPart: bandPart,
  OneHot: oneHot,
  OnesLike: like(1), ZerosLike: like(0),
  Range: range,
};
