/**
 * Fields made of fields: weighted sums of the drifts of bundles, and guidance by a classifier (arXiv 2303.03714, section on
 * conditional samples): −Σ wₑ ∇ₓ f′(rₑ(x)) + φ ∇ₓ log p(y|x).
 */
import { backpropagate } from '../gradient/backpropagate.js';
import type { GraphBuilder } from '../ir/builder.js';
import { float32, int64 } from '../ir/constant.js';
import { inline } from '../ir/inline.js';
import { dataTypeCodes, type Graph, type Value } from '../ir/types.js';
import { batch } from '../products/estimator.js';
import type { Field, FieldInput } from '../products/field.js';
import type { Classifier } from './classifier.js';

export interface Composition {
  readonly sampleShape: readonly number[];
  /** Gradient graphs: x → logRatio [N], drift. */
  readonly parts: readonly Graph[];
  /** Whether the sum has weights, as an input: they can then be swept without making the bundle anew. */
  readonly weighted: boolean;
  readonly classifier?: Classifier | undefined;
}

export function composedField({ sampleShape, parts, weighted, classifier }: Composition): Field {
  const inputs: FieldInput[] = [
    ...(classifier ? [{ name: 'y', dtype: 'int64' as const, shape: [batch] }, { name: 'phi', dtype: 'float32' as const, shape: [] }] : []),
    ...(weighted ? [{ name: 'weights', dtype: 'float32' as const, shape: [parts.length] }] : []),
  ];
  return {
    sampleShape,
    inputs,
    evaluate: (builder, x, extras) => {
      const results = parts.map((graph) => inline(builder, graph, new Map([[graph.inputs[0]!, x]])));
      const sum = (output: number): Value => results.map((values, part) => (weighted
        ? builder.op('Mul', [values[output]!, builder.op('Gather', [extras.get('weights')!, builder.constant(int64([part], []))], { axis: 0 })])
        : values[output]!)).reduce((a, b) => builder.op('Add', [a, b]));
      const [logRatio, drift] = [sum(0), sum(1)];
      if (!classifier) return { logRatio, drift };
      return { logRatio, drift: builder.op('Add', [drift, guidance(builder, classifier, x, extras.get('y')!, extras.get('phi')!)]) };
    },
  };
}

/**
 * φ ∇ₓ log p(y|x). With logits l, ∂ log p(y|x) / ∂l = e_y − softmax(l): the seed of one backward pass. Where y is no class
 * (−1, by custom), the seed is zero.
 */
function guidance(builder: GraphBuilder, { classes, logits }: Classifier, x: Value, y: Value, phi: Value): Value {
  const l = logits(builder, x);
  // As floats: few accelerators compare 64-bit integers, and none has 2²⁴ classes.
  const index = builder.op('Unsqueeze', [builder.op('Cast', [y], { to: dataTypeCodes.float32 }), builder.ints([1])]);
  const all = builder.initializer('classes', float32(Array.from({ length: classes }, (_, i) => i), [1, classes]));
  const chosen = builder.op('Cast', [builder.op('Equal', [index, all])], { to: dataTypeCodes.float32 });
  const any = builder.op('ReduceSum', [chosen, builder.ints([1])], { keepdims: 1 });
  const slope = builder.op('Sub', [chosen, builder.op('Mul', [builder.op('Softmax', [l], { axis: 1 }), any])]);
  const [gradient] = backpropagate(builder, [[l, builder.op('Mul', [slope, phi])]], [x]);
  return gradient!;
}
