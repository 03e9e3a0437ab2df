/**
 * ONNX Runtime's WebAssembly takes several times as long for `Clip`, `Relu` and `LeakyRelu` of numbers with signs at random as for
 * `Max`, `Min` and `PRelu` (docs/lowerings.md), unless they are fused with the convolution or dense layer before them. Here those
 * that are not are written as the latter: the same values.
 */
import type { GraphBuilder } from '../ir/builder.js';
import { float32 } from '../ir/constant.js';
import type { Node, Value } from '../ir/types.js';
import { floatOf } from '../ops/operator.js';
import { rewrittenField, type Field } from './field.js';
import { connections, signSource, slopeOf, steepConvolution } from './slopes.js';

/** The same field for engines to whom branches are expensive. */
export const branchlessField = (field: Field): Field => rewrittenField(field, rewrite);

/** Layers with which engines fuse the activation that alone reads them. */
const fusing: ReadonlySet<string | undefined> = new Set(['Conv', 'Gemm']);

function rewrite(builder: GraphBuilder, nodes: readonly Node[]): (value: Value) => Value {
  const connected = connections(nodes);
  const { makers, onlyReader } = connected;
  const replaced = new Map<Value, Value>();
  const now = (value: Value): Value => replaced.get(value) ?? value;
  /** Products that are convolutions now. */
  const convolved = new Set<Value>();
  const isFused = (value: Value): boolean => convolved.has(value) || (fusing.has(makers.get(value)?.opType) && !!onlyReader(value));

  for (const node of nodes) {
    const [x, ...bounds] = node.inputs as [Value, ...(Value | null)[]];
    const output = node.outputs[0]!;
    const slope = slopeOf(builder, node, onlyReader);
    const source = slope && signSource(builder, x, slope.clip, connected);
    const steep = source && steepConvolution(builder, source, connected, now);
    if (steep) {
      convolved.add(output);
      replaced.set(output, steep);
    } else if (source) replaced.set(output, builder.op('Mul', [now(source), ...bounds as Value[]]));
    else if (output.dtype === 'float32' && !isFused(x)) replaced.set(output, branchless(builder, node, now(x), bounds) ?? kept(node));
    else kept(node);
  }
  return now;

  function kept(node: Node): Value {
    node.inputs = node.inputs.map((value) => value && now(value));
    builder.graph.nodes.push(node);
    return node.outputs[0]!;
  }
}

/** What stands for a node whose first operand is x; undefined for one without branches. */
function branchless(builder: GraphBuilder, node: Node, x: Value, [low, high]: readonly (Value | null)[]): Value | undefined {
  switch (node.opType) {
    case 'Clip': {
      const raised = low ? builder.op('Max', [x, low]) : x;
      return high ? builder.op('Min', [raised, high]) : raised;
    }
    case 'Relu': return builder.op('Max', [x, builder.scalar(0, x)]);
    case 'LeakyRelu': return builder.op('PRelu', [x, builder.constant(float32([floatOf(node, 'alpha', 0.01)], [1]), 'slope')]);
    default: return undefined;
  }
}
