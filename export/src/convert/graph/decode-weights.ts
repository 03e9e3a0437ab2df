/** Weight bytes of a tfjs model → arrays, quantisation undone. */
import { ModelFormatError, UnsupportedError } from '../../errors.js';
import type { WeightSpec } from './artifacts.js';

export interface DecodedWeight {
  readonly dtype: 'float32' | 'int32' | 'bool';
  readonly dims: readonly number[];
  readonly data: Float32Array | Int32Array | Uint8Array;
}

const bytesPerElement: Readonly<Record<string, number>> = { float32: 4, int32: 4, bool: 1, uint8: 1, uint16: 2, float16: 2 };

/** Bytes that a weight takes in its file. @throws {ModelFormatError} for shapes that are none, {UnsupportedError} for types */
export function storedBytes(spec: WeightSpec): number {
  const name = JSON.stringify(spec.name);
  const shape: unknown = spec.shape;
  const count = Array.isArray(shape) ? (shape as unknown[]).reduce<number>((a, b) => a * (Number.isSafeInteger(b) && (b as number) >= 0 ? (b as number) : Number.NaN), 1) : Number.NaN;
  if (!Number.isSafeInteger(count)) throw new ModelFormatError(`Weight ${name} has the shape ${JSON.stringify(spec.shape)}.`);
  const type = spec.quantization?.dtype ?? spec.dtype;
  const bytes = Object.hasOwn(bytesPerElement, type) ? bytesPerElement[type] : undefined;
  const isStored = spec.quantization ? ['uint8', 'uint16', 'float16'].includes(type) : ['float32', 'int32', 'bool'].includes(type);
  if (bytes === undefined || !isStored) throw new UnsupportedError(`Weight ${name} is stored as ${JSON.stringify(type)} (supported: float32, int32, bool, quantised uint8, uint16 and float16).`);
  return count * bytes;
}

/** Every weight by name. @throws {ModelFormatError} when the bytes do not match the specifications */
export function decodeWeights(specs: readonly WeightSpec[], weightData: ArrayBuffer | readonly ArrayBuffer[]): Map<string, DecodedWeight> {
  const bytes = joined(weightData instanceof ArrayBuffer ? [weightData] : weightData);
  const needed = specs.reduce((total, spec) => total + storedBytes(spec), 0);
  if (needed !== bytes.byteLength) throw new ModelFormatError(`The model's ${specs.length} weights take ${needed} bytes, its weight data has ${bytes.byteLength}: the files are incomplete or belong to another model.`);
  const weights = new Map<string, DecodedWeight>();
  let offset = 0;
  for (const spec of specs) {
    const length = storedBytes(spec);
    if (weights.has(spec.name)) throw new ModelFormatError(`Weight ${JSON.stringify(spec.name)} is there twice.`);
    weights.set(spec.name, decode(spec, bytes.slice(offset, offset + length)));
    offset += length;
  }
  return weights;
}

function joined(parts: readonly ArrayBuffer[]): Uint8Array {
  if (parts.length === 1) return new Uint8Array(parts[0]!);
  const result = new Uint8Array(parts.reduce((total, part) => total + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(new Uint8Array(part), offset);
    offset += part.byteLength;
  }
  return result;
}

/** @param bytes a copy of the weight's own bytes, so that typed arrays can lie on it */
function decode(spec: WeightSpec, bytes: Uint8Array): DecodedWeight {
  const { name, shape: dims, dtype, quantization } = spec;
  if (!quantization) {
    if (dtype === 'float32') return { dtype, dims, data: new Float32Array(bytes.buffer) };
    return dtype === 'int32' ? { dtype, dims, data: new Int32Array(bytes.buffer) } : { dtype: 'bool', dims, data: bytes };
  }
  if (quantization.dtype === 'float16') {
    if (dtype !== 'float32') throw new ModelFormatError(`Weight ${JSON.stringify(name)} of type ${dtype} is quantised as float16, which only float32 can be.`);
    return { dtype, dims, data: mapped(new Uint16Array(bytes.buffer), Float32Array, halfTable()) };
  }
  const { scale, min } = quantization;
  if (typeof scale !== 'number' || typeof min !== 'number') throw new ModelFormatError(`Weight ${JSON.stringify(name)} is quantised as ${quantization.dtype} without scale and min.`);
  const stored = quantization.dtype === 'uint8' ? bytes : new Uint16Array(bytes.buffer);
  if (dtype === 'float32') return { dtype, dims, data: mapped(stored, Float32Array, (value) => value * scale + min) };
  if (dtype === 'int32') return { dtype, dims, data: mapped(stored, Int32Array, (value) => Math.round(value * scale + min)) };
  throw new UnsupportedError(`Weight ${JSON.stringify(name)} of type ${dtype} is quantised as ${quantization.dtype}, which is not supported.`);
}

/** What each stored element stands for. */
function mapped<A extends Float32Array | Int32Array>(stored: Uint8Array | Uint16Array, ArrayType: new (length: number) => A, map: (value: number) => number): A {
  const result = new ArrayType(stored.length);
  for (let index = 0; index < stored.length; index++) result[index] = map(stored[index]!);
  return result;
}

/** A reader of halves, by a table that is made once. */
let halves: Float64Array | undefined;
function halfTable(): (bits: number) => number {
  const table = halves ??= Float64Array.from({ length: 2 ** 16 }, (_, bits) => fromHalf(bits));
  return (bits) => table[bits]!;
}

/** IEEE half → number. */
function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}
