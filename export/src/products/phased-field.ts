/**
 * A field for engines on a CPU, for networks whose first layer is followed by strided convolutions alone, as the digits'
 * network. On the way back, the gradient of the first layer's output then stays in phases (every second row, every second
 * column, as channels of their own), where strided convolutions leave it, until it is the gradient of x and small.
 */
import type { Pairing } from '@ratioflow/sdk';
import { UnsupportedError } from '../errors.js';
import { backpropagate, sumOfParts } from '../gradient/backpropagate.js';
import { attributesOf } from '../gradient/rule.js';
import { adjointInPhases, channelBlock, mostImageChannels, pickTaps } from '../gradient/rules/convolution.js';
import { shapeOf, type GraphBuilder } from '../ir/builder.js';
import { hasGraph } from '../ir/model.js';
import type { Node, Value } from '../ir/types.js';
import { windowOf, type Window } from '../ops/convolution.js';
import { intOf } from '../ops/operator.js';
import { shareAdjoints } from './common-adjoints.js';
import { applyEstimator, type Estimator } from './estimator.js';
import { rewrittenField, tried, type Field } from './field.js';
import { logRatio, negativePotentialSlope } from './flow.js';

/** Operators of one operand that treat every element alike. */
const elementwise = new Set(['LeakyRelu', 'Relu', 'Elu', 'Sigmoid', 'Tanh', 'Softplus', 'Identity']);

/** The field of FDRL with the gradient of the first layer in phases; undefined for a network that does not begin like this. */
export function phasedField(estimator: Estimator, pairing: Pairing): Field | undefined {
  const field = rewrittenField({
    sampleShape: estimator.sampleShape,
    inputs: [],
    evaluate: (builder, x) => {
      const start = builder.graph.nodes.length;
      const n = applyEstimator(builder, estimator, x);
      const beginning = beginningOf(builder, builder.graph.nodes.slice(start), x);
      if (!beginning) throw new UnsupportedError('The network does not begin with a layer that only convolutions of stride 2 read.');
      const { first, between, strided } = beginning;
      const slopes = backpropagate(builder, [[n, negativePotentialSlope(builder, pairing, n)]], strided.map(({ outputs: [output] }) => output!), { phases: 'apart' });
      // The same once more in phases, for its adjoint: what is computed forwards is the original.
      const phases = phasesOfConvolution(builder, first).map((phase) => between.reduce((value, node) => builder.op(node.opType, [value], attributesOf(node)), phase));
      const parts = sumOfParts(builder, strided.map((node, i) => phasesOfAdjoint(builder, node, slopes[i]!)));
      const [drift] = backpropagate(builder, parts.flatMap((part, i) => (part ? [[phases[i]!, part] as const] : [])), [x]);
      return { drift: drift!, logRatio: logRatio(builder, pairing, n) };
    },
  }, shareAdjoints);
  // Whether the gradient reaches each of the convolutions is seen only when it is tried.
  try {
    tried(field);
    return field;
  } catch (error) {
    if (error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

interface Beginning {
  /** The first layer. */
  readonly first: Node;
  /** Elementwise operators after it, one after the other. */
  readonly between: readonly Node[];
  /** The convolutions of stride 2 that read the last of them; nothing else does. Their kernels, too, are constants. */
  readonly strided: readonly Node[];
}

function beginningOf(builder: GraphBuilder, nodes: readonly Node[], x: Value): Beginning | undefined {
  if (nodes.some(hasGraph)) return undefined;
  const readersOf = (value: Value): Node[] => nodes.filter(({ inputs }) => inputs.includes(value));
  const [first, ...others] = readersOf(x);
  if (!first || others.length > 0 || !isFirst(first)) return undefined;
  const between: Node[] = [];
  let end = first.outputs[0]!;
  let strided = readersOf(end);
  while (strided.length === 1 && elementwise.has(strided[0]!.opType)) {
    between.push(strided[0]!);
    end = strided[0]!.outputs[0]!;
    strided = readersOf(end);
  }
  const fits = strided.length > 0 && strided.every(isStrided) && [first, ...strided].every((node) => node.inputs.slice(1).every((value) => !value || builder.constantOf(value)));
  return fits ? { first, between, strided } : undefined;
}

/** The window of a convolution of one group, without dilation. */
function plainWindow(node: Node): Window | undefined {
  const [x, kernel] = node.inputs;
  if (node.opType !== 'Conv' || x?.shape?.length !== 4 || !kernel?.shape?.every((extent) => typeof extent === 'number')) return undefined;
  const window = windowOf(node, kernel.shape.slice(2), x.shape.slice(2), node.name);
  return intOf(node, 'group', 1) === 1 && window.dilations.every((dilation) => dilation === 1) ? window : undefined;
}

function isFirst(node: Node): boolean {
  if (!plainWindow(node)?.strides.every((stride) => stride === 1)) return false;
  const [outputs, inputs] = shapeOf(node.inputs[1]!) as number[];
  // With few channels in x four times the outputs cost little.
  return inputs! <= mostImageChannels && outputs! % channelBlock === 0 && shapeOf(node.outputs[0]!).slice(2).every((extent) => typeof extent === 'number' && extent % 2 === 0);
}

function isStrided(node: Node): boolean {
  const window = plainWindow(node);
  return !!window && window.strides.every((stride) => stride === 2);
}

/** What flows back through a convolution of stride 2 to the phases of its input. */
const phasesOfAdjoint = (builder: GraphBuilder, node: Node, gradient: Value): (Value | null)[] =>
  adjointInPhases(builder, gradient, node.inputs[1]!, plainWindow(node)!, shapeOf(node.inputs[0]!).slice(2) as number[]);

/** The phases of a convolution of stride 1, [N, O, H / 2, W / 2] each, in the order of (row, column). */
function phasesOfConvolution(builder: GraphBuilder, node: Node): Value[] {
  const [x, kernel, bias] = node.inputs as [Value, Value, Value?];
  const window = plainWindow(node)!;
  const [rows, columns] = [0, 1].map((axis) => [0, 1].map((phase) => phaseAlong(window, axis, phase))) as [PhaseAlong[], PhaseAlong[]];
  return rows.flatMap((row) => columns.map((column) => builder.op('Conv', [x, pickTaps(builder, kernel, row.taps, column.taps), ...(bias ? [bias] : [])], {
    kernel_shape: [row.taps.length, column.taps.length], strides: [2, 2], dilations: [1, 1], group: 1, pads: [row.begin, column.begin, row.end, column.end],
  })));
}

interface PhaseAlong { readonly taps: readonly number[]; readonly begin: number; readonly end: number }

/** One axis of every second output of a convolution of stride 1, from `phase` on: the output 2 m + phase meets tap κ at input 2 m + phase + κ − begin. */
function phaseAlong({ kernel, begin, end }: Window, axis: number, phase: number): PhaseAlong {
  const [extent, start] = [kernel[axis]!, phase - begin[axis]!];
  // Padding is never negative: the window begins with zeros then.
  const taps = [...Array.from({ length: Math.max(0, start) }, () => extent), ...Array.from({ length: extent }, (_, tap) => tap)];
  return { taps, begin: Math.max(0, -start), end: Math.max(0, end[axis]! - 1 + phase) };
}
