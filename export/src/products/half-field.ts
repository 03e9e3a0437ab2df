/**
 * The field of FDRL with its network in half precision, for GPUs. What crosses the boundary, the state of the flow and the
 * potential stay float32: only the network and its adjoint compute in float16.
 */
import type { Pairing } from '@ratioflow/sdk';
import { backpropagate } from '../gradient/backpropagate.js';
import type { GraphBuilder } from '../ir/builder.js';
import { halfGraph } from '../ir/half.js';
import { dataTypeCodes, type Value } from '../ir/types.js';
import { applyEstimator, type Estimator } from './estimator.js';
import type { Field } from './field.js';
import { logRatio, negativePotentialSlope } from './flow.js';

/**
 * The adjoint is computed this many times as large and scaled back in float32: gradients with respect to single pixels are
 * often below 6·10⁻⁵, where halves lose digits.
 */
const adjointScale = 64;

export function halfField({ graph, sampleShape }: Estimator, pairing: Pairing): Field {
  const estimator: Estimator = { graph: halfGraph(graph), sampleShape };
  return {
    sampleShape,
    inputs: [],
    evaluate: (builder, x) => {
      const half = cast(builder, x, 'float16');
      const output = applyEstimator(builder, estimator, half);
      const n = cast(builder, output, 'float32');
      const slope = builder.op('Mul', [negativePotentialSlope(builder, pairing, n), builder.scalar(adjointScale, n)]);
      const [scaled] = backpropagate(builder, [[output, cast(builder, slope, 'float16')]], [half]);
      const drift = builder.op('Mul', [cast(builder, scaled!, 'float32'), builder.scalar(1 / adjointScale, x)]);
      return { drift, logRatio: logRatio(builder, pairing, n) };
    },
  };
}

const cast = (builder: GraphBuilder, value: Value, dtype: 'float16' | 'float32'): Value => builder.op('Cast', [value], { to: dataTypeCodes[dtype] });
