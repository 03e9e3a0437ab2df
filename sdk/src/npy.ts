/**
 * NumPy's array file format (`.npy`), the exchange format of ratioflow: https://numpy.org/neps/nep-0001-npy-format.html.
 * Written as version 1.0; versions 1 to 3 are read, little endian, C order. Files may be hostile: nothing is allocated
 * before the header has been held against the bytes that are really there.
 * @module @ratioflow/sdk/npy
 */
import { accept, argument, complaint, integer, list, object, show } from './check.js';
import type { Fail } from './check.js';
import { ArgumentError, FormatError } from './errors.js';
import type { Tensor, TensorData } from './runtime.js';
import { sizeOf } from './tensor.js';

/** The arrays of each element type, by its name in a file. */
const elementTypes: Readonly<Record<string, { readonly BYTES_PER_ELEMENT: number; new (buffer: ArrayBuffer): TensorData }>> = {
  '<f4': Float32Array, '<f8': Float64Array, '<i4': Int32Array, '<i8': BigInt64Array, '|u1': Uint8Array,
};

const magic = '\x93NUMPY';
/** NumPy has at most so many axes. */
const shapes = list(integer(0), 64);

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/**
 * The bytes of a `.npy` file, version 1.0, data aligned to 64 bytes.
 * @throws {ArgumentError} when shape and data do not agree
 */
export function encodeNpy({ shape, data }: Tensor): Uint8Array {
  if (sizeOf(argument('shape', shape, shapes)) !== data.length) throw new ArgumentError(`A tensor of shape [${shape.join(', ')}] cannot hold ${data.length} elements.`);
  // A Python tuple: one element wants a comma after it.
  const tuple = shape.length === 1 ? `(${shape[0]!},)` : `(${shape.join(', ')})`;
  const header = `{'descr': '${Object.keys(elementTypes).find((descr) => data instanceof elementTypes[descr]!)!}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const before = magic.length + 4;
  const start = Math.ceil((before + header.length + 1) / 64) * 64;
  const bytes = new Uint8Array(start + data.byteLength);
  const text = `${magic}\x01\x00${String.fromCharCode((start - before) & 0xff, (start - before) >> 8)}`
    + `${header.padEnd(start - before - 1)}\n`;
  for (let i = 0; i < start; i++) bytes[i] = text.charCodeAt(i);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start);
  return bytes;
}

const descrs: readonly unknown[] = Object.keys(elementTypes);

const headers = object({
  descr: accept<string>((value) => descrs.includes(value), `${descrs.join(', ')} (in NumPy: array.astype("<f4"))`),
  fortran_order: accept<boolean>((value) => value === false, 'False: C order (in NumPy: np.ascontiguousarray(array))'),
  shape: shapes,
});

/**
 * A header is a Python literal, a dictionary of exactly these three keys. Written as JSON, which differs in quotes, in the
 * names of the truth values, in tuples and in commas after the last entry. Python 2 wrote long integers with an L.
 */
function parseHeader(text: string, fail: Fail): { readonly descr: string; readonly shape: readonly number[] } {
  const json = text.replace(/'/g, '"').replace(/(\d)L\b/g, '$1').replace(/\bTrue\b/, 'true').replace(/\bFalse\b/, 'false')
    .replace(/\(/g, '[').replace(/\)/g, ']').replace(/,\s*([\]}])/g, '$1');
  let header: object = {};
  try {
    header = Object(JSON.parse(json)) as object;
  } catch {
    // Not a literal of this kind: told below.
  }
  // "(1)" is a number in Python, no tuple.
  const isPlain = Object.keys(header).length === 3 && !/\(\s*\w+\s*\)/.test(text);
  return isPlain ? headers(header, '', fail) : fail('the header', text, 'a Python dictionary of descr, fortran_order and the tuple shape');
}

/** How an array lies in a `.npy` file. */
export interface NpyLayout {
  readonly shape: readonly number[];
  /** Bytes of one element. */
  readonly elementBytes: number;
  /** Where the elements begin. */
  readonly dataStart: number;
  /** Elements from bytes that hold nothing else, at the start of a buffer of their own. */
  readonly decode: (buffer: ArrayBuffer) => TensorData;
}

/** A header never takes more than this. */
export const npyHeaderLimit = 12 + 10_000;

/**
 * Reads the header of a `.npy` file, for files that are read in parts.
 * @param bytes the file's beginning: all of it, or at least `npyHeaderLimit` bytes
 * @param size bytes of the whole file
 * @throws {FormatError} as `decodeNpy`
 */
export function decodeNpyHeader(bytes: Uint8Array, size: number, what: string): NpyLayout {
  const fail: Fail = (...found) => {
    throw new FormatError(`${what} is no .npy file that can be used here: ${complaint(...found)}`);
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = latin1(bytes.subarray(0, magic.length));
  if (start !== magic || bytes.length < 12) fail(`the beginning of its ${size} bytes`, start, `${show(magic)} and a header`);
  const version = bytes[6]!;
  if (version < 1 || version > 3 || bytes[7] !== 0) fail('the format version', [version, bytes[7]], '[1,0], [2,0] or [3,0]');
  const dataStart = version === 1 ? 10 + view.getUint16(8, true) : 12 + view.getUint32(8, true);
  // A plain array's header is about 100 bytes, and never as long as this.
  if (dataStart > Math.min(size, npyHeaderLimit)) fail('the end of the header', dataStart, `up to ${npyHeaderLimit}, within the ${size} bytes of the file`);

  const { descr, shape } = parseHeader(latin1(bytes.subarray(version === 1 ? 10 : 12, dataStart)), fail);
  const type = elementTypes[descr]!;
  // Of absurd extents the product may be infinite, or with a 0 no number.
  const expected = (sizeOf(shape) || 0) * type.BYTES_PER_ELEMENT;
  if (size - dataStart !== expected) fail('the number of bytes after the header', size - dataStart, `${expected} for ${descr} of shape (${shape.join(', ')})`);
  return { shape, elementBytes: type.BYTES_PER_ELEMENT, dataStart, decode: (buffer) => new type(buffer) };
}

/**
 * The array in the bytes of a `.npy` file: float32, float64, int32, int64 or uint8, in C order.
 * @param what names the file in messages, for example its path
 * @returns a tensor with memory of its own; `bytes` may be reused
 * @throws {FormatError} for anything else: what was found and what is expected, nothing read halfway
 */
export function decodeNpy(bytes: Uint8Array, what: string): Tensor {
  const { shape, dataStart, decode } = decodeNpyHeader(bytes, bytes.length, what);
  // A copy, since views of several bytes must be aligned.
  return { shape, data: decode(new Uint8Array(bytes.subarray(dataStart)).buffer) };
}
