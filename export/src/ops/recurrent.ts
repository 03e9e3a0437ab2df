/** Recurrent layers: X [T, N, I] → Y [T, directions, N, H] and the final states [directions, N, H]. */
import { GraphError } from '../errors.js';
import type { Node } from '../ir/types.js';
import { inputOf, intOf, sameDtype, showShape, stringOf, type AttributeKind, type Operator, type OutputType } from './operator.js';

const attributes = {
  activation_alpha: 'floats', activation_beta: 'floats', activations: 'strings', clip: 'float', direction: 'string', hidden_size: 'int', layout: 'int',
} as const satisfies Record<string, AttributeKind>;

const recurrent = (gates: number, inputs: [number, number], states: number, extra: Record<string, AttributeKind> = {}): Operator => ({
  inputs,
  attributes: { ...attributes, ...extra },
  infer: (node, where) => types(node, gates, states, where),
});

function types(node: Node, gates: number, states: number, where: string): OutputType[] {
  const dtype = sameDtype(node, [0, 1, 2], where);
  const [x, w, r] = [inputOf(node, 0).shape, inputOf(node, 1).shape, inputOf(node, 2).shape];
  const directions = stringOf(node, 'direction', 'forward') === 'bidirectional' ? 2 : 1;
  const hidden = intOf(node, 'hidden_size', 0) || r?.[2];
  for (const [name, shape] of [['X', x], ['W', w], ['R', r]] as const) {
    if (shape && shape.length !== 3) throw new GraphError(`${where}: ${name} needs three axes, has ${showShape(shape)}.`);
  }
  if (w && r && typeof hidden === 'number') {
    if (w[0] !== directions || w[1] !== gates * hidden || r[0] !== directions || r[1] !== gates * hidden || r[2] !== hidden) {
      throw new GraphError(`${where}: W ${showShape(w)} and R ${showShape(r)} do not belong to ${directions} direction(s) of ${hidden} units.`);
    }
    if (typeof x?.[2] === 'number' && typeof w[2] === 'number' && x[2] !== w[2]) throw new GraphError(`${where}: X ${showShape(x)} does not fit W ${showShape(w)}.`);
  }
  const batchFirst = intOf(node, 'layout', 0) === 1;
  if (!x || hidden === undefined) return Array.from({ length: states + 1 }, () => ({ dtype, shape: undefined }));
  const [steps, batch] = batchFirst ? [x[1]!, x[0]!] : [x[0]!, x[1]!];
  const y = batchFirst ? [batch, steps, directions, hidden] : [steps, directions, batch, hidden];
  const state = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
  return [{ dtype, shape: y }, ...Array.from({ length: states }, () => ({ dtype, shape: state }))];
}

export const recurrentOperators: Readonly<Record<string, Operator>> = {
  RNN: recurrent(1, [3, 6], 1),
  GRU: recurrent(3, [3, 6], 1, { linear_before_reset: 'int' }),
  LSTM: recurrent(4, [3, 8], 2, { input_forget: 'int' }),
};
