import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { FormatError } from '@ratioflow/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseIdx, readIdx } from './idx.js';

/** Header of an idx file, written out by hand from the format's description. */
function header(type: number, ...shape: number[]): number[] {
  return [0, 0, type, shape.length, ...shape.flatMap((extent) => [extent >>> 24, (extent >>> 16) & 255, (extent >>> 8) & 255, extent & 255])];
}
const parse = (...bytes: number[]) => parseIdx(Uint8Array.from(bytes), 'some.idx');

describe('parseIdx', () => {
  it('reads bytes in C order', () => {
    expect(parse(...header(0x08, 2, 3), 1, 2, 3, 4, 5, 255)).toEqual({ type: 'uint8', shape: [2, 3], data: Uint8Array.of(1, 2, 3, 4, 5, 255) });
  });

  it('reads the other element types big-endian', () => {
    expect(parse(...header(0x09, 2), 255, 127).data).toEqual(Int8Array.of(-1, 127));
    expect(parse(...header(0x0b, 2), 0x01, 0x02, 0xff, 0xfe).data).toEqual(Int16Array.of(258, -2));
    expect(parse(...header(0x0c, 1), 0x80, 0, 0, 1).data).toEqual(Int32Array.of(-2147483647));
    expect(parse(...header(0x0d, 1), 0xc0, 0x20, 0, 0).data).toEqual(Float32Array.of(-2.5));
    expect(parse(...header(0x0e, 1), 0x3f, 0xf8, 0, 0, 0, 0, 0, 0).data).toEqual(Float64Array.of(1.5));
  });

  it.each([
    ['an empty file', [], /some\.idx: 0 bytes, expected at least the 4 bytes .*at byte 0/],
    ['another format', [0x89, 0x50, 0x4e, 0x47, 0], /starts with 89 50 4e 47, expected 00 00/],
    ['an unknown type', [...header(0x0a, 1), 1], /unknown element type 0a, expected one of 08 \(uint8\).*at byte 2/],
    ['no axes', [0, 0, 8, 0], /0 axes.*at byte 3/],
    ['a cut header', [0, 0, 8, 3, 0, 0, 0, 1], /ends inside its header, expected 16 bytes for 3 axes \(at byte 8\)/],
    ['an empty axis', [...header(0x08, 2, 0)], /axis 1 has extent 0.*at byte 8/],
    ['missing data', [...header(0x08, 2, 2), 1, 2, 3], /1 bytes are missing: the header promises \[2, 2\] uint8, 16 bytes in all, and the file holds 15 \(at byte 15\)/],
    ['bytes after the data', [...header(0x0b, 1), 1, 2, 3], /1 bytes follow the data.*\(at byte 10\)/],
    ['absurd extents', [...header(0x08, 0xffffffff, 0xffffffff, 0xffffffff), 1], /bytes are missing/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => parse(...bytes)).toThrow(FormatError);
    expect(() => parse(...bytes)).toThrow(message);
  });
});

describe('readIdx', () => {
  let folder = '';
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'ratioflow-idx-'))));
  afterAll(() => rm(folder, { recursive: true }));
  const file = async (name: string, bytes: Uint8Array): Promise<string> => {
    await writeFile(join(folder, name), bytes);
    return join(folder, name);
  };
  const plain = Uint8Array.from([...header(0x08, 3), 7, 8, 9]);

  it('reads plain and gzipped files whatever their name', async () => {
    const expected = { type: 'uint8', shape: [3], data: Uint8Array.of(7, 8, 9) };
    const [a, b] = [await readIdx(await file('a', plain)), await readIdx(await file('b', gzipSync(plain)))];
    for (const array of [a, b]) expect({ ...array, data: Uint8Array.from(array.data) }).toEqual(expected);
  });

  it('names file and reason of damaged gzip data', async () => {
    const packed = gzipSync(plain);
    const truncated = await file('truncated.gz', packed.subarray(0, packed.length - 9));
    await expect(readIdx(truncated)).rejects.toThrow(/truncated\.gz: the gzip data can't be decompressed \(unexpected end of file/);
    const damaged = Uint8Array.from(packed);
    damaged[damaged.length - 6]! ^= 1; // inside the CRC-32
    await expect(readIdx(await file('damaged.gz', damaged))).rejects.toThrow(FormatError);
  });

  it('stops at the limit of decompressed bytes', async () => {
    const bomb = await file('bomb.gz', gzipSync(new Uint8Array(1_000_000)));
    await expect(readIdx(bomb, 100_000)).rejects.toThrow(/at most 100000 after decompression/);
  });
});
