/** Tensors on their way between the SDK and an engine of the ONNX Runtime family. */
import { RuntimeError } from './errors.js';
import type { Tensor } from './runtime.js';

/** An input of a graph as the engine's own class of tensors, without a copy. @throws what that class throws of data and shapes that do not fit */
export function inputTensor<T>(OrtTensor: new (type: never, data: never, shape: readonly number[]) => T, { data, shape }: Tensor): T {
  const type = data instanceof Float32Array ? 'float32' : data instanceof Float64Array ? 'float64' : data instanceof Int32Array ? 'int32' : data instanceof BigInt64Array ? 'int64' : 'uint8';
  return new OrtTensor(type as never, data as never, shape);
}

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
