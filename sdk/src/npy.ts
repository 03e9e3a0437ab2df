/**
 * NumPy's array file format (`.npy`), the exchange format of ratioflow: https://numpy.org/neps/nep-0001-npy-format.html.
 * Written as version 1.0; versions 1 to 3 are read, little endian, C order. Files may be hostile: nothing is allocated
 * before the header has been held against the bytes that are really there.
 */
import { ArgumentError, FormatError } from './errors.js';
import type { Tensor, TensorData } from './runtime.js';

/** How each element type is named in a file, and made from the bytes of one. */
const elementTypes: readonly { readonly descr: string; readonly bytes: number; readonly make: (buffer: ArrayBuffer) => TensorData }[] = [
  { descr: '<f4', bytes: 4, make: (buffer) => new Float32Array(buffer) },
  { descr: '<f8', bytes: 8, make: (buffer) => new Float64Array(buffer) },
  { descr: '<i4', bytes: 4, make: (buffer) => new Int32Array(buffer) },
  { descr: '<i8', bytes: 8, make: (buffer) => new BigInt64Array(buffer) },
  { descr: '|u1', bytes: 1, make: (buffer) => new Uint8Array(buffer) },
];

const magic = '\x93NUMPY';
/** NumPy's own largest number of axes. */
const maximumRank = 64;

function descrOf(data: TensorData): string {
  if (data instanceof Float32Array) return '<f4';
  if (data instanceof Float64Array) return '<f8';
  if (data instanceof Int32Array) return '<i4';
  if (data instanceof BigInt64Array) return '<i8';
  return '|u1';
}

/** Number of elements; may exceed the safe integers, and is then only good for comparison. */
function product(shape: readonly number[]): number {
  return shape.includes(0) ? 0 : shape.reduce((size, extent) => size * extent, 1);
}

function latin1(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** A piece of a foreign text, for a message. */
function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/**
 * The bytes of a `.npy` file, version 1.0, data aligned to 64 bytes.
 * @throws {ArgumentError} when shape and data do not agree
 */
export function encodeNpy({ shape, data }: Tensor): Uint8Array {
  if (!shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0) || product(shape) !== data.length) {
    throw new ArgumentError(`A tensor of shape [${shape.join(', ')}] cannot hold ${data.length} elements.`);
  }
  if (shape.length > maximumRank) throw new ArgumentError(`A .npy file has at most ${maximumRank} axes, got ${shape.length}.`);
  // A Python tuple: one element wants a comma after it.
  const tuple = shape.length === 1 ? `(${shape[0]!},)` : `(${shape.join(', ')})`;
  const header = `{'descr': '${descrOf(data)}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const before = magic.length + 4;
  const start = Math.ceil((before + header.length + 1) / 64) * 64;
  const bytes = new Uint8Array(start + data.byteLength);
  const text = `${magic}\x01\x00${String.fromCharCode((start - before) & 0xff, (start - before) >> 8)}`
    + `${header.padEnd(start - before - 1)}\n`;
  for (let i = 0; i < start; i++) bytes[i] = text.charCodeAt(i);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start);
  return bytes;
}

interface Header {
  readonly descr: string;
  readonly fortranOrder: boolean;
  readonly shape: readonly number[];
}

/**
 * Reads the one form of Python literal that a header may be: a dictionary of exactly the three keys, in any order and
 * spacing. `fail` throws.
 */
function parseHeader(text: string, fail: (found: string, expected: string) => never): Header {
  const dictionary = /^\s*\{(.*)\}\s*$/s.exec(text);
  if (dictionary === null) fail(`the header ${quote(text)}`, 'a Python dictionary');
  const found = new Map<string, string>();
  // A value is a string, a word, or a tuple without nesting; structured types ("[(…)]") match none of them.
  const entry = /\s*(['"])(\w+)\1\s*:\s*('[^']*'|"[^"]*"|\w+|\([^()]*\))\s*(,\s*|$)/y;
  const inside = dictionary[1]!;
  while (entry.lastIndex < inside.length) {
    const at = entry.lastIndex;
    const match = entry.exec(inside);
    if (match === null) {
      fail(`the header entry ${quote(inside.slice(at))}`, "'descr', 'fortran_order' and 'shape' of a plain array (no structured type)");
    }
    if (found.has(match[2]!)) fail(`the header key ${quote(match[2]!)} twice`, 'each key once');
    found.set(match[2]!, match[3]!);
    if (match[4] === '' && entry.lastIndex < inside.length) fail(`the header ${quote(text)}`, 'entries separated by commas');
  }
  const descr = found.get('descr');
  const order = found.get('fortran_order');
  const shape = found.get('shape');
  if (descr === undefined || order === undefined || shape === undefined || found.size !== 3) {
    fail(`the header keys ${[...found.keys()].map(quote).join(', ') || '(none)'}`, "exactly 'descr', 'fortran_order' and 'shape'");
  }
  if (order !== 'True' && order !== 'False') fail(`fortran_order ${quote(order)}`, 'True or False');
  if (!/^(['"]).*\1$/.test(descr)) fail(`the element type ${quote(descr)}`, 'a type string');
  return { descr: descr.slice(1, -1), fortranOrder: order === 'True', shape: parseShape(shape, fail) };
}

function parseShape(tuple: string, fail: (found: string, expected: string) => never): number[] {
  // Python 2 wrote long integers with an L.
  if (!/^\(\s*(\d+L?\s*(,\s*\d+L?\s*)*,?)?\s*\)$/.test(tuple) || /^\(\s*\d+L?\s*\)$/.test(tuple)) {
    fail(`the shape ${quote(tuple)}`, 'a tuple of integers, at least 0');
  }
  const shape = (tuple.match(/\d+/g) ?? []).map(Number);
  if (shape.length > maximumRank) fail(`a shape of ${shape.length} axes`, `at most ${maximumRank}`);
  if (!shape.every(Number.isSafeInteger)) fail(`the shape ${quote(tuple)}`, 'extents below 2^53');
  return shape;
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
  const fail = (found: string, expected: string): never => {
    throw new FormatError(`${what} is not a .npy file that can be used here: found ${found}, expected ${expected}.`);
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = latin1(bytes.subarray(0, magic.length));
  if (start !== magic) fail(bytes.length < magic.length ? `${bytes.length} bytes` : `the first bytes ${quote(start)}`, `${quote(magic)} and a header`);
  if (bytes.length < 12) fail(`a file of ${bytes.length} bytes`, 'a header (the file is truncated)');
  const version = bytes[6]!;
  if (version < 1 || version > 3 || bytes[7] !== 0) fail(`format version ${version}.${bytes[7]!}`, '1.0, 2.0 or 3.0');
  const headerStart = version === 1 ? 10 : 12;
  const headerLength = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const dataStart = headerStart + headerLength;
  if (dataStart > size) fail(`${size} bytes`, `a header up to byte ${dataStart} (the file is truncated)`);
  // A plain array's header is about 100 bytes, and never as long as this.
  if (headerLength > 10_000) fail(`a header of ${headerLength} bytes`, 'at most 10000');

  const header = parseHeader(latin1(bytes.subarray(headerStart, dataStart)), fail);
  const type = elementTypes.find(({ descr }) => descr === header.descr);
  if (type === undefined) {
    return fail(`the element type ${quote(header.descr)}`, `${elementTypes.map(({ descr }) => descr).join(', ')} (in NumPy: array.astype("<f4"))`);
  }
  if (header.fortranOrder) fail('Fortran order', 'C order (in NumPy: np.ascontiguousarray(array))');
  const expected = product(header.shape) * type.bytes;
  const actual = size - dataStart;
  if (actual !== expected) {
    fail(`${actual} bytes of data`, `${expected} for ${header.descr} of shape (${header.shape.join(', ')})`
      + (actual < expected ? ' (the file is truncated)' : ' (the file has something after its end)'));
  }
  return { shape: header.shape, elementBytes: type.bytes, dataStart, decode: type.make };
}

/**
 * The array in the bytes of a `.npy` file: float32, float64, int32, int64 or uint8, in C order.
 * @param what names the file in messages, for example its path
 * @returns a tensor with memory of its own; `bytes` may be reused
 * @throws {FormatError} for anything else: what was found and what is expected, nothing read halfway
 */
export function decodeNpy(bytes: Uint8Array, what: string): Tensor {
  const { shape, dataStart, decode } = decodeNpyHeader(bytes, bytes.length, what);
  // A fresh buffer, since views of several bytes must be aligned.
  const own = new Uint8Array(bytes.length - dataStart);
  own.set(bytes.subarray(dataStart));
  return { shape, data: decode(own.buffer) };
}
