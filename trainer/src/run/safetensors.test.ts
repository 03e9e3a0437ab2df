/** Checkpoint files: round trip, the bytes against the format's published layout, Python's reading, and damage. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FormatError } from '@ratioflow/sdk';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeSafetensors, encodeSafetensors, type NamedArrays } from './safetensors.js';

const example: NamedArrays = {
  arrays: new Map([
    ['weights/größe', { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 1e-40, -0, 3e38) }],
    ['scalar', { shape: [], data: Float32Array.of(7) }],
    ['empty', { shape: [0, 4], data: new Float32Array(0) }],
  ]),
  metadata: { iteration: '12', name: 'ein "Lauf"' },
};

const withoutHash = ({ arrays, metadata }: NamedArrays): NamedArrays => ({
  arrays, metadata: Object.fromEntries(Object.entries(metadata).filter(([key]) => key !== 'sha256')),
});

describe('round trip', () => {
  it('keeps names, shapes, order, bits and metadata', () => {
    const decoded = decodeSafetensors(encodeSafetensors(example), 'file');
    expect(withoutHash(decoded)).toEqual(example);
    expect([...decoded.arrays.keys()]).toEqual([...example.arrays.keys()]);
    expect(Object.is(decoded.arrays.get('weights/größe')!.data[4], -0)).toBe(true);
  });

  it('reads the same from a Buffer, as files are read', () => {
    expect(withoutHash(decodeSafetensors(Buffer.from(encodeSafetensors(example)), 'file'))).toEqual(example);
  });

  it('holds for any names and values, from a view into a larger buffer too', () => {
    const array = fc.array(fc.float({ noNaN: true }), { maxLength: 20 });
    fc.assert(fc.property(fc.dictionary(fc.string(), array), fc.dictionary(fc.string(), fc.string()), (values, metadata) => {
      delete values['__metadata__'];
      delete metadata['sha256'];
      const arrays = new Map(Object.entries(values).map(([name, data]) => [name, { shape: [data.length], data: new Float32Array(new Float32Array([9, ...data, 9]).buffer, 4, data.length) }]));
      const file = encodeSafetensors({ arrays, metadata });
      const padded = new Uint8Array(file.byteLength + 5);
      padded.set(file, 3);
      const decoded = withoutHash(decodeSafetensors(padded.subarray(3, 3 + file.byteLength), 'file'));
      expect(new Map([...decoded.arrays].map(([name, { data }]) => [name, Array.from(data)]))).toEqual(new Map([...arrays].map(([name, { data }]) => [name, Array.from(data)])));
      expect({ ...decoded.metadata }).toEqual({ ...metadata });
    }), { seed: 7, numRuns: 100 });
  });
});

it('has the published layout: length, JSON padded with spaces to a multiple of 8, arrays one after another', () => {
  const bytes = Buffer.from(encodeSafetensors(example));
  const length = Number(bytes.readBigUInt64LE(0));
  expect(length % 8).toBe(0);
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, unknown>;
  expect(header['weights/größe']).toEqual({ dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] });
  expect(header['scalar']).toEqual({ dtype: 'F32', shape: [], data_offsets: [24, 28] });
  expect(header['empty']).toEqual({ dtype: 'F32', shape: [0, 4], data_offsets: [28, 28] });
  expect(bytes.readFloatLE(8 + length + 8)).toBe(3.5);
  expect(bytes.readFloatLE(8 + length + 24)).toBe(7);
  expect(bytes.length).toBe(8 + length + 28);
});

describe('Python', () => {
  const python = process.env['RATIOFLOW_PYTHON'] ?? 'python3';
  const has = (module: string): boolean => spawnSync(python, ['-c', `import ${module}`]).status === 0;
  const reader = has('safetensors.numpy') ? 'safetensors' : has('numpy') ? 'numpy' : undefined;
  if (reader === undefined) console.log('skip: no Python with numpy (set RATIOFLOW_PYTHON): checkpoints are not read in Python');

  it.skipIf(reader === undefined)('reads the arrays', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ratioflow-safetensors-'));
    const file = join(folder, 'file.safetensors');
    writeFileSync(file, encodeSafetensors(example));
    // Without the package: the format's definition in five lines.
    const load = reader === 'safetensors'
      ? 'from safetensors.numpy import load_file; arrays = load_file(sys.argv[1])'
      : `b = open(sys.argv[1], 'rb').read(); n = int.from_bytes(b[:8], 'little'); h = json.loads(b[8:8 + n]); h.pop('__metadata__')
arrays = {k: np.frombuffer(b[8 + n:][v['data_offsets'][0]:v['data_offsets'][1]], '<f4').reshape(v['shape']) for k, v in h.items()}`;
    const run = spawnSync(python, ['-c', `import json, sys, numpy as np\n${load}\nprint(json.dumps({k: [list(v.shape), v.view('<u4').ravel().tolist()] for k, v in arrays.items()}))`, file]);
    rmSync(folder, { recursive: true });
    expect(run.stderr.toString()).toBe('');
    const bits = (data: Float32Array): number[] => Array.from(new Uint32Array(data.buffer, data.byteOffset, data.length));
    expect(JSON.parse(run.stdout.toString())).toEqual(Object.fromEntries([...example.arrays].map(([name, { shape, data }]) => [name, [shape, bits(data)]])));
  });
});

describe('damage', () => {
  const file = encodeSafetensors(example);
  const refused = (bytes: Uint8Array): string => {
    try {
      decodeSafetensors(bytes, '/run/00000012.safetensors');
    } catch (error) {
      expect(error).toBeInstanceOf(FormatError);
      return (error as FormatError).message;
    }
    throw new Error('accepted');
  };

  it('is noticed wherever the file ends too early', () => {
    for (let length = 0; length < file.byteLength; length++) expect(refused(file.subarray(0, length))).toMatch(/^\/run\/00000012\.safetensors is no intact checkpoint: .*Use an earlier one\.$/s);
  });

  it('is noticed whichever bit flips', () => {
    for (let at = 0; at < file.byteLength; at++) {
      const flipped = file.slice();
      flipped[at] = flipped[at]! ^ (1 << (at % 8));
      refused(flipped);
    }
    expect(refused(Uint8Array.of(...file, 0))).toContain('hash');
  });

  it('of a foreign file is a format error too', () => {
    const withHeader = (json: string, length = Buffer.byteLength(json)): Uint8Array => {
      const bytes = Buffer.alloc(8 + Buffer.byteLength(json));
      bytes.writeBigUInt64LE(BigInt(length));
      bytes.write(json, 8);
      return bytes;
    };
    for (const json of ['null', '[]', '5', '{}', '{"__metadata__":null}', '{"__metadata__":{"sha256":5}}', '{"a":null}', '{"a":{"dtype":"F32","shape":"x","data_offsets":[0,4]}}']) refused(withHeader(json));
    expect(refused(withHeader('{}', 2 ** 50))).toContain('header should have');
    expect(refused(new Uint8Array(3))).toContain('3 bytes');
    expect(refused(new TextEncoder().encode('a text file, clearly not a checkpoint'))).toContain('header should have');
  });
});
