/** Small networks around one operator each, for the tests of rules: what ONNX Runtime runs in float64, and what it does not. */
import type { Constant, GraphBuilder, Shape, Value } from '@ratioflow/export';
import type { Network } from './support.js';

type Attributes = Parameters<GraphBuilder['op']>[2];

/** One operator on inputs of these shapes. */
const operator = (opType: string, shapes: readonly Shape[], attributes: Attributes = {}, range: { low?: number; high?: number } = {}): Network => ({
  inputs: shapes.map((shape) => ({ shape, ...range })), make: (builder, inputs) => builder.op(opType, inputs, attributes),
});
export const network = (shapes: readonly Shape[], make: (builder: GraphBuilder, ...inputs: Value[]) => Value, range: { low?: number; high?: number } = {}): Network => ({
  inputs: shapes.map((shape) => ({ shape, ...range })), make: (builder, inputs) => make(builder, ...inputs),
});
/** Integers that no shape inference sees through. */
const atRunTime = (b: GraphBuilder, x: Value, values: readonly number[]): Value => {
  const zero = b.op('Cast', [b.op('ReduceMin', [b.op('Abs', [b.op('Sign', [b.op('Sub', [x, x])])])], { keepdims: 0 })], { to: 7 });
  return b.op('Add', [b.ints(values), zero]);
};
export const floats64 = (values: readonly number[]): Constant => ({ dtype: 'float64', dims: [values.length], data: new Uint8Array(Float64Array.from(values).buffer) });
const image: Shape = ['N', 2, 6, 5];

export const cases: readonly (readonly [string, Network])[] = [
  ...['Abs', 'Neg', 'Exp', 'Sin', 'Cos', 'Tanh', 'Sigmoid', 'Relu', 'Reciprocal', 'Identity'].map((opType) => [opType, operator(opType, [['N', 5]])] as const),
  ['Log', operator('Log', [['N', 5]], {}, { low: 0.5, high: 3 })],
  ['Sqrt', operator('Sqrt', [['N', 5]], {}, { low: 0.5, high: 3 })],
  ['Softplus', operator('Softplus', [['N', 5]])],
  ['Softmax', operator('Softmax', [['N', 5]])],
  ['Softmax on an inner axis', operator('Softmax', [['N', 5, 3]], { axis: 1 })],
  ['LogSoftmax', operator('LogSoftmax', [['N', 5]])],
  ['Clip', network([['N', 20]], (b, x) => b.op('Clip', [x, b.scalar(-0.5, x), b.scalar(0.7, x)]))],
  ['Clip below', network([['N', 20]], (b, x) => b.op('Clip', [x, b.scalar(0.1, x)]))],
  ['Clip above', network([['N', 20]], (b, x) => b.op('Clip', [x, null, b.scalar(0.1, x)]))],
  ['Add, broadcast', operator('Add', [['N', 3, 4], [3, 1]])],
  ['Sub, broadcast', operator('Sub', [[4], ['N', 3, 4]])],
  ['Mul, broadcast', operator('Mul', [['N', 1, 4], [1, 3, 1]])],
  ['Div, broadcast', operator('Div', [['N', 3, 4], [3, 1]], {}, { low: 0.5, high: 2 })],
  ['Pow', operator('Pow', [['N', 3], [3]], {}, { low: 0.5, high: 2 })],
  ['Pow 2', network([['N', 5]], (b, x) => b.op('Pow', [x, b.scalar(2, x)]))],
  ['Pow 3', network([['N', 5]], (b, x) => b.op('Pow', [x, b.scalar(3, x)]))],
  ['Max of two', operator('Max', [['N', 5], [5]])],
  ['Min of three', operator('Min', [['N', 5], [5], ['N', 5]])],
  ['Sum', operator('Sum', [['N', 5], [5], [1]])],
  ['Where', network([['N', 5], ['N', 5]], (b, x, y) => b.op('Where', [b.op('Less', [x, y]), x, b.op('Mul', [y, y])]))],
  ['MatMul', operator('MatMul', [['N', 3, 4], ['N', 4, 2]])],
  ['MatMul, broadcast', operator('MatMul', [['N', 2, 3, 4], [2, 4, 2]])],
  ['MatMul, shared matrix', operator('MatMul', [['N', 3, 4], [4, 2]])],
  ['MatMul, vectors', operator('MatMul', [['N', 3, 4], [4]])],
  ['MatMul, two vectors', operator('MatMul', [[4], [4]])],
  ...[[0, 0], [1, 0], [0, 1], [1, 1]].map(([transA, transB]) => [
    `Gemm ${transA}${transB}`, operator('Gemm', [transA ? [4, 'N'] : ['N', 4], transB ? [3, 4] : [4, 3], [3]], { alpha: 0.7, beta: 1.3, transA: transA!, transB: transB! }),
  ] as const),
  ...['bij,bkj->bik', 'bij,bjk', 'bij,bkl->bkl', 'bii,bkj->bkj', '...ij,...kj->...ik'].map((equation) => [`Einsum ${equation}`, operator('Einsum', [['N', 3, 3], ['N', 3, 3]], { equation })] as const),
  ['ReduceSum', network([['N', 3, 4]], (b, x) => b.op('ReduceSum', [x, b.ints([1])], { keepdims: 0 }))],
  ['ReduceMean over N', network([['N', 3, 4]], (b, x) => b.op('ReduceMean', [x, b.ints([0, 2])]))],
  ['ReduceMax', network([['N', 3, 4]], (b, x) => b.op('ReduceMax', [x, b.ints([2])], { keepdims: 0 }))],
  ['ReduceMin', network([['N', 3, 4]], (b, x) => b.op('ReduceMin', [x, b.ints([1, 2])]))],
  ['ReduceL2', network([['N', 3, 4]], (b, x) => b.op('ReduceL2', [b.op('Cast', [x], { to: 11 }), b.ints([1])]))],
  ['ReduceLogSumExp', network([['N', 4]], (b, x) => b.op('ReduceLogSumExp', [x, b.ints([1])]))],
  ['ReduceSumSquare', network([['N', 4]], (b, x) => b.op('ReduceSumSquare', [x, b.ints([1])]))],
  ...['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceProd', 'ReduceL1', 'ReduceLogSumExp'].flatMap((opType) => [0, 1].map((keepdims) => [
    `${opType} over axes known at run time, ${keepdims ? 'kept' : 'dropped'}`, network([['N', 3, 4]], (b, x) => b.op(opType, [x, atRunTime(b, x, [0, -1])], { keepdims })),
  ] as const)),
  ['ReduceMean over no axes at run time', network([['N', 3]], (b, x) => b.op('ReduceMean', [x, b.op('Slice', [atRunTime(b, x, [1]), b.ints([0]), b.ints([0])])], { noop_with_empty_axes: 1 }))],
  ['CumSum', network([['N', 4]], (b, x) => b.op('Mul', [b.op('CumSum', [x, b.ints([1])], { exclusive: 1 }), x]))],
  ['Reshape', network([['N', 6, 2]], (b, x) => b.op('Reshape', [x, b.ints([-1, 4, 3])]))],
  ['Transpose', operator('Transpose', [['N', 3, 2]], { perm: [2, 0, 1] })],
  ['Concat', operator('Concat', [['N', 3], ['N', 2]], { axis: 1 })],
  ['Concat of symbolic extents', operator('Concat', [['N', 3], ['M', 3]], { axis: 0 })],
  ['Split', network([['N', 7]], (b, x) => { const [p, q] = b.ops('Split', [x, b.ints([3, 3, 1])], { axis: 1 }, 3); return b.op('Mul', [p!, q!]); })],
  ['Slice', network([['N', 9]], (b, x) => b.op('Slice', [x, b.ints([1]), b.ints([8]), b.ints([1]), b.ints([3])]))],
  ['Slice backwards', network([['N', 9]], (b, x) => b.op('Slice', [x, b.ints([-2]), b.ints([-(2 ** 31)]), b.ints([1]), b.ints([-2])]))],
  ['Slice of N', network([['N', 3]], (b, x) => b.op('Slice', [x, b.ints([-1]), b.ints([2 ** 31]), b.ints([0])]))],
  ['Slice of N with steps', network([['N', 3]], (b, x) => b.op('Slice', [x, b.ints([1]), b.ints([2 ** 31]), b.ints([0]), b.ints([2])]))],
  ['Slice backwards over axes known at run time', network([['N', 5, 4]], (b, x) => b.op('Slice', [x, b.ints([3, 0]), b.ints([0, 4]), atRunTime(b, x, [1, -1]), atRunTime(b, x, [-2, 3])]))],
  ['Tile at run time', network([['N', 3]], (b, x) => b.op('Tile', [x, atRunTime(b, x, [2, 3])]))],
  ['Unique', network([['N', 4]], (b, x) => b.op('Unique', [x], { sorted: 1 }))],
  ['Unique rows', network([['N', 4]], (b, x) => b.op('Unique', [x], { sorted: 0, axis: 0 }))],
  ['Tile', network([['N', 3]], (b, x) => b.op('Tile', [x, b.ints([2, 3])]))],
  ['Expand', network([['N', 1, 3]], (b, x) => b.op('Expand', [x, b.ints([1, 4, 1])]))],
  ...['constant', 'reflect', 'edge'].map((mode) => [`Pad ${mode}`, network([['N', 4, 3]], (b, x) => b.op('Pad', [x, b.ints([0, 1, 2, 0, 2, 1])], { mode }))] as const),
  ...['constant', 'reflect', 'edge'].map((mode) => [`Pad ${mode}, cropping`, network([['N', 4, 5]], (b, x) => b.op('Pad', [x, b.ints([0, -1, 2, 0, 1, -2])], { mode }))] as const),
  ['Gather, one', network([['N', 4, 3]], (b, x) => b.op('Gather', [x, b.constant({ dtype: 'int64', dims: [], data: new Uint8Array(8) })], { axis: 1 }))],
  ['Gather, repeated', network([['N', 4, 3]], (b, x) => b.op('Gather', [x, b.ints([2, -2, 0, 2])], { axis: 1 }))],
  ['Gather, out of order', network([['N', 4, 3]], (b, x) => b.op('Gather', [x, b.ints([3, 0])], { axis: 1 }))],
  ['Gather at run time', network([['N', 4]], (b, x) => b.op('Gather', [x, b.op('ArgMax', [x], { axis: 1, keepdims: 0 })], { axis: 1 }))],
  ['GatherElements', network([['N', 4]], (b, x) => b.op('GatherElements', [x, b.op('ArgMax', [x], { axis: 1 })], { axis: 1 }))],
  ['TopK', network([['N', 6]], (b, x) => b.ops('TopK', [x, b.ints([3])], { axis: 1 }, 2)[0]!)],
  ['GatherElements over a part', network([['N', 4, 3]], (b, x) => b.op('GatherElements', [x, b.op('Slice', [b.op('ArgMax', [x], { axis: 1 }), b.ints([1]), b.ints([3]), b.ints([2])])], { axis: 1 }))],
  // Of places that come twice, some counted from the end.
  ['GatherND', network([['N', 4, 3]], (b, x) => b.op('GatherND', [x, b.op('Reshape', [b.ints([0, 1, 1, -2, 0, 1, 1, -1]), b.ints([2, 2, 2])])]))],
  ['GatherND, batched', network([['N', 4, 3]], (b, x) => b.op('GatherND', [x, b.op('Unsqueeze', [b.op('ArgMax', [x], { axis: 1, keepdims: 0 }), b.ints([2])])], { batch_dims: 1 }))],
  ['Compress', network([['N', 4, 3]], (b, x) => b.op('Compress', [x, b.op('Cast', [b.ints([1, 0, 1])], { to: 9 })], { axis: 1 }))],
  ['ScatterElements, largest', network([['N', 4], ['N', 2]], (b, x, y) => b.op('ScatterElements', [x, b.op('Cast', [b.op('Greater', [y, b.scalar(0, y)])], { to: 7 }), y], { axis: 1, reduction: 'max' }))],
  // Two updates meet in one place.
  ['ScatterElements, product', network([['N', 4], ['N', 3]], (b, x, y) => b.op('ScatterElements', [x, b.op('Add', [b.op('Mul', [b.op('Cast', [y], { to: 7 }), b.ints([0])]), b.ints([1, 3, 1])]), y], { axis: 1, reduction: 'mul' }))],
  ['Trilu', network([['N', 3, 4]], (b, x) => b.op('Trilu', [x], { upper: 0 }))],
  ['MaxPool', operator('MaxPool', [image], { kernel_shape: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0] })],
  ['MaxPool, overlapping', operator('MaxPool', [image], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] })],
  ['MaxPool with column-major indices', operator('MaxPool', [image], { kernel_shape: [3, 2], strides: [2, 1], pads: [0, 0, 0, 0], storage_order: 1 })],
  ['DepthToSpace', operator('DepthToSpace', [['N', 8, 2, 3]], { blocksize: 2, mode: 'CRD' })],
  ['SpaceToDepth', operator('SpaceToDepth', [['N', 2, 4, 6]], { blocksize: 2 })],
  // ONNX Runtime writes running statistics that something reads over the tensors that were fed, so that only the first output is read here.
  ['BatchNormalization by the batch', network([['N', 2, 3, 2], [2], [2]], (b, x, scale, bias) => b.ops('BatchNormalization', [x, scale, bias, b.constant(floats64([0, 0])), b.constant(floats64([1, 1]))], { training_mode: 1, epsilon: 1e-3 }, 3)[0]!)],
  ['LayerNormalization', operator('LayerNormalization', [['N', 3, 5], [5], [5]], { axis: -1, epsilon: 1e-3 })],
  ['BatchNormalization', operator('BatchNormalization', [image, [2], [2], [2], [2]], { epsilon: 1e-3 }, { low: 0.5, high: 2 })],
  ['normalisation by hand', network([['N', 3, 4]], (b, x) => {
    const centred = b.op('Sub', [x, b.op('ReduceMean', [x, b.ints([-1])])]);
    return b.op('Div', [centred, b.op('Sqrt', [b.op('Add', [b.op('ReduceMean', [b.op('Mul', [centred, centred]), b.ints([-1])]), b.scalar(1e-3, x)])])]);
  })],
];

/** Operators without a float64 kernel, between Casts; all are linear or linear in pieces, so that a large step is exact. */
export const narrow = (b: GraphBuilder, x: Value): Value => b.op('Cast', [x], { to: 1 });
export const wide = (b: GraphBuilder, x: Value): Value => b.op('Cast', [x], { to: 11 });
const single = (opType: string, shapes: readonly Shape[], attributes: Attributes = {}): Network => ({
  inputs: shapes.map((shape) => ({ shape })),
  make: (b, inputs) => b.op('Cast', [b.op(opType, inputs.map((x) => b.op('Cast', [x], { to: 1 })), attributes)], { to: 11 }),
});
export const singleCases: readonly (readonly [string, Network])[] = [
  ...[1, 2, 4].map((order) => [`Det of order ${order}`, single('Det', [['N', order, order]])] as const),
  ['LeakyRelu', single('LeakyRelu', [['N', 5]], { alpha: 0.3 })],
  ['LeakyRelu of slope above 1', single('LeakyRelu', [['N', 5]], { alpha: 1.5 })],
  ['Mean', single('Mean', [['N', 5], [5]])],
  ['GlobalMaxPool', single('GlobalMaxPool', [image])],
  ['GlobalAveragePool', single('GlobalAveragePool', [image])],
  ['AveragePool', single('AveragePool', [image], { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1], count_include_pad: 1 })],
  ['AveragePool inside', single('AveragePool', [image], { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 1] })],
  ['Conv, input and kernel', single('Conv', [image, [3, 2, 3, 3], [3]], { kernel_shape: [3, 3], strides: [2, 1], pads: [1, 1, 1, 0], dilations: [1, 1], group: 1 })],
  ...([
    ['a first layer', 1, 3, 1, 1, 1], ['a first layer, two channels, dilated', 2, 3, 1, 2, 2], ['a first layer, strided', 1, 4, 2, 1, 1],
    ['a first layer, kernel of 5, strided', 1, 5, 2, 1, 2], ['a first layer, padded beyond the kernel, strided', 1, 3, 2, 1, 3], ['a first layer of three channels, strided', 3, 7, 2, 1, 3],
  ] as const).map(([name, c, k, stride, dilation, pad]): readonly [string, Network] =>
    [`Conv, ${name}`, single('Conv', [['N', c, 8, 12], [3, c, k, k]], { kernel_shape: [k, k], strides: [stride, stride], pads: [pad, pad, pad, pad], dilations: [dilation, dilation], group: 1 })]),
  ['Conv in groups, input and kernel', single('Conv', [['N', 4, 6, 5], [6, 2, 3, 3], [6]], { kernel_shape: [3, 3], strides: [2, 1], pads: [1, 1, 1, 0], dilations: [1, 1], group: 2 })],
  ['Conv, channel by channel, strided', single('Conv', [['N', 3, 7, 6], [3, 1, 3, 3]], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 0, 1, 1], dilations: [1, 1], group: 3 })],
  ['Conv, channel by channel, wide stride', single('Conv', [['N', 2, 11, 9], [2, 1, 5, 3]], { kernel_shape: [5, 3], strides: [3, 3], pads: [2, 1, 2, 1], dilations: [1, 1], group: 2 })],
  ['Conv, channel by channel, dilated', single('Conv', [['N', 2, 9, 10], [2, 1, 3, 3]], { kernel_shape: [3, 3], strides: [2, 2], pads: [2, 2, 2, 2], dilations: [2, 2], group: 2 })],
  ['Conv, channel by channel, kernel below stride', single('Conv', [['N', 2, 6, 6], [2, 1, 1, 1]], { kernel_shape: [1, 1], strides: [2, 2], pads: [0, 0, 0, 0], dilations: [1, 1], group: 2 })],
  ['Conv, two channels from each, strided', single('Conv', [['N', 2, 6, 6], [4, 1, 3, 3]], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], dilations: [1, 1], group: 2 })],
  ['ConvTranspose in groups, input and kernel', single('ConvTranspose', [['N', 4, 3, 4], [4, 3, 3, 2], [6]], { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 0], dilations: [1, 1], group: 2 })],
  ['Col2Im', network([['N', 12, 20]], (b, x) => wide(b, b.op('Col2Im', [narrow(b, x), b.ints([6, 4]), b.ints([2, 3])], { pads: [0, 1, 0, 1], strides: [1, 1], dilations: [1, 1] })))],
  ...['bilinear', 'bicubic'].flatMap((mode) => ['zeros', 'border', 'reflection'].map((padding) => [`GridSample, ${mode}, ${padding}`, network([['N', 2, 4, 5]], (b, x) => {
    const grid = b.constant({ dtype: 'float32', dims: [1, 3, 3, 2], data: new Uint8Array(Float32Array.from({ length: 18 }, (_, i) => Math.sin(3 * i) * 1.4).buffer) });
    const batch = b.op('Concat', [b.op('Slice', [b.op('Shape', [x]), b.ints([0]), b.ints([1])]), b.ints([1, 1, 1])], { axis: 0 });
    return wide(b, b.op('GridSample', [narrow(b, x), b.op('Expand', [grid, batch])], { mode, padding_mode: padding, align_corners: 0 }));
  })] as const)),
  ['OneHot values', network([[2]], (b, values) => wide(b, b.op('OneHot', [b.ints([2, 0, 1]), b.constant({ dtype: 'int64', dims: [], data: new Uint8Array(BigInt64Array.of(4n).buffer) }), narrow(b, values)], { axis: 0 })))],
  ...[undefined, 1].map((axis) => [`DequantizeLinear ${axis === undefined ? 'of one scale' : 'by channel'}`, network([axis === undefined ? [] : [3]], (b, scale) => wide(b, b.op('DequantizeLinear', [
    b.constant({ dtype: 'int8', dims: [2, 3, 2], data: Uint8Array.from({ length: 12 }, (_, i) => i * 21) }), narrow(b, scale),
    b.constant(axis === undefined ? { dtype: 'int8', dims: [], data: Uint8Array.of(7) } : { dtype: 'int8', dims: [3], data: Uint8Array.of(7, 0, 250) }),
  ], { axis: axis ?? 1 })))] as const),
  ...(['nearest', 'linear', 'cubic'] as const).map((mode) => [`Resize of any extent, ${mode}`, network([['N', 2, 'H', 'W']], (b, x) => wide(b, b.op('Resize', [
    narrow(b, x), null, b.constant({ dtype: 'float32', dims: [4], data: new Uint8Array(Float32Array.of(1, 1, 1.5, 2.5).buffer) }),
  ], { mode, coordinate_transformation_mode: 'half_pixel' })))] as const),
  ...['not_larger', 'not_smaller'].map((policy) => [`Resize, ${policy}`, network([['N', 2, 4, 6]], (b, x) => wide(b, b.op('Resize', [narrow(b, x), null, null, b.ints([7, 8])], {
    axes: [2, 3], mode: 'linear', keep_aspect_ratio_policy: policy, coordinate_transformation_mode: 'half_pixel',
  })))] as const),
  ['Resize to sizes known at run time', network([['N', 2, 4, 3]], (b, x) => wide(b, b.op('Resize', [
    narrow(b, x), null, null, b.op('Add', [b.op('Shape', [x]), atRunTime(b, x, [0, 0, 3, 4])]),
  ], { mode: 'linear', coordinate_transformation_mode: 'align_corners' })))],
  // 3 / 0.6 is 5 in single precision, and a little less than that where 0.6 alone is.
  ...[['floor', 'asymmetric'], ['round_prefer_ceil', 'half_pixel']].map(([nearest, coordinates]) => [`Resize, ${nearest} of positions that are rounded`, network([['N', 2, 10, 12]], (b, x) => wide(b, b.op('Resize', [
    narrow(b, x), null, b.constant({ dtype: 'float32', dims: [4], data: new Uint8Array(Float32Array.of(1, 1, 0.6, 2 / 3).buffer) }),
  ], { mode: 'nearest', coordinate_transformation_mode: coordinates!, nearest_mode: nearest! })))] as const),
  // ONNX Runtime copies what keeps its extents.
  ['Resize by factors that change no extent', network([['N', 2, 4, 3]], (b, x) => wide(b, b.op('Resize', [
    narrow(b, x), null, b.constant({ dtype: 'float32', dims: [4], data: new Uint8Array(Float32Array.of(1, 1, 1.2, 1.3).buffer) }),
  ], { mode: 'linear' })))],
  ['Resize of a region', network([['N', 2, 5, 6]], (b, x) => wide(b, b.op('Resize', [
    narrow(b, x), b.constant({ dtype: 'float32', dims: [8], data: new Uint8Array(Float32Array.of(0, 0, 0.1, -0.2, 1, 1, 0.8, 1.3).buffer) }), null, b.op('Concat', [b.op('Slice', [b.op('Shape', [x]), b.ints([0]), b.ints([2])]), b.ints([4, 7])], { axis: 0 }),
  ], { mode: 'linear', coordinate_transformation_mode: 'tf_crop_and_resize' })))],
  ['DFT', network([['N', 5, 1]], (b, x) => wide(b, b.op('DFT', [narrow(b, x)], { axis: 1, onesided: 1 })))],
  ['DFT, inverse', network([['N', 3, 6, 2]], (b, x) => wide(b, b.op('DFT', [narrow(b, x), b.constant({ dtype: 'int64', dims: [], data: new Uint8Array(BigInt64Array.of(8n).buffer) })], { axis: 2, inverse: 1 })))],
  ['CenterCropPad', network([['N', 5, 4]], (b, x) => wide(b, b.op('CenterCropPad', [narrow(b, x), b.ints([2, 7])], { axes: [1, 2] })))],
  ['RoiAlign', network([[2, 2, 6, 5]], (b, x) => {
    const regions = b.constant({ dtype: 'float32', dims: [3, 4], data: new Uint8Array(Float32Array.of(0, 0, 3, 4, 1.2, -1, 4.6, 5.5, 2, 2, 2.5, 2.7).buffer) });
    return wide(b, b.op('RoiAlign', [narrow(b, x), regions, b.ints([0, 1, 0])], { output_height: 2, output_width: 3, sampling_ratio: 2, spatial_scale: 0.9 }));
  })],
  ['GRU', single('GRU', [[3, 'N', 2], [1, 12, 2], [1, 12, 4], [1, 24]], { hidden_size: 4, linear_before_reset: 1 })],
  ['LSTM with hard gates and scaled states', single('LSTM', [[3, 'N', 2], [1, 12, 2], [1, 12, 3]], {
    hidden_size: 3, activations: ['HardSigmoid', 'ScaledTanh', 'affine'], activation_alpha: [0.25, 1.2, 0.7], activation_beta: [0.4, 0.8, 0.1],
  })],
  ['GRU with default parameters of its activations', single('GRU', [[3, 'N', 2], [1, 9, 2], [1, 9, 3]], { hidden_size: 3, activations: ['HardSigmoid', 'Elu'] })],
  ['RNN both ways, one leaky', single('RNN', [[3, 'N', 2], [2, 3, 2], [2, 3, 3]], { hidden_size: 3, direction: 'bidirectional', activations: ['LeakyRelu', 'Softsign'], activation_alpha: [0.3] })],
  ['LSTM both ways', single('LSTM', [[3, 'N', 2], [2, 12, 2], [2, 12, 3], [2, 24]], { hidden_size: 3, direction: 'bidirectional' })],
  ['LSTM with clipped gates, its cell beyond', network([[2, 'N', 2], [1, 12, 2], [1, 12, 3], [1, 'N', 3]], (b, x, w, r, c) =>
    wide(b, b.op('LSTM', [narrow(b, x), narrow(b, w), narrow(b, r), null, null, null, narrow(b, c)], { hidden_size: 3, clip: 0.5 })))],
  ['GRU of sequences of different lengths, backwards', network([[4, 2, 2], [1, 9, 2], [1, 9, 3]], (b, x, w, r) =>
    wide(b, b.op('GRU', [narrow(b, x), narrow(b, w), narrow(b, r), null, b.constant({ dtype: 'int32', dims: [2], data: new Uint8Array(Int32Array.of(2, 4).buffer) })], { hidden_size: 3, direction: 'reverse' })))],
  ['LpNormalization of rows, one of them zero', network([['N', 3]], (b, x) => b.op('LpNormalization', [b.op('Concat', [x, b.op('Mul', [x, b.scalar(0, x)])], { axis: 0 })]))],
  // Mean and inverse deviation are in single precision, whatever is normalised; parameters reach the first output alone.
  ...[[1], [2], [1, 2], [0, 1], [0, 2], [0, 1, 2]].map((outputs) => [`LayerNormalization, outputs ${outputs.join()}`, network([['N', 3, 2, 5], ...(outputs[0] === 0 ? [[2, 5], [2, 5]] : [])], (b, x, ...parameters) => {
    const scales = parameters.length > 0 ? parameters.map((value) => narrow(b, value)) : [b.scalar(1, 'float32')];
    const found = b.ops('LayerNormalization', [narrow(b, x), ...scales], { axis: -2, epsilon: 1e-3 }, 3);
    return wide(b, b.op('Concat', outputs.map((index) => b.op('Flatten', [found[index]!])), { axis: 1 }));
  })] as const),
  ['RNN', single('RNN', [[3, 'N', 2], [1, 3, 2], [1, 3, 3]], { hidden_size: 3, direction: 'reverse' })],
  ['ConvTranspose, input and kernel', single('ConvTranspose', [image, [2, 3, 3, 2], [3]], { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 0], output_padding: [1, 0], dilations: [1, 1], group: 1 })],
];
