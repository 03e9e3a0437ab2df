/** What engines return, as the SDK's tensors. */
import { RuntimeError } from './errors.js';
import type { Tensor } from './runtime.js';

/**
 * An output of a graph, without a copy.
 * @param type the engine's name of the element type: some engines keep other types in a Uint8Array too
 * @throws {RuntimeError} for an element type that no tensor of the SDK has
 */
export function outputTensor(graph: string, name: string, type: string, shape: readonly number[], data: unknown): Tensor {
  const known = data instanceof Float32Array || data instanceof Float64Array || data instanceof Int32Array || data instanceof BigInt64Array
    || (data instanceof Uint8Array && type === 'uint8');
  if (!known) throw new RuntimeError(`${graph} returned ${name} as ${type}; supported: float32, float64, int32, int64, uint8.`);
  return { shape, data };
}
