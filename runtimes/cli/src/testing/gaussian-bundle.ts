/**
 * For tests: a real bundle, made by the exporter, whose ratio has a closed form: q = N(0, I), p = N(m, s² I) with a mean
 * m that is a picture, n(x) = log q/p up to a constant = Σ (x − m)² / (2 s²) − x² / 2, pairing LR-KL.
 */
import { GraphBuilder, createBundle, newModel, writeBundle } from '@ratioflow/export';
import { createRuntime } from '@ratioflow/node';

export const spread = 0.5;

/** m: rises from −0.8 to 0.8 along the elements. */
export const meanAt = (i: number, elements: number): number => Math.fround(-0.8 + 1.6 * i / (elements - 1));

export async function writeGaussianBundle(folder: string, sampleShape: readonly number[], options: Partial<Parameters<typeof createBundle>[0]> = {}): Promise<void> {
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  const builder = new GraphBuilder('gaussian');
  const x = builder.input('x', 'float32', ['N', ...sampleShape]);
  const mean = builder.initializer('mean', {
    dtype: 'float32', dims: sampleShape, data: new Uint8Array(Float32Array.from({ length: elements }, (_, i) => meanAt(i, elements)).buffer),
  });
  const distance = builder.op('Sub', [x, mean]);
  const square = (value: typeof x, factor: number): typeof x => builder.op('Mul', [builder.op('Mul', [value, value]), builder.scalar(factor, x)]);
  const terms = builder.op('Sub', [square(distance, 1 / (2 * spread ** 2)), square(x, 0.5)]);
  builder.output('n', builder.op('ReduceSum', [terms, builder.ints(sampleShape.map((_, i) => i + 1))], { keepdims: 0 }));
  await writeBundle(folder, await createBundle({
    name: 'gaussian', estimator: newModel(builder.graph), pairing: 'lr-kl', prior: { kind: 'gaussian' },
    eta: 0.1, nu: 0.02, K: 30, kappa: 10, valueRange: [-1, 1], reference: createRuntime({ threads: 1 }), ...options,
  }));
}
