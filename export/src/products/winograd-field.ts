/**
 * A field for engines on a CPU: large 3×3 convolutions and their adjoints by Winograd's algorithm, with channels last between
 * them. Other engines have algorithms of their own and are served better by `Conv` (docs/lowerings.md has the measurements).
 */
import { attributesOf } from '../gradient/rule.js';
import { shapeOf, type GraphBuilder } from '../ir/builder.js';
import { hasGraph } from '../ir/model.js';
import type { Node, Shape, Value } from '../ir/types.js';
import { windowOf, type Window } from '../ops/convolution.js';
import { intOf } from '../ops/operator.js';
import { rewrittenField, tried, type Field } from './field.js';
import { isCovered, isTiled, winogradConvolution } from './winograd.js';

/**
 * Where the algorithm is faster than an engine's own: below some channels and outputs, moving the tiles costs more than the products that
 * they save; beyond some extent, the transforms' zeros cost too much.
 * @param channels the fewer of inputs and outputs
 */
export type WinogradGain = (channels: number, rows: number, columns: number) => boolean;

/** Measured on ONNX Runtime's CPU provider. */
const onProcessors: WinogradGain = (channels, rows, columns) =>
  channels >= 128 && rows * columns >= 16 ** 2 && Math.max(rows, columns) <= 32 && isCovered(rows) && isCovered(columns);

/** Operators that treat every element alike, whatever the order of the axes. */
const elementwise = new Set(['Add', 'Sub', 'Mul', 'Div', 'Neg', 'Clip', 'Relu', 'LeakyRelu', 'Elu', 'Sigmoid', 'Tanh', 'Softplus', 'Exp', 'Identity', 'Max', 'Min', 'Sum', 'Abs', 'Sqrt', 'Erf', 'HardSigmoid']);

/** The same field, computed in another way; undefined where no convolution is worth it. */
export function winogradField(field: Field, gains: WinogradGain = onProcessors): Field | undefined {
  const { nodes } = tried(field).builder.graph;
  if (!nodes.some((node) => tiledWindow(node, gains)) || nodes.some(hasGraph)) return undefined;
  return rewrittenField(field, (builder, added) => rewrite(builder, added, gains));
}

/** The window of a convolution that Winograd's algorithm makes faster. */
function tiledWindow(node: Node, gains: WinogradGain): Window | undefined {
  const [x, kernel] = node.inputs;
  const extents = node.outputs[0]?.shape?.slice(2);
  if (node.opType !== 'Conv' || x?.dtype !== 'float32' || x.shape?.length !== 4 || !extents || !isStatic(kernel?.shape) || intOf(node, 'group', 1) !== 1) return undefined;
  const [input, output] = [x.shape.slice(2), extents];
  if (!isStatic(input) || !isStatic(output)) return undefined;
  const window = windowOf(node, kernel.shape.slice(2), input, node.name);
  return isTiled(window) && gains(Math.min(...kernel.shape.slice(0, 2)), output[0]!, output[1]!) ? window : undefined;
}

const isStatic = (shape: Shape | undefined): shape is readonly number[] => !!shape?.every((extent) => typeof extent === 'number');

/** What stands for a value: with channels first, as it was, or last. At least one of them is there. */
interface Layouts {
  first?: Value;
  last?: Value;
}

/** Adds the nodes to the graph, some of them with channels last. @returns what gives a value of theirs with channels first */
function rewrite(builder: GraphBuilder, nodes: readonly Node[], gains: WinogradGain): (value: Value) => Value {
  const known = new Map<Value, Layouts>();
  const layoutsOf = (value: Value): Layouts => {
    let layouts = known.get(value);
    if (!layouts) known.set(value, layouts = { first: value });
    return layouts;
  };
  const first = (value: Value): Value => {
    const layouts = layoutsOf(value);
    return (layouts.first ??= builder.op('Transpose', [layouts.last!], { perm: [0, 3, 1, 2] }));
  };
  const last = (value: Value): Value => {
    const layouts = layoutsOf(value);
    return (layouts.last ??= builder.op('Transpose', [layouts.first!], { perm: [0, 2, 3, 1] }));
  };
  for (const node of nodes) {
    const output = node.outputs[0]!;
    const window = tiledWindow(node, gains);
    if (window) {
      const [x, kernel, bias] = node.inputs as [Value, Value, Value?];
      const sums = winogradConvolution(builder, last(x), kernel, window, shapeOf(output).slice(2) as [number, number]);
      known.set(output, { last: bias ? builder.op('Add', [sums, bias]) : sums });
    } else if (isElementwise(node) && node.inputs.some((value) => known.get(value!)?.last)) {
      const inputs = node.inputs.map((value) => (isScalar(value!) ? value : last(value!)));
      known.set(output, { last: builder.op(node.opType, inputs, attributesOf(node)) });
    } else {
      node.inputs = node.inputs.map((value) => value && first(value));
      builder.graph.nodes.push(node);
    }
  }
  return first;
}

/** Whether the order of axes is all the same to a node: operands are of the output's shape or scalars. */
function isElementwise({ opType, inputs, outputs: [output] }: Node): boolean {
  const shape = String(output!.shape);
  return elementwise.has(opType) && output!.shape?.length === 4 && inputs.every((value) => value && (isScalar(value) || String(value.shape) === shape));
}

const isScalar = ({ shape }: Value): boolean => shape?.length === 0;
