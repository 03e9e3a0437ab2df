/** Attention and what belongs to it (opset 23), and the losses that PyTorch's exporters write as one operator. */
import type { Node } from '../ir/types.js';
import { inputOf, intOf, stringOf, type Operator, type OutputType } from './operator.js';
import { product, quotient, sum, type MaybeDim } from './symbolic.js';

const likeFirst = (inputs: [number, number], attributes: Operator['attributes']): Operator => ({
  inputs, attributes, infer: (node) => [{ dtype: inputOf(node, 0).dtype, shape: inputOf(node, 0).shape }],
});

const loss = (outputs: 1 | 2): Operator => ({
  inputs: [2, 3],
  attributes: { ignore_index: 'int', reduction: 'string' },
  infer: (node) => {
    const x = inputOf(node, 0);
    const shape = stringOf(node, 'reduction', 'mean') === 'none' ? x.shape?.filter((_, axis) => axis !== 1) : [];
    return [{ dtype: x.dtype, shape }, { dtype: x.dtype, shape: x.shape }].slice(0, outputs);
  },
});

/** The output in the shape of `like`, but for the width, and the state. */
const withState = (attributes: Operator['attributes'], inputs: [number, number], state: (node: Node) => OutputType, width: (node: Node) => MaybeDim): Operator => ({
  inputs, attributes,
  infer: (node) => {
    const { dtype, shape } = inputOf(node, 0);
    return [{ dtype, shape: shape?.length === 3 ? [shape[0], shape[1], width(node)] : undefined }, state(node)];
  },
});

export const attentionOperators: Readonly<Record<string, Operator>> = {
  Attention: {
    inputs: [3, 7],
    attributes: {
      is_causal: 'int', kv_num_heads: 'int', q_num_heads: 'int', qk_matmul_output_mode: 'int', scale: 'float', softcap: 'float', softmax_precision: 'int',
      left_window_size: 'int', right_window_size: 'int',
    },
    infer: (node) => {
      const [q, k, v] = [inputOf(node, 0), inputOf(node, 1), inputOf(node, 2)];
      const unknown: OutputType = { dtype: q.dtype, shape: undefined };
      if (!q.shape || !k.shape || !v.shape) return [unknown, unknown, unknown, unknown];
      const flat = q.shape.length === 3;
      const [heads, kvHeads] = flat ? [intOf(node, 'q_num_heads', 1), intOf(node, 'kv_num_heads', 1)] : [q.shape[1]!, k.shape[1]!];
      const width = (dim: MaybeDim, count: MaybeDim): MaybeDim => (flat ? (typeof dim === 'number' && typeof count === 'number' ? dim / count : undefined) : dim);
      const [batch, rows] = [q.shape[0], flat ? q.shape[1] : q.shape[2]];
      const past = node.inputs[4];
      const columns = sum(flat ? k.shape[1] : k.shape[2], past ? past.shape?.[2] : 0);
      const depth = width(v.shape.at(-1), kvHeads);
      const present = (dim: MaybeDim): OutputType => ({ dtype: q.dtype, shape: [batch, kvHeads, columns, dim] });
      return [
        { dtype: q.dtype, shape: flat ? [batch, rows, product([heads, depth])] : [batch, heads, rows, depth] },
        present(width(k.shape.at(-1), kvHeads)), present(depth),
        { dtype: q.dtype, shape: [batch, heads, rows, columns] },
      ];
    },
  },
  RotaryEmbedding: likeFirst([3, 4], { interleaved: 'int', num_heads: 'int', rotary_embedding_dim: 'int' }),
  LinearAttention: withState({ chunk_size: 'int', kv_num_heads: 'int', q_num_heads: 'int', scale: 'float', update_rule: 'string' }, [3, 6], (node) => {
    const [q, v, past] = [inputOf(node, 0), inputOf(node, 2), node.inputs[3]];
    const count = intOf(node, 'kv_num_heads', 1);
    const shape = past?.shape ?? (q.shape && v.shape && [q.shape[0], count, quotient(q.shape[2], intOf(node, 'q_num_heads', 1)), quotient(v.shape[2], count)]);
    return { dtype: past?.dtype ?? q.dtype, shape };
  }, (node) => product([quotient(inputOf(node, 2).shape?.[2], intOf(node, 'kv_num_heads', 1)), intOf(node, 'q_num_heads', 1)])),
  CausalConvWithState: withState({ activation: 'string' }, [2, 4], (node) => {
    const [{ dtype, shape }, weight] = [inputOf(node, 0), inputOf(node, 1)];
    return { dtype, shape: shape && [shape[0], shape[1], sum(weight.shape?.[2], 1, -1)] };
  }, (node) => inputOf(node, 0).shape?.[2]),
  NegativeLogLikelihoodLoss: loss(1),
  SoftmaxCrossEntropyLoss: loss(2),
};
