/** Layers that join several tensors, with tfjs's broadcasting. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { numberOf, type LayerContext, type LayerConverter } from '../layer-converter.js';
import { axisIn, plain, sameLayout, tfjsShape, type Converted } from '../layout.js';

/** Inputs of one rank and layout: tfjs inserts axes of extent 1 after the batch axis where the rank is smaller. */
function aligned(context: LayerContext, inputs: readonly Converted[]): { values: Value[]; layout: Converted['layout'] } {
  const { builder } = context;
  const rank = Math.max(...inputs.map(({ value }) => shapeOf(value).length));
  const firstImage = inputs.some((input) => input.layout === 'channels-first' && shapeOf(input.value).length === rank);
  const raised = inputs.map((input): Converted => {
    const shape = tfjsShape(input);
    const missing = rank - shape.length;
    if (missing === 0) return input;
    const value = plain(builder, input);
    // [N, C] beside an image: [N, C, 1, 1] is its channels-first form, no element moves.
    if (firstImage && shape.length === 2) return { value: unsqueeze(context, value, Array.from({ length: missing }, (_, index) => index + 2)), layout: 'channels-first' };
    return { value: unsqueeze(context, value, Array.from({ length: missing }, (_, index) => index + 1)), layout: 'plain' };
  });
  return sameLayout(context, raised);
}

const unsqueeze = ({ builder }: LayerContext, value: Value, axes: readonly number[]): Value => builder.op('Unsqueeze', [value, builder.ints(axes)]);

const pairwise = (opType: string): LayerConverter => (context, inputs) => {
  const { values, layout } = aligned(context, inputs);
  return { value: values.reduce((a, b) => context.builder.op(opType, [a, b])), layout };
};

const average: LayerConverter = (context, inputs) => {
  const { values, layout } = aligned(context, inputs);
  const sum = values.reduce((a, b) => context.builder.op('Add', [a, b]));
  return { value: context.builder.op('Mul', [sum, context.builder.scalar(1 / values.length, sum)]), layout };
};

const concatenate: LayerConverter = (context, inputs) => {
  const { values, layout } = sameLayout(context, inputs);
  const axis = axisIn({ value: values[0]!, layout }, numberOf(context, 'axis', -1), context.where);
  return { value: context.builder.op('Concat', values, { axis }), layout };
};

/** Batched product of vectors and matrices over one axis of each, as tfjs's batchDot; [N, 1] for two vectors. */
const dot: LayerConverter = (context, inputs) => {
  const { builder, config, where } = context;
  const [a, b] = inputs.map((input) => plain(builder, input));
  if (!a || !b || inputs.length !== 2) throw new UnsupportedError(`${where}: expected two inputs, got ${inputs.length}.`);
  const ranks = [shapeOf(a).length, shapeOf(b).length];
  const given = config['axes'];
  const axes = ranks.map((rank, index) => {
    const axis = (Array.isArray(given) ? given[index] : given) as number;
    return axis < 0 ? axis + rank : axis;
  });
  if (ranks.some((rank) => rank < 2 || rank > 3) || axes.some((axis, index) => !Number.isInteger(axis) || axis < 1 || axis >= ranks[index]!)) {
    throw new UnsupportedError(`${where}: axes = ${JSON.stringify(given)} of inputs of rank ${ranks.join(' and ')} is not supported (supported: axes after the batch axis, ranks 2 and 3).`);
  }
  const [x, y] = [a, b].map((value, index) => (config['normalize'] === true ? unitNorm(context, value, axes[index]!) : value)) as [Value, Value];
  if (ranks[0] === 2 && ranks[1] === 2) return { value: builder.op('ReduceSum', [builder.op('Mul', [x, y]), builder.ints([1])], { keepdims: 1 }), layout: 'plain' };
  // The contracted axis comes last on the left and second to last on the right; a vector is a matrix of one row or column.
  const left = ranks[0] === 2 ? unsqueeze(context, x, [1]) : axes[0] === 2 ? x : builder.op('Transpose', [x], { perm: [0, 2, 1] });
  const right = ranks[1] === 2 ? unsqueeze(context, y, [2]) : axes[1] === 1 ? y : builder.op('Transpose', [y], { perm: [0, 2, 1] });
  const product = builder.op('MatMul', [left, right]);
  const vector = ranks.indexOf(2);
  return { value: vector < 0 ? product : builder.op('Squeeze', [product, builder.ints([vector + 1])]), layout: 'plain' };
};

/** x / √max(Σ x², 1e-7), the constant being tfjs's `epsilon()`. */
function unitNorm({ builder }: LayerContext, x: Value, axis: number): Value {
  const squares = builder.op('ReduceSum', [builder.op('Mul', [x, x]), builder.ints([axis])], { keepdims: 1 });
  return builder.op('Div', [x, builder.op('Sqrt', [builder.op('Max', [squares, builder.scalar(1e-7, x)])])]);
}

export const mergeLayers: Readonly<Record<string, LayerConverter>> = {
  Add: pairwise('Add'),
  Average: average,
  Concatenate: concatenate,
  Dot: dot,
  Maximum: pairwise('Max'),
  Minimum: pairwise('Min'),
  Multiply: pairwise('Mul'),
};
