/**
 * Shapes: products, comparisons and checks of tensors that callers or engines hand over.
 */
import { failArgument } from './check.js';
import { ArgumentError } from './errors.js';
import type { FloatTensor, Tensor } from './runtime.js';

/** Number of elements of a shape; 1 for a scalar. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** A float32 tensor over existing data, its shape its own: whoever gets it may do with it what he likes. */
export const floatTensor = (data: Float32Array, shape: readonly number[]): FloatTensor => ({ data, shape: [...shape] });

/** A float32 tensor of one number. */
export const scalar = (value: number): FloatTensor => floatTensor(Float32Array.of(value), []);

/** A new array. @throws {ArgumentError} when it does not fit in memory */
export function allocate(length: number, what: string): Float32Array {
  try {
    return new Float32Array(length);
  } catch (cause) {
    throw new ArgumentError(`${what} need ${length} values, which do not fit in memory: take fewer at a time.`, { cause });
  }
}

/** A shape for messages; `null` stands for an extent that may be anything. */
export const showShape = (shape: readonly (number | null)[]): string => `[${shape.map((extent) => extent ?? 'N').join(', ')}]`;

/**
 * Checks a tensor from a caller: float32, the shape given (`null`: any extent of at least 1), all its data there.
 * @throws {ArgumentError} otherwise
 */
export function checkTensor(what: string, tensor: Tensor, shape: readonly (number | null)[]): FloatTensor {
  const given = tensor as Tensor | null | undefined;
  if (!Array.isArray(given?.shape) || !(given.data instanceof Float32Array)) {
    return failArgument(what, tensor, `{ shape: ${showShape(shape)}, data: Float32Array }`);
  }
  const fits = given.shape.length === shape.length && given.shape.every((extent: unknown, axis) =>
    Number.isSafeInteger(extent) && (extent as number) >= 1 && (shape[axis] === null || extent === shape[axis]));
  if (!fits) throw new ArgumentError(`${what} has shape ${showShape(given.shape)}; allowed: ${showShape(shape)}.`);
  if (given.data.length !== sizeOf(given.shape)) throw new ArgumentError(`${what} has ${given.data.length} elements; its shape ${showShape(given.shape)} makes ${sizeOf(given.shape)}.`);
  return tensor as FloatTensor;
}
