/** prior.onnx: z [N, D] → x0 [N, …sample], the same map for every engine. */
import type { PriorRecord } from '@ratioflow/sdk';
import { failArgument } from '@ratioflow/sdk/engine';
import { GraphError } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import { float32 } from '../ir/constant.js';
import { newModel } from '../ir/model.js';
import type { Model, Value } from '../ir/types.js';
import { batch } from './estimator.js';

/**
 * What a prior is made of. `gaussian`: x₀ = deviation · z. `uniform`: x₀ = 2z − 1. `source`: x₀ is given; the graph is that of uniform. `ddp`: x₀ = clamp(mean + z·Lᵀ, −1, 1).
 * `ddp-low-rank`, which manifests call ddp as well: x₀ = clamp(mean + S (z + V (gains · Vᵀ z)), −1, 1).
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
    }
  | {
      readonly kind: 'ddp-low-rank';
      /** [D] */
      readonly mean: Float32Array;
      /** V, orthonormal columns, [D, rank] row after row. */
      readonly basis: Float32Array;
      /** √(1 + M) − 1 [rank], where S (I + V M Vᵀ) S is the covariance. */
      readonly gains: Float32Array;
      /** S [D]. */
      readonly deviation: Float32Array;
    };

/** A prior as the graphs use it. */
export interface Prior {
  /** How the manifest describes it. */
  readonly record: PriorRecord;
  /** Adds x₀ [N, …sample] from z [N, D], as `record.z` draws it, to a graph. */
  readonly apply: (builder: GraphBuilder, z: Value) => Value;
}

/** The prior of samples of a shape; its constants are made once, whatever the number of graphs. */
export function priorOf(source: PriorSource, sampleShape: readonly number[]): Prior {
  const length = sampleShape.reduce((a, b) => a * b, 1);
  const map = mapOf(source, length);
  return {
    record: { kind: source.kind === 'ddp-low-rank' ? 'ddp' : source.kind, z: source.kind === 'uniform' || source.kind === 'source' ? 'uniform' : 'normal' },
    apply: (builder, z) => (sampleShape.length === 1 ? map(builder, z) : builder.op('Reshape', [map(builder, z), builder.ints([-1, ...sampleShape])])),
  };
}

/** prior.onnx of samples of a shape. */
export function priorGraph(source: PriorSource, sampleShape: readonly number[]): Model {
  return priorModel(priorOf(source, sampleShape), sampleShape);
}

/** z [N, D] → x0 [N, …sample]. */
export function priorModel(prior: Prior, sampleShape: readonly number[]): Model {
  const builder = new GraphBuilder('prior');
  const z = builder.input('z', 'float32', [batch, sampleShape.reduce((a, b) => a * b, 1)]);
  builder.output('x0', prior.apply(builder, z));
  return newModel(builder.graph);
}

/** The flat map from z to x₀. */
function mapOf(source: PriorSource, length: number): (builder: GraphBuilder, z: Value) => Value {
  switch (source.kind) {
    case 'gaussian':
      return (builder, z) => (source.deviation === undefined || source.deviation === 1 ? z : builder.op('Mul', [z, builder.scalar(source.deviation, z)]));
    case 'uniform': case 'source':
      return (builder, z) => builder.op('Sub', [builder.op('Mul', [z, builder.scalar(2, z)]), builder.scalar(1, z)]);
    case 'ddp': {
      if (source.mean.length !== length || source.factor.length !== length * length) {
        throw new GraphError(`The ddp prior has ${source.mean.length} means and ${source.factor.length} factor entries; a sample of ${length} values needs ${length} and ${length * length}.`);
      }
      const [mean, factor] = [float32(source.mean), float32(source.factor, [length, length])];
      return (builder, z) => {
        const flat = builder.op('Gemm', [z, builder.initializer('prior/factor', factor), builder.initializer('prior/mean', mean)], { transB: 1 });
        return builder.op('Clip', [flat, builder.scalar(-1, z), builder.scalar(1, z)]);
      };
    }
    case 'ddp-low-rank': {
      const rank = source.gains.length;
      if (source.mean.length !== length || source.deviation.length !== length || source.basis.length !== length * rank) {
        throw new GraphError(`The ddp prior of rank ${rank} has ${source.mean.length} means, ${source.deviation.length} deviations and ${source.basis.length} entries in its basis; a sample of ${length} values needs ${length}, ${length} and ${length * rank}.`);
      }
      const [mean, deviation, gains, basis] = [float32(source.mean), float32(source.deviation), float32(source.gains), float32(source.basis, [length, rank])];
      return (builder, z) => {
        const directions = builder.initializer('prior/basis', basis);
        const inner = builder.op('Mul', [builder.op('MatMul', [z, directions]), builder.initializer('prior/gains', gains)]);
        const moved = builder.op('Mul', [builder.op('Gemm', [inner, directions, z], { transB: 1 }), builder.initializer('prior/deviation', deviation)]);
        return builder.op('Clip', [builder.op('Add', [moved, builder.initializer('prior/mean', mean)]), builder.scalar(-1, z), builder.scalar(1, z)]);
      };
    }
    default:
      return failArgument('prior', source satisfies never, 'an object whose kind is uniform, gaussian, ddp, ddp-low-rank or source');
  }
}
