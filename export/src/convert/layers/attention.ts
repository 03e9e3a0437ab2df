/**
 * Attention of tfjs's nlp layers, which users import from the package's folder. tfjs runs MultiHeadAttention by its `call`
 * alone, so custom layers hold it: their converters hand it on by `apply(layer, [query, value, key?])`.
 */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import { float32 } from '../../ir/constant.js';
import type { Value } from '../../ir/types.js';
import { activated, numberOf, only, requireConfig, type Layer, type LayerContext, type LayerConverter } from '../layer-converter.js';
import { fixed, plain, range, type Converted } from '../layout.js';
import { softmaxOver } from '../lowering/activations.js';

/** What tfjs keeps on the layer once it has seen its inputs. */
interface AttentionLayer extends Layer {
  readonly queryDense?: Layer;
  readonly keyDense: Layer;
  readonly valueDense: Layer;
  readonly outputDense: Layer;
  readonly attentionAxes: readonly number[];
  readonly dotProductEquation: string;
  readonly combineEquation: string;
}

/** What a masked position's score is lowered by, as in tfjs. */
const masked = -1e9;

/** A product of the input and a kernel by an equation, and a bias that broadcasts. */
const einsumDense: LayerConverter = (context, inputs) => {
  const { builder, config } = context;
  const x = plain(builder, only(context, inputs));
  const product = builder.op('Einsum', [x, context.parameter('kernel')], { equation: config['equation'] as string }, context.layer.name);
  const value = config['biasAxes'] == null ? product : builder.op('Add', [product, context.parameter('bias')]);
  return activated(context, { value, layout: 'plain' });
};

/** softmax(K · Q / √keyDim) V per head over the attention axes, between projections of query, key, value and the result. */
const multiHeadAttention: LayerConverter = (context, inputs) => {
  const { builder, where } = context;
  const layer = context.layer as AttentionLayer;
  if (!layer.queryDense) throw new UnsupportedError(`${where}: has no weights yet; call it on tensors, or its buildFromSignature, before converting.`);
  requireConfig({ ...context, config: context.callArgs }, 'attentionMask', [undefined, null]);
  const [query, values, keys = values] = inputs;
  if (!query || !values || !keys || inputs.length > 3) throw new UnsupportedError(`${where}: expected query, value and perhaps key, got ${inputs.length} inputs.`);
  const project = (dense: Layer, x: Converted): Value => plain(builder, context.apply(dense, [x])[0]!);

  const scale = builder.scalar(1 / Math.sqrt(numberOf(context, 'keyDim')), query.value);
  const q = builder.op('Mul', [project(layer.queryDense, query), scale]);
  const k = project(layer.keyDense, keys);
  const v = project(layer.valueDense, values);
  const scores = builder.op('Einsum', [k, q], { equation: layer.dotProductEquation });
  const seen = context.callArgs['useCausalMask'] === true ? builder.op('Add', [scores, causalMask(context, layer, q, k)]) : scores;
  const rank = shapeOf(seen).length;
  const weights = softmaxOver(builder, seen, range(rank - layer.attentionAxes.length, rank));
  const combined = builder.op('Einsum', [weights, v], { equation: layer.combineEquation });
  return context.apply(layer.outputDense, [{ value: combined, layout: 'plain' }]);
};

/** [1, 1, T, S]: 0 where step t may look at step s ≤ t, −1e9 beyond. */
function causalMask({ builder, where }: LayerContext, { attentionAxes }: AttentionLayer, q: Value, k: Value): Value {
  if (attentionAxes.length !== 1 || attentionAxes[0] !== 1 || shapeOf(q).length !== 4) {
    throw new UnsupportedError(`${where}: useCausalMask = true with attentionAxes = ${JSON.stringify(attentionAxes)} is not supported (supported: sequences [N, T, C]).`);
  }
  const [rows, columns] = [q, k].map((value) => fixed(shapeOf(value)[1], where, 'a causal mask')) as [number, number];
  const mask = Float32Array.from({ length: rows * columns }, (_, at) => (at % columns > Math.floor(at / columns) ? masked : 0));
  return builder.constant(float32(mask, [1, 1, rows, columns]), 'causal_mask');
}

export const attentionLayers: Readonly<Record<string, LayerConverter>> = {
  EinsumDense: einsumDense,
  MultiHeadAttention: multiHeadAttention,
};
