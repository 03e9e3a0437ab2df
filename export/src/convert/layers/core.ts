/** Dense and Embedding layers, layers that only move elements, and layers that do nothing at inference. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import { int64 } from '../../ir/constant.js';
import { activated, numberOf, only, requireConfig, type LayerContext, type LayerConverter } from '../layer-converter.js';
import { fixed, plain, tfjsShape, type Converted } from '../layout.js';
import { permute, reshape } from '../lowering/reshape.js';

/** A matrix product over the last axis; on a tensor with channels first, a convolution with a kernel of extent 1. */
const dense: LayerConverter = (context, inputs) => {
  const { builder } = context;
  const x = only(context, inputs);
  const rank = shapeOf(x.value).length;
  const bias = context.config['useBias'] === false ? null : context.parameter('bias');
  if (x.layout === 'channels-first') {
    const ones = Array.from({ length: rank - 2 }, () => 1);
    const channels = fixed(shapeOf(x.value)[1], context.where);
    const kernel = context.parameter('kernel', [1, 0], { shape: [numberOf(context, 'units'), channels, ...ones] });
    const value = builder.op('Conv', [x.value, kernel, bias], {
      kernel_shape: ones, strides: ones, dilations: ones, group: 1, pads: [...ones, ...ones].map(() => 0),
    }, context.layer.name);
    return activated(context, { value, layout: 'channels-first' });
  }
  const kernel = context.parameter('kernel');
  if (rank === 2) return activated(context, { value: builder.op('Gemm', [x.value, kernel, bias], {}, context.layer.name), layout: 'plain' });
  const product = builder.op('MatMul', [x.value, kernel], {}, context.layer.name);
  return activated(context, { value: bias ? builder.op('Add', [product, bias]) : product, layout: 'plain' });
};

/** Rows of a table; indices that arrive as floating-point numbers lose their fraction. */
const embedding: LayerConverter = (context, inputs) => {
  const { builder } = context;
  const x = plain(builder, only(context, inputs));
  const indices = x.dtype === 'int32' || x.dtype === 'int64' ? x : builder.op('Cast', [x], { to: 6 });
  return { value: builder.op('Gather', [context.parameter('embeddings'), indices], { axis: 0 }), layout: 'plain' };
};

const flatten: LayerConverter = (context, inputs) => {
  requireConfig(context, 'dataFormat', ['channelsLast', 'channelsFirst', null]);
  const x = only(context, inputs);
  // tfjs moves the channels of a channels-first tensor to the end before it flattens.
  const rank = shapeOf(x.value).length;
  const ordered = context.config['dataFormat'] === 'channelsFirst' ? permute(context.builder, x, [0, ...Array.from({ length: rank - 2 }, (_, axis) => axis + 2), 1]) : x;
  return reshape(context.builder, ordered, [-1], context.where);
};

const reshapeLayer: LayerConverter = (context, inputs) => {
  const target = (context.config['targetShape'] as (number | null)[]).map((dim) => dim ?? -1);
  return reshape(context.builder, only(context, inputs), target, context.where);
};

const permuteLayer: LayerConverter = (context, inputs) => permute(context.builder, only(context, inputs), [0, ...(context.config['dims'] as number[])]);

/** [N, C] → [N, n, C]. */
const repeatVector: LayerConverter = (context, inputs) => {
  const { builder } = context;
  const x = plain(builder, only(context, inputs));
  const column = builder.op('Unsqueeze', [x, builder.ints([1])]);
  return { value: builder.op('Expand', [column, builder.ints([1, numberOf(context, 'n'), 1])]), layout: 'plain' };
};

/** Time steps whose elements all equal `maskValue` become zero. The mask itself goes no further (see refuseMasks). */
const masking: LayerConverter = (context, inputs) => {
  const { builder } = context;
  const x = only(context, inputs);
  if (x.value.dtype !== 'float32') throw new UnsupportedError(`${context.where}: an input of type ${String(x.value.dtype)} is not supported.`);
  const differs = builder.op('Cast', [builder.op('Not', [builder.op('Equal', [x.value, builder.scalar(numberOf(context, 'maskValue', 0), x.value)])])], { to: 1 });
  const axis = x.layout === 'plain' ? tfjsShape(x).length - 1 : 1;
  return { value: builder.op('Mul', [x.value, builder.op('ReduceMax', [differs, builder.ints([axis])], { keepdims: 1 })]), layout: x.layout };
};

/** Which of `numTokens` categories a row of integers names, or how often. tfjs refuses others at run time; here they count for nothing. */
const categoryEncoding: LayerConverter = (context, inputs) => {
  const { builder, where } = context;
  requireConfig(context, 'outputMode', ['multiHot', 'oneHot', 'count']);
  const x = plain(builder, only(context, inputs));
  const mode = context.config['outputMode'];
  const shape = shapeOf(x);
  if (shape.length !== 2 || (mode === 'oneHot' && shape[1] !== 1)) {
    throw new UnsupportedError(`${where}: inputs of shape [${shape.join(', ')}] are not supported with outputMode = ${JSON.stringify(mode)} (supported: [N, ${mode === 'oneHot' ? '1' : 'L'}]).`);
  }
  const tokens = builder.constant(int64(Array.from({ length: numberOf(context, 'numTokens') }, (_, token) => token)), 'tokens');
  const indices = builder.op('Cast', [x], { to: 7 });
  const hits = builder.op('Cast', [builder.op('Equal', [builder.op('Unsqueeze', [indices, builder.ints([2])]), tokens])], { to: 1 });
  return { value: builder.op(mode === 'count' ? 'ReduceSum' : 'ReduceMax', [hits, builder.ints([1])], { keepdims: 0 }), layout: 'plain' };
};

const identity = (context: LayerContext, inputs: readonly Converted[]): Converted => only(context, inputs);

export const coreLayers: Readonly<Record<string, LayerConverter>> = {
  CategoryEncoding: categoryEncoding,
  Dense: dense,
  Embedding: embedding,
  Flatten: flatten,
  Masking: masking,
  Permute: permuteLayer,
  RepeatVector: repeatVector,
  Reshape: reshapeLayer,
  // Identities when a network predicts.
  AlphaDropout: identity,
  Dropout: identity,
  GaussianDropout: identity,
  GaussianNoise: identity,
  SpatialDropout1D: identity,
};
