/** Runs a model on onnxruntime-node, for tests. */
import * as ort from 'onnxruntime-node';
import { writeModel, type Model } from '@ratioflow/export';

export interface Floats { readonly data: Float32Array; readonly shape: readonly number[] }

export const optimizationLevels = ['disabled', 'basic', 'extended', 'all'] as const;

export async function runModel(
  model: Model | Uint8Array, feeds: Readonly<Record<string, Floats>>, optimization: (typeof optimizationLevels)[number] = 'all',
): Promise<Record<string, Floats>> {
  const bytes = model instanceof Uint8Array ? model : writeModel(model);
  const session = await ort.InferenceSession.create(bytes, { graphOptimizationLevel: optimization, logSeverityLevel: 3, intraOpNumThreads: 1 });
  try {
    const results = await session.run(Object.fromEntries(Object.entries(feeds).map(([name, { data, shape }]) => [name, new ort.Tensor('float32', data, [...shape])])));
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, { data: Float32Array.from(tensor.data as Float32Array), shape: [...tensor.dims] }]));
  } finally {
    await session.release();
  }
}

/** Largest |a − b| relative to the largest |b|. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} against ${b.length} elements`);
  let [difference, scale] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    scale = Math.max(scale, Math.abs(b[i]!));
  }
  return difference / (scale || 1);
}
