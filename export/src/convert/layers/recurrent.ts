/** Recurrent layers and the wrappers that go with them. */
import { UnsupportedError } from '../../errors.js';
import { shapeOf } from '../../ir/builder.js';
import type { Value } from '../../ir/types.js';
import { only, requireConfig, type Layer, type LayerContext, type LayerConverter } from '../layer-converter.js';
import { fixed, plain, type Converted } from '../layout.js';
import { sliceAxis } from '../lowering/reshape.js';
import { runCell } from './cells.js';

/** What tfjs keeps on a recurrent layer. */
interface RecurrentLayer extends Layer {
  readonly cell: Layer & { readonly cells?: readonly Layer[] };
  readonly returnSequences: boolean;
  readonly returnState: boolean;
  readonly goBackwards: boolean;
}

/** [N, T, I] → [T, N, I], whatever the layout. */
function timeFirst({ builder }: LayerContext, { value, layout }: Converted): Value {
  return builder.op('Transpose', [value], { perm: layout === 'plain' ? [1, 0, 2] : [2, 0, 1] });
}

interface RecurrentOutputs {
  /** [T, N, H] in the order of the input's time steps. */
  readonly sequence: Value;
  /** [N, H] after the last step. */
  readonly last: Value;
  readonly states: readonly Value[];
}

function run(context: LayerContext, layer: RecurrentLayer, x: Value, initial: readonly Value[]): RecurrentOutputs {
  if (layer.stateful) throw new UnsupportedError(`${context.where}: stateful = true is not supported (supported: false).`);
  const cells = layer.cell.cells ?? [layer.cell];
  const direction = layer.goBackwards ? 'reverse' : 'forward';
  if (cells.length > 1 && initial.length > 0) throw new UnsupportedError(`${context.where}: initial states of stacked cells are not supported.`);
  let sequence = x;
  const states = cells.map((cell) => {
    const outputs = runCell(context, cell, sequence, direction, initial);
    sequence = outputs.sequence;
    return outputs.states;
  });
  if (cells.length > 1 && layer.returnState) throw new UnsupportedError(`${context.where}: returnState = true is not supported with stacked cells (supported: false).`);
  const [last] = states.at(-1)!;
  return { sequence, last: last!, states: states.flat() };
}

const batchFirst = ({ builder }: LayerContext, sequence: Value): Value => builder.op('Transpose', [sequence], { perm: [1, 0, 2] });
const reversed = ({ builder }: LayerContext, x: Value): Value => sliceAxis(builder, x, 0, fixed(shapeOf(x)[0], 'time') - 1, -(2 ** 31), -1);

const recurrent: LayerConverter = (context, inputs) => {
  const [x, ...initial] = inputs;
  const layer = context.layer as RecurrentLayer;
  const outputs = run(context, layer, timeFirst(context, x!), initial.map((state) => plain(context.builder, state)));
  // A layer that goes backwards returns the sequence in the order in which it made it.
  const value = layer.returnSequences ? batchFirst(context, layer.goBackwards ? reversed(context, outputs.sequence) : outputs.sequence) : outputs.last;
  return [value, ...(layer.returnState ? outputs.states : [])].map((item): Converted => ({ value: item, layout: 'plain' }));
};

const bidirectional: LayerConverter = (context, inputs) => {
  const { builder } = context;
  requireConfig(context, 'mergeMode', ['concat', 'sum', 'ave', 'mul', null]);
  const { forwardLayer, backwardLayer } = context.layer as unknown as { forwardLayer: RecurrentLayer; backwardLayer: RecurrentLayer };
  const [x, ...initial] = inputs;
  const sequence = timeFirst(context, x!);
  const states = initial.map((state) => plain(builder, state));
  const half = states.length / 2;
  const forward = run(context, forwardLayer, sequence, states.slice(0, half));
  const backward = run(context, backwardLayer, sequence, states.slice(half));
  // tfjs reverses the second sequence: both are in the order of the input then, or both in the opposite one.
  const side = (outputs: RecurrentOutputs): Value => {
    if (!forwardLayer.returnSequences) return outputs.last;
    return batchFirst(context, forwardLayer.goBackwards ? reversed(context, outputs.sequence) : outputs.sequence);
  };
  const merged = merge(context, side(forward), side(backward));
  return [...merged, ...(forwardLayer.returnState ? [...forward.states, ...backward.states] : [])].map((value): Converted => ({ value, layout: 'plain' }));
};

function merge({ builder, config }: LayerContext, a: Value, b: Value): Value[] {
  switch (config['mergeMode']) {
    case 'sum': return [builder.op('Add', [a, b])];
    case 'mul': return [builder.op('Mul', [a, b])];
    case 'ave': return [builder.op('Mul', [builder.op('Add', [a, b]), builder.scalar(0.5, a)])];
    case null: return [a, b];
    default: return [builder.op('Concat', [a, b], { axis: shapeOf(a).length - 1 })];
  }
}

/** The inner layer on all time steps at once: [N, T, …] as [N · T, …]. */
const timeDistributed: LayerConverter = (context, inputs) => {
  const { builder, where } = context;
  const inner = (context.layer as unknown as { layer: Layer }).layer;
  if (inner.getClassName() === 'Dense') return context.apply(inner, inputs);
  const x = plain(builder, only(context, inputs));
  const [batch, steps, ...rest] = shapeOf(x);
  const time = fixed(steps, where);
  const extents = rest.map((extent) => fixed(extent, where));
  const flat = builder.op('Reshape', [x, builder.ints([-1, ...extents])]);
  flat.shape = [typeof batch === 'number' ? batch * time : `${String(batch)}*${time}`, ...extents];
  const outputs = context.apply(inner, [{ value: flat, layout: 'plain' }]);
  if (outputs.length !== 1) throw new UnsupportedError(`${where}: inner layers with ${outputs.length} outputs are not supported.`);
  const made = plain(builder, outputs[0]!);
  const shape = shapeOf(made).slice(1).map((extent) => fixed(extent, where));
  const value = builder.op('Reshape', [made, builder.ints([-1, time, ...shape])]);
  value.shape = [batch!, time, ...shape];
  return { value, layout: 'plain' };
};

export const recurrentLayers: Readonly<Record<string, LayerConverter>> = {
  Bidirectional: bidirectional,
  GRU: recurrent,
  LSTM: recurrent,
  RNN: recurrent,
  SimpleRNN: recurrent,
  TimeDistributed: timeDistributed,
};

