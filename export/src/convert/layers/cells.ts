/** Recurrent cells as ONNX recurrent operators: gate order, biases, activations. */
import { UnsupportedError } from '../../errors.js';
import type { Value } from '../../ir/types.js';
import type { Layer, LayerContext } from '../layer-converter.js';

interface CellKind {
  readonly opType: 'RNN' | 'GRU' | 'LSTM';
  /** Position in tfjs's kernel of each gate, in ONNX's order. */
  readonly gates: readonly number[];
  /** Attributes that name the activations, in ONNX's order. */
  readonly activations: readonly string[];
  readonly states: 1 | 2;
}

/** tfjs orders the gates of an LSTM i, f, c, o; ONNX i, o, f, c. Those of a GRU agree: z, r, h. */
const kinds: Readonly<Record<string, CellKind>> = {
  SimpleRNNCell: { opType: 'RNN', gates: [0], activations: ['activation'], states: 1 },
  GRUCell: { opType: 'GRU', gates: [0, 1, 2], activations: ['recurrentActivation', 'activation'], states: 1 },
  LSTMCell: { opType: 'LSTM', gates: [0, 3, 1, 2], activations: ['recurrentActivation', 'activation', 'activation'], states: 2 },
};

/** Name and parameters of an activation inside a recurrent operator. */
const activations: Readonly<Record<string, { readonly name: string; readonly alpha?: number; readonly beta?: number }>> = {
  elu: { name: 'Elu', alpha: 1 },
  hardSigmoid: { name: 'HardSigmoid', alpha: 0.2, beta: 0.5 },
  linear: { name: 'Affine', alpha: 1, beta: 0 },
  relu: { name: 'Relu' },
  sigmoid: { name: 'Sigmoid' },
  softplus: { name: 'Softplus' },
  softsign: { name: 'Softsign' },
  tanh: { name: 'Tanh' },
};

export interface CellOutputs {
  /** [T, N, H], in the order of the input's time steps. */
  readonly sequence: Value;
  /** [N, H] each. */
  readonly states: readonly Value[];
}

/** Runs a cell over x [T, N, I]. @param initial states [N, H] to begin with, none: zeros */
export function runCell(context: LayerContext, cell: Layer, x: Value, direction: 'forward' | 'reverse', initial: readonly Value[]): CellOutputs {
  const { builder, where } = context;
  const kind = Object.hasOwn(kinds, cell.getClassName()) ? kinds[cell.getClassName()]! : undefined;
  if (!kind) throw new UnsupportedError(`${where}: cells of class ${cell.getClassName()} are not supported (supported: ${Object.keys(kinds).join(', ')}).`);
  if (initial.length > 0 && initial.length !== kind.states) throw new UnsupportedError(`${where}: expected ${kind.states} initial states, got ${initial.length}.`);
  const config = cell.getConfig();
  const units = config['units'] as number;
  const inputs = (x.shape?.at(-1) ?? 0) as number;
  const rows = kind.gates.length * units;
  const byGate = (width: number, spare: number) => (data: Float32Array): Float32Array => {
    const result = new Float32Array(data.length + spare);
    const block = units * width;
    kind.gates.forEach((from, to) => result.set(data.subarray(from * block, (from + 1) * block), to * block));
    return result;
  };
  const weights = [
    context.parameter('kernel', [1, 0], { of: cell, shape: [1, rows, inputs], arrange: byGate(inputs, 0) }),
    context.parameter('recurrent_kernel', [1, 0], { of: cell, shape: [1, rows, units], arrange: byGate(units, 0) }),
    // ONNX adds one bias to the input's part and one to the state's: the second is zero.
    config['useBias'] === false ? null : context.parameter('bias', undefined, { of: cell, shape: [1, 2 * rows], arrange: byGate(1, rows) }),
  ];
  const functions = kind.activations.map((key) => activationOf(config[key], key, where));
  const states = initial.map((state) => builder.op('Unsqueeze', [state, builder.ints([0])]));
  const outputs = builder.ops(kind.opType, [x, ...weights, null, ...states], {
    direction, hidden_size: units,
    activations: functions.map(({ name }) => name),
    activation_alpha: functions.flatMap(({ alpha }) => alpha ?? []),
    activation_beta: functions.flatMap(({ beta }) => beta ?? []),
    linear_before_reset: kind.opType === 'GRU' ? 0 : undefined,
  }, kind.states + 1, context.layer.name);
  const [sequence, ...final] = outputs;
  return {
    sequence: builder.op('Squeeze', [sequence!, builder.ints([1])]),
    states: final.map((state) => builder.op('Squeeze', [state, builder.ints([0])])),
  };
}

function activationOf(name: unknown, key: string, where: string): { name: string; alpha?: number; beta?: number } {
  const found = typeof name === 'string' && Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (!found) throw new UnsupportedError(`${where}: ${key} = ${JSON.stringify(name)} is not supported (supported in recurrent layers: ${Object.keys(activations).join(', ')}).`);
  return found;
}
