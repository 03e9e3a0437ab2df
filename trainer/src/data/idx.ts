/**
 * Reader of idx files (the format of MNIST and its relatives), plain or gzipped. The whole file is held against its header:
 * magic, element type, extents, length. Nothing is allocated on the word of a header before the bytes are there.
 */
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { FormatError } from '@ratioflow/sdk';

/** Elements of an idx array. */
export type IdxData = Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;
export type IdxType = 'uint8' | 'int8' | 'int16' | 'int32' | 'float32' | 'float64';

/** An array read from an idx file, in C order. */
export interface IdxArray {
  readonly type: IdxType;
  readonly shape: readonly number[];
  readonly data: IdxData;
}

interface ElementType {
  readonly type: IdxType;
  readonly bytes: number;
  /** Decodes big-endian elements. */
  readonly decode: (view: DataView, count: number) => IdxData;
}

const elementTypes = new Map<number, ElementType>([
  [0x08, { type: 'uint8', bytes: 1, decode: (v, n) => new Uint8Array(v.buffer as ArrayBuffer, v.byteOffset, n) }],
  [0x09, { type: 'int8', bytes: 1, decode: (v, n) => new Int8Array(v.buffer as ArrayBuffer, v.byteOffset, n) }],
  [0x0b, { type: 'int16', bytes: 2, decode: (v, n) => Int16Array.from({ length: n }, (_, i) => v.getInt16(2 * i)) }],
  [0x0c, { type: 'int32', bytes: 4, decode: (v, n) => Int32Array.from({ length: n }, (_, i) => v.getInt32(4 * i)) }],
  [0x0d, { type: 'float32', bytes: 4, decode: (v, n) => Float32Array.from({ length: n }, (_, i) => v.getFloat32(4 * i)) }],
  [0x0e, { type: 'float64', bytes: 8, decode: (v, n) => Float64Array.from({ length: n }, (_, i) => v.getFloat64(8 * i)) }],
]);

/**
 * Decodes an idx file that is already in memory. Arrays of bytes are views of `bytes`.
 * @param file how messages name the file
 * @throws {FormatError} with file, offset, and what was expected there
 */
export function parseIdx(bytes: Uint8Array, file: string): IdxArray {
  const bad = (offset: number, problem: string): FormatError =>
    new FormatError(`${file}: ${problem} (at byte ${offset}). Is this an idx file, and was it copied or downloaded completely?`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4) throw bad(0, `${bytes.length} bytes, expected at least the 4 bytes of an idx magic number`);
  if (view.getUint16(0) !== 0) {
    throw bad(0, `the file starts with ${hex(bytes.subarray(0, 4))}, expected 00 00, an element type and the number of axes`);
  }
  const element = elementTypes.get(bytes[2]!);
  if (element === undefined) {
    const known = [...elementTypes].map(([code, { type }]) => `${hex([code])} (${type})`).join(', ');
    throw bad(2, `unknown element type ${hex([bytes[2]!])}, expected one of ${known}`);
  }
  const rank = bytes[3]!;
  if (rank === 0) throw bad(3, 'the array has 0 axes, expected at least 1');
  const header = 4 + 4 * rank;
  if (bytes.length < header) throw bad(bytes.length, `the file ends inside its header, expected ${header} bytes for ${rank} axes`);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const empty = shape.indexOf(0);
  if (empty >= 0) throw bad(4 + 4 * empty, `axis ${empty} has extent 0, expected a positive extent`);
  const count = shape.reduce((product, extent) => product * extent, 1);
  const expected = header + count * element.bytes;
  if (bytes.length !== expected) {
    const difference = bytes.length < expected ? `${expected - bytes.length} bytes are missing` : `${bytes.length - expected} bytes follow the data`;
    throw bad(
      Math.min(bytes.length, expected),
      `${difference}: the header promises [${shape.join(', ')}] ${element.type}, ${expected} bytes in all, and the file holds ${bytes.length}`,
    );
  }
  const body = new DataView(bytes.buffer, bytes.byteOffset + header, count * element.bytes);
  return { type: element.type, shape, data: element.decode(body, count) };
}

/**
 * Reads an idx file; gzip is recognised by its content, whatever the name.
 * @param limit largest number of bytes after decompression; @default 2 GiB − 1
 * @throws {FormatError} when the file is not what it promises; Node's own error when it can't be read at all
 */
export async function readIdx(file: string, limit = 2 ** 31 - 1): Promise<IdxArray> {
  const raw = await readFile(file);
  if (!(raw[0] === 0x1f && raw[1] === 0x8b)) return parseIdx(raw, file);
  let plain: Uint8Array;
  try {
    plain = await promisify(gunzip)(raw, { maxOutputLength: limit });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new FormatError(
      `${file}: the gzip data can't be decompressed (${reason}; ${raw.length} compressed bytes, at most ${limit} after decompression ` +
        'are accepted). The file is truncated or damaged: fetch it again.',
      { cause },
    );
  }
  return parseIdx(plain, file);
}

function hex(bytes: Iterable<number>): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
