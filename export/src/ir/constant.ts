/**
 * A constant tensor: little-endian bytes as ONNX's raw_data has them, never copied on the way from file to file; or a
 * stretch of an external file that has not been read.
 */
import { GraphError } from '../errors.js';
import type { DataType, Dim } from './types.js';

/** Bytes per element; strings have none. Elements of fewer than 8 bits share their bytes. */
export const elementBytes: Readonly<Record<DataType, number>> = {
  float32: 4, uint8: 1, int8: 1, uint16: 2, int16: 2, int32: 4, int64: 8, string: 0, bool: 1, float16: 2, float64: 8,
  uint32: 4, uint64: 8, bfloat16: 2, complex64: 8, complex128: 16, float8e4m3fn: 1, float8e4m3fnuz: 1, float8e5m2: 1,
  float8e5m2fnuz: 1, float8e8m0: 1, uint4: 0.5, int4: 0.5, float4e2m1: 0.5, uint2: 0.25, int2: 0.25,
};

/** Bytes of a tensor of this type and shape. */
export const byteSize = (dtype: DataType, dims: readonly Dim[]): number => Math.ceil(elementCount(dims) * elementBytes[dtype]);

/** Where the bytes of a constant lie outside the model file. */
export interface ExternalData {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

/** An immutable constant tensor. */
export interface Constant {
  readonly dtype: DataType;
  readonly dims: readonly number[];
  /** Bytes in C order, or where they are. Strings: the UTF-8 texts. */
  readonly data: Uint8Array | ExternalData | readonly string[];
}

export const elementCount = (dims: readonly Dim[]): number =>
  dims.reduce<number>((count, dim) => count * (typeof dim === 'number' ? dim : Number.NaN), 1);

const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** A float32 constant over the given elements (not copied). */
export function float32(values: Float32Array | readonly number[], dims: readonly number[] = [values.length]): Constant {
  return checked({ dtype: 'float32', dims, data: bytesOf(values instanceof Float32Array ? values : new Float32Array(values)) });
}

/** An int64 constant. */
export function int64(values: readonly number[], dims: readonly number[] = [values.length]): Constant {
  return checked({ dtype: 'int64', dims, data: bytesOf(BigInt64Array.from(values, BigInt)) });
}

/** A boolean scalar. */
export function boolean(value: boolean): Constant {
  return { dtype: 'bool', dims: [], data: Uint8Array.of(value ? 1 : 0) };
}

/** A floating-point constant of the given element type. */
export function floats(dtype: DataType, values: readonly number[], dims: readonly number[] = [values.length]): Constant {
  switch (dtype) {
    case 'float32':
      return float32(values, dims);
    case 'float64':
      return checked({ dtype, dims, data: bytesOf(new Float64Array(values)) });
    case 'float16':
      return checked({ dtype, dims, data: bytesOf(Uint16Array.from(values, float16Bits)) });
    default:
      throw new GraphError(`A floating-point constant cannot have the element type ${dtype}.`);
  }
}

/** Types whose elements {@link numbersOf} reads. */
export const isReadable = (dtype: DataType): boolean => dtype !== 'string' && !/^(complex|float8|float4|u?int[24]$)/.test(dtype);

/** Reads a constant's numbers; int64 beyond 2⁵³ are rounded. @throws {GraphError} for types that are not readable and unread external data */
export function numbersOf(constant: Constant): number[] {
  const { data, dtype } = constant;
  if (!(data instanceof Uint8Array)) throw new GraphError(`The elements of this ${dtype} constant are not in memory.`);
  // A copy at offset 0: the bytes may lie anywhere in a file. (slice() would not copy a Node Buffer.)
  const copy = new Uint8Array(data).buffer;
  switch (dtype) {
    case 'float32': return Array.from(new Float32Array(copy));
    case 'float64': return Array.from(new Float64Array(copy));
    case 'int64': return Array.from(new BigInt64Array(copy), Number);
    case 'uint64': return Array.from(new BigUint64Array(copy), Number);
    case 'int32': return Array.from(new Int32Array(copy));
    case 'uint32': return Array.from(new Uint32Array(copy));
    case 'int16': return Array.from(new Int16Array(copy));
    case 'uint16': return Array.from(new Uint16Array(copy));
    case 'int8': return Array.from(new Int8Array(copy));
    case 'uint8': case 'bool': return Array.from(new Uint8Array(copy));
    case 'float16': return Array.from(new Uint16Array(copy), fromFloat16Bits);
    case 'bfloat16': return Array.from(new Uint16Array(copy), (bits) => fromFloat32Bits(bits << 16));
    case 'string': case 'complex64': case 'complex128': case 'float8e4m3fn': case 'float8e4m3fnuz': case 'float8e5m2': case 'float8e5m2fnuz': case 'float8e8m0':
    case 'uint4': case 'int4': case 'float4e2m1': case 'uint2': case 'int2':
      throw new GraphError(`A constant of type ${dtype} has no numbers that could be read.`);
    default: throw new GraphError(`Unknown element type ${String(dtype satisfies never)}.`);
  }
}

function checked(constant: Constant): Constant {
  const expected = byteSize(constant.dtype, constant.dims);
  const found = (constant.data as Uint8Array).byteLength;
  if (found !== expected) {
    throw new GraphError(`A ${constant.dtype} constant of shape [${constant.dims.join(', ')}] needs ${expected} bytes, got ${found}.`);
  }
  return constant;
}

const scratch = new DataView(new ArrayBuffer(4));

function fromFloat32Bits(bits: number): number {
  scratch.setInt32(0, bits);
  return scratch.getFloat32(0);
}

/** Nearest IEEE half, ties to even. */
export function float16Bits(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) return sign | roundHalfEven(Math.abs(Math.fround(value)) * 2 ** 24);
  const shifted = magnitude - 0x38000000;
  const rounded = shifted + 0xfff + ((shifted >>> 13) & 1);
  return sign | (rounded >>> 13);
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

function fromFloat16Bits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}
