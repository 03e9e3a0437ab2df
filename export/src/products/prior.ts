/** prior.onnx: z [N, D] → x0 [N, …sample], the same map for every engine. */
import type { PriorRecord } from '@ratioflow/sdk';
import { GraphError } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import { float32 } from '../ir/constant.js';
import { newModel } from '../ir/model.js';
import type { Model, Value } from '../ir/types.js';
import { batch } from './estimator.js';

/**
 * What a prior is made of. `gaussian`: x₀ = deviation · z. `uniform`: x₀ = 2z − 1. `source`: x₀ is given; the graph is that of uniform. `ddp`: x₀ = clamp(mean + z·Lᵀ, −1, 1).
 */
export type PriorSource =
  | {
      readonly kind: 'gaussian';
      /** @default 1 */
      readonly deviation?: number;
    }
  | { readonly kind: 'uniform' }
  | { readonly kind: 'source' }
  | {
      readonly kind: 'ddp';
      /** [D] */
      readonly mean: Float32Array;
      /** Lower Cholesky factor L of the covariance, [D, D] row after row. */
      readonly factor: Float32Array;
    };

/** How the manifest describes a prior. */
export function priorRecord(prior: PriorSource): PriorRecord {
  return { kind: prior.kind, z: prior.kind === 'uniform' || prior.kind === 'source' ? 'uniform' : 'normal' };
}

export function priorGraph(prior: PriorSource, sampleShape: readonly number[]): Model {
  const length = sampleShape.reduce((a, b) => a * b, 1);
  const builder = new GraphBuilder('prior');
  const z = builder.input('z', 'float32', [batch, length]);
  const flat = mapped(builder, prior, z, length);
  builder.output('x0', sampleShape.length === 1 ? flat : builder.op('Reshape', [flat, builder.ints([-1, ...sampleShape])]));
  return newModel(builder.graph);
}

function mapped(builder: GraphBuilder, prior: PriorSource, z: Value, length: number): Value {
  switch (prior.kind) {
    case 'gaussian':
      return prior.deviation === undefined || prior.deviation === 1 ? z : builder.op('Mul', [z, builder.scalar(prior.deviation, z)]);
    case 'uniform': case 'source':
      return builder.op('Sub', [builder.op('Mul', [z, builder.scalar(2, z)]), builder.scalar(1, z)]);
    case 'ddp': {
      if (prior.mean.length !== length || prior.factor.length !== length * length) {
        throw new GraphError(`The ddp prior has ${prior.mean.length} means and ${prior.factor.length} factor entries; a sample of ${length} values needs ${length} and ${length * length}.`);
      }
      const mean = builder.initializer('prior/mean', float32(prior.mean));
      const factor = builder.initializer('prior/factor', float32(prior.factor, [length, length]));
      return builder.op('Clip', [builder.op('Gemm', [z, factor, mean], { transB: 1 }), builder.scalar(-1, z), builder.scalar(1, z)]);
    }
    default:
      return prior satisfies never;
  }
}
