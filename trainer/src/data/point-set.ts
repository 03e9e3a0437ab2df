/**
 * Data sets of points that are computed, not stored: a point is a function of a few uniforms and normals of the noise
 * specification (purpose `order`, step = iteration).
 */
import { fillNormals, fillUniforms, purposes } from '@ratioflow/sdk';
import { checkBatch } from './dataset.js';
import type { Dataset } from './dataset.js';

/** A distribution of points. */
export interface PointSet {
  readonly name: string;
  /** D. */
  readonly dimension: number;
  /** Uniform numbers in (0, 1) that a point needs: elements 0 … uniforms − 1 of its stream. */
  readonly uniforms: number;
  /** Normal numbers that a point needs: the elements after the uniforms. */
  readonly normals: number;
  /** Writes one point to `out[at … at + D − 1]` from its uniforms `u` and normals `n`. */
  readonly place: (out: Float32Array, at: number, u: Float64Array, n: Float64Array) => void;
}

/** Makes a data set of a distribution of points. */
export function pointSet({ name, dimension, uniforms, normals, place }: PointSet): Dataset {
  const sampleShape = [dimension];
  const elements = uniforms + normals;
  return {
    name,
    sampleShape,
    size: null,
    labels: null,
    valueRange: null,
    batch(out, { seed, iteration, count }) {
      checkBatch(name, sampleShape, out, count);
      const stream = { seed, purpose: purposes.order, step: iteration };
      const samples = { firstSample: 0, count, elements };
      // Each element is used once, as a uniform or as a normal: the two buffers share their words.
      const uniform = new Float64Array(uniforms > 0 ? count * elements : 0);
      const normal = new Float32Array(count * elements);
      if (uniforms > 0) fillUniforms(uniform, stream, samples);
      fillNormals(normal, stream, samples);
      const u = new Float64Array(uniforms);
      const n = new Float64Array(normals);
      for (let s = 0; s < count; s++) {
        for (let i = 0; i < uniforms; i++) u[i] = uniform[s * elements + i]!;
        for (let i = 0; i < normals; i++) n[i] = normal[s * elements + uniforms + i]!;
        place(out, s * dimension, u, n);
      }
      return Promise.resolve();
    },
  };
}
