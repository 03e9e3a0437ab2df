/** Reductions, matrix products and image operators of GraphModels. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import { int64 } from '../../ir/constant.js';
import { dataTypeCodes, type Value } from '../../ir/types.js';
import { axisIn, channelsFirst, plain, type Converted } from '../layout.js';
import { layerNormalization } from '../lowering/normalization.js';
import { resize, type Interpolation } from '../lowering/resize.js';
import { fusedActivation } from './elementwise.js';
import { computed, converted, input, integers, productOf, shapeOfTensor, valueTensor, type GraphTensor, type NodeContext, type NodeConverter } from './graph-tensor.js';

/** The axes that a reduction names, all of them where it names none; as axes of the value. */
function axesOf(context: NodeContext, inputs: readonly GraphTensor[], x: Converted): number[] {
  const given = inputs[1] ? integers(context, inputs, 1, 'axes') : [];
  const axes = inputs[1] ? given : shapeOf(x.value).map((_, axis) => axis);
  return axes.map((axis) => axisIn(x, axis, context.where)).sort((a, b) => a - b);
}

const reduction = (opType: string): NodeConverter => (context, inputs) => {
  const { builder } = context;
  const tensor = input(context, inputs, 0);
  if (tensor.kind === 'extents' && opType === 'ReduceProd') {
    return productOf(context, tensor.content);
  }
  const x = computed(context, inputs);
  const axes = axesOf(context, inputs, x);
  const keep = context.attributes.bool('keep_dims') || context.attributes.bool('keepdims');
  const rank = shapeOf(x.value).length;
  if (axes.length === 0) return converted(x);
  const spatial = x.layout === 'channels-first' && rank >= 4 && axes.length === rank - 2 && axes.every((axis) => axis >= 2);
  if (spatial && (opType === 'ReduceMean' || opType === 'ReduceMax')) {
    const pooled = builder.op(opType === 'ReduceMean' ? 'GlobalAveragePool' : 'GlobalMaxPool', [x.value]);
    if (keep) return valueTensor(pooled, 'channels-first');
    return valueTensor(builder.op('Reshape', [pooled, builder.ints([-1, shapeOf(pooled)[1] as number])]));
  }
  if (keep) return valueTensor(builder.op(opType, [x.value, builder.ints(axes)], { keepdims: 1 }), x.layout);
  // Without the batch axis the layouts would lose their meaning.
  const source: Converted = axes.includes(0) ? { value: plain(builder, x), layout: 'plain' } : x;
  const value = builder.op(opType, [source.value, builder.ints(axesOf(context, inputs, source))], { keepdims: 0 });
  const imageStays = source.layout === 'channels-first' && !axes.includes(1) && shapeOf(value).length >= 3;
  return valueTensor(value, imageStays ? 'channels-first' : 'plain');
};

/** Of booleans, which ONNX's reductions take from opset 20 on only. */
const logical = (opType: string): NodeConverter => (context, inputs) => {
  const cast = (x: Converted, code: number): GraphTensor => valueTensor(context.builder.op('Cast', [x.value], { to: code }), x.layout);
  const reduced = reduction(opType)(context, [cast(computed(context, inputs), dataTypeCodes.int32), ...inputs.slice(1)]);
  return cast(computed(context, [reduced as GraphTensor]), dataTypeCodes.bool);
};

const cumulative: NodeConverter = (context, inputs) => {
  const { builder, attributes } = context;
  const x = computed(context, inputs);
  const [axis] = integers(context, inputs, 1, 'axis');
  const at = builder.constant(int64([axisIn(x, axis!, context.where)], []), 'axis');
  return valueTensor(builder.op('CumSum', [x.value, at], { exclusive: attributes.bool('exclusive') ? 1 : 0, reverse: attributes.bool('reverse') ? 1 : 0 }), x.layout);
};

const einsum: NodeConverter = (context, inputs) => {
  const operands = inputs.map((_, index) => plain(context.builder, computed(context, inputs, index)));
  return valueTensor(context.builder.op('Einsum', operands, { equation: context.attributes.string('equation') }, context.name));
};

/** Of a LayerNormalization that TensorFlow's optimizer has found. */
const layerNorm: NodeConverter = (context, inputs) => {
  const x = plain(context.builder, computed(context, inputs));
  const parameter = (index: number): Value => plain(context.builder, computed(context, inputs, index));
  return valueTensor(layerNormalization(context.builder, x, [shapeOf(x).length - 1], { scale: parameter(1), offset: parameter(2), epsilon: context.attributes.float('epsilon', 1e-3) }, context.name));
};

const largest: NodeConverter = (context, inputs) => {
  const { builder } = context;
  const [count] = integers(context, inputs, 1, 'number');
  const [values, indices] = builder.ops('TopK', [plain(builder, computed(context, inputs)), builder.ints([count!])], { axis: -1 }, 2);
  return [valueTensor(values!), valueTensor(builder.op('Cast', [indices!], { to: dataTypeCodes.int32 }))];
};

const argMax = (opType: string): NodeConverter => (context, inputs) => {
  const { builder } = context;
  const x = computed(context, inputs);
  const [axis] = inputs[1] ? integers(context, inputs, 1, 'axis') : [0];
  const value = builder.op(opType, [plain(builder, x)], { axis: axis! < 0 ? axis! + shapeOf(x.value).length : axis!, keepdims: 0 });
  return valueTensor(builder.op('Cast', [value], { to: 6 }));
};

/** [N, K] · [K, M], with bias and activation where they are fused; transposed weights are stored the right way round. */
const matMul: NodeConverter = (context, inputs) => {
  const { builder, attributes } = context;
  const [a, b] = [input(context, inputs, 0), input(context, inputs, 1)];
  const transposed = (name: string): boolean => attributes.bool(name);
  const left = plain(builder, computed(context, inputs));
  const turnsRight = transposed('transpose_b');
  const right = b.kind === 'constant' ? context.store(b, turnsRight ? [1, 0] : undefined) : plain(builder, computed(context, inputs, 1));
  const { bias, activate } = fusedActivation(context, inputs);
  if (shapeOfTensor(a).length !== 2 || shapeOfTensor(b).length !== 2) throw new UnsupportedError(`${context.where}: needs matrices, got ranks ${shapeOfTensor(a).length} and ${shapeOfTensor(b).length}.`);
  const value = builder.op('Gemm', [left, right, bias], {
    transA: transposed('transpose_a') ? 1 : undefined, transB: turnsRight && b.kind !== 'constant' ? 1 : undefined,
  }, context.name);
  return valueTensor(activate(value, 'plain'));
};

const batchMatMul: NodeConverter = (context, inputs) => {
  const { builder, attributes } = context;
  const turn = (index: number, name: string): Value => {
    const x = plain(builder, computed(context, inputs, index));
    const rank = shapeOf(x).length;
    const order = [...shapeOf(x).keys()];
    return attributes.bool(name) ? builder.op('Transpose', [x], { perm: [...order.slice(0, -2), rank - 1, rank - 2] }) : x;
  };
  return valueTensor(builder.op('MatMul', [turn(0, 'adj_x'), turn(1, 'adj_y')]));
};

const resizing = (interpolation: Interpolation): NodeConverter => (context, inputs) => {
  const { attributes, builder } = context;
  const grid = attributes.bool('align_corners') ? 'align-corners' : attributes.bool('half_pixel_centers') ? 'half-pixel' : 'asymmetric';
  const x = channelsFirst(context, computed(context, inputs));
  return valueTensor(resize(builder, x, integers(context, inputs, 1, 'size'), { interpolation, grid }, context.where), 'channels-first');
};

const blocks = (opType: 'DepthToSpace' | 'SpaceToDepth'): NodeConverter => (context, inputs) => {
  const { attributes, builder } = context;
  const format = attributes.string('data_format', 'NHWC') || 'NHWC';
  if (format !== 'NHWC') attributes.refuse('data_format', format, '"NHWC"');
  const x = channelsFirst(context, computed(context, inputs));
  return valueTensor(builder.op(opType, [x], { blocksize: attributes.int('block_size'), mode: opType === 'DepthToSpace' ? 'DCR' : undefined }), 'channels-first');
};

export const computingNodes: Readonly<Record<string, NodeConverter>> = {
  ArgMax: argMax('ArgMax'), ArgMin: argMax('ArgMin'),
  All: logical('ReduceMin'), Any: logical('ReduceMax'),
  BatchMatMul: batchMatMul, BatchMatMulV2: batchMatMul,
  Cumsum: cumulative,
  Einsum: einsum,
  EuclideanNorm: reduction('ReduceL2'),
  DepthToSpace: blocks('DepthToSpace'), SpaceToDepth: blocks('SpaceToDepth'),
  MatMul: matMul, _FusedMatMul: matMul, FusedMatMul: matMul,
  Max: reduction('ReduceMax'), Mean: reduction('ReduceMean'), Min: reduction('ReduceMin'), Prod: reduction('ReduceProd'), Sum: reduction('ReduceSum'),
  TopKV2: largest,
  _MklLayerNorm: layerNorm,
  ResizeBilinear: resizing('bilinear'), ResizeNearestNeighbor: resizing('nearest'),
};

