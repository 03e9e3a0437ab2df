/**
 * Products of float64 matrices on ONNX Runtime, whose matrix kernels use every core: 25 GFLOP/s on two cores, where loops in
 * JavaScript reach one. Everything here that grows with dimension³ or with samples² goes through them.
 */
import { GraphBuilder, newModel, writeModel } from '@ratioflow/export';
import { createRuntime } from '@ratioflow/node';
import { ArgumentError, type Session } from '@ratioflow/sdk';

/** A dense matrix, row after row. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** `rows · columns` elements. */
  readonly data: Float64Array;
}

/** Whoever made it disposes of it. */
export interface MatrixProducts {
  /** A · Bᵀ, [A's rows, B's rows]. */
  timesTransposed(a: Matrix, b: Matrix): Promise<Matrix>;
  /** Aᵀ · B, [A's columns, B's columns]. */
  transposedTimes(a: Matrix, b: Matrix): Promise<Matrix>;
  dispose(): Promise<void>;
}

export async function createMatrixProducts(threads?: number): Promise<MatrixProducts> {
  const runtime = createRuntime(threads === undefined ? {} : { threads });
  const load = (transposed: 'transA' | 'transB'): Promise<Session> => {
    const builder = new GraphBuilder(`product-${transposed}`);
    const [a, b] = [builder.input('a', 'float64', transposed === 'transA' ? ['K', 'M'] : ['M', 'K']), builder.input('b', 'float64', transposed === 'transA' ? ['K', 'N'] : ['N', 'K'])];
    builder.output('product', builder.op('Gemm', [a, b], { [transposed]: 1 }));
    return runtime.load({ name: builder.graph.name, model: writeModel(newModel(builder.graph)) });
  };
  const [outer, inner] = await Promise.all([load('transB'), load('transA')]);
  const multiply = async (session: Session, a: Matrix, b: Matrix, rows: number, columns: number): Promise<Matrix> => {
    const { product } = await session.run({ a: { shape: [a.rows, a.columns], data: a.data }, b: { shape: [b.rows, b.columns], data: b.data } });
    return { rows, columns, data: product!.data as Float64Array };
  };
  const check = (fits: boolean, a: Matrix, b: Matrix): void => {
    if (!fits) throw new ArgumentError(`Matrices of ${a.rows} × ${a.columns} and ${b.rows} × ${b.columns} have no such product.`);
  };
  return {
    timesTransposed: async (a, b) => {
      check(a.columns === b.columns, a, b);
      return multiply(outer, a, b, a.rows, b.rows);
    },
    transposedTimes: async (a, b) => {
      check(a.rows === b.rows, a, b);
      return multiply(inner, a, b, a.columns, b.columns);
    },
    dispose: async () => {
      await Promise.all([outer.dispose(), inner.dispose()]);
    },
  };
}
