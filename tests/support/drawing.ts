/** Numbers for tests, the same on every machine: standard normal, of a seed and a step. */
import type { GraphBuilder } from '@ratioflow/export';
import { normals, purposes } from '@ratioflow/sdk';

interface Drawn { readonly data: Float32Array; readonly shape: readonly number[] }

/** Tensors, and initializers of graphs, of one seed; `step` tells them apart. */
export function drawing(seed: number): {
  draw: (step: number, shape: readonly number[], scale?: number) => Drawn;
  constant: (step: number, dims: readonly number[], scale: number) => Parameters<GraphBuilder['initializer']>[1];
} {
  const draw = (step: number, shape: readonly number[], scale = 1): Drawn => ({
    shape, data: normals({ seed, purpose: purposes.testVectors, step, count: 1, elements: shape.reduce((a, b) => a * b, 1) }).map((value) => scale * value),
  });
  return { draw, constant: (step, dims, scale) => ({ dtype: 'float32', dims, data: new Uint8Array(draw(step, dims, scale).data.buffer) }) };
}
