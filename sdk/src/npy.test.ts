import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArgumentError, FormatError } from './errors.js';
import { decodeNpy, encodeNpy } from './npy.js';
import type { Tensor } from './runtime.js';

/** A file by hand: magic, version, length of the header in 2 or 4 bytes, header, data. */
function file(header: string, data: Uint8Array | number[] = [], version = 1): Uint8Array {
  const length = version === 1 ? [header.length & 0xff, header.length >> 8] : [...new Uint8Array(Uint32Array.of(header.length).buffer)];
  return Uint8Array.from([0x93, ...Buffer.from('NUMPY'), version, 0, ...length, ...Buffer.from(header, 'latin1'), ...data]);
}

const plain = (shape: string, descr = '<f4', order = 'False'): string =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }\n`;

/** Shape and exact bytes, so that NaN payloads and negative zeros count. */
function exact({ shape, data }: Tensor): unknown[] {
  return [data.constructor.name, [...shape], Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')];
}

const tensor = fc.array(fc.nat(4), { maxLength: 5 }).chain((shape) => {
  const size = shape.reduce((a, b) => a * b, 1);
  const fixed = { minLength: size, maxLength: size };
  return fc.oneof(
    fc.float32Array(fixed), fc.float64Array(fixed), fc.int32Array(fixed), fc.bigInt64Array(fixed), fc.uint8Array(fixed),
  ).map((data): Tensor => ({ shape, data }));
});

describe('encodeNpy', () => {
  it('writes the format of NumPy, byte for byte', () => {
    const bytes = encodeNpy({ shape: [2, 1], data: Float32Array.of(1, -2) });
    // np.save of np.array([[1], [-2]], "<f4")
    expect(Buffer.from(bytes).toString('latin1')).toBe(
      `\x93NUMPY\x01\x00\x76\x00${"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }".padEnd(0x75)}\n`
      + '\x00\x00\x80\x3f\x00\x00\x00\xc0',
    );
  });

  it('takes a view of a larger buffer', () => {
    const data = Float32Array.of(0, 1, 2, 3).subarray(1, 3);
    expect(exact(decodeNpy(encodeNpy({ shape: [2], data }), 'x'))).toEqual(exact({ shape: [2], data: Float32Array.of(1, 2) }));
  });

  it.each([
    [[2, 2], 'A tensor of shape [2, 2] cannot hold 3 elements.'], [[], 'A tensor of shape [] cannot hold 3 elements.'], [[-3], 'shape[0] is -3'],
    [[1.5, 2], 'shape[0] is 1.5; allowed: an integer from 0.'], [[2 ** 53, 0], 'shape[0] is 9007199254740992'],
  ])('refuses the shape %j for three elements', (shape, message) => {
    expect(() => encodeNpy({ shape, data: new Float32Array(3) })).toThrow(ArgumentError);
    expect(() => encodeNpy({ shape, data: new Float32Array(3) })).toThrow(message);
  });

  it('refuses more axes than NumPy can read', () => {
    const shape = Array<number>(65).fill(1);
    expect(() => encodeNpy({ shape, data: new Float32Array(1) })).toThrow('shape is "an array of 65"; allowed: an array of at most 64 entries.');
  });
});

describe('decodeNpy', () => {
  it('gives back what was encoded, bit for bit', () => {
    fc.assert(fc.property(tensor, fc.nat(9), (original, shift) => {
      const bytes = encodeNpy(original);
      // Also from an unaligned view.
      const moved = new Uint8Array(bytes.length + shift);
      moved.set(bytes, shift);
      const copy = decodeNpy(moved.subarray(shift), 'x');
      expect(exact(copy)).toEqual(exact(original));
      expect(bytes.length - original.data.byteLength).toSatisfy((start: number) => start % 64 === 0);
    }));
  });

  it.each([
    ['version 1', file(plain('(2,)'), [0, 0, 128, 63, 0, 0, 0, 64]), [2]],
    ['version 2', file(plain('(2,)'), [0, 0, 128, 63, 0, 0, 0, 64], 2), [2]],
    ['version 3', file(plain('(2, 1)'), [0, 0, 128, 63, 0, 0, 0, 64], 3), [2, 1]],
    ['other order, quotes and spacing', file('{"shape":(1,2) ,"descr" : "<f4","fortran_order":False}', [0, 0, 128, 63, 0, 0, 0, 64]), [1, 2]],
    ['long integers of Python 2', file(plain('(2L,)'), [0, 0, 128, 63, 0, 0, 0, 64]), [2]],
  ])('reads %s', (_, bytes, shape) => {
    expect(decodeNpy(bytes, 'x')).toEqual({ shape, data: Float32Array.of(1, 2) });
  });

  it('reads scalars and empty arrays', () => {
    expect(decodeNpy(file(plain('()', '|u1'), [9]), 'x')).toEqual({ shape: [], data: Uint8Array.of(9) });
    expect(decodeNpy(file(plain('(0, 9007199254740991, 9007199254740991)')), 'x').data.length).toBe(0);
  });

  it('owns its data', () => {
    const bytes = file(plain('(1,)', '|u1'), [5]);
    const { data } = decodeNpy(bytes, 'x');
    bytes.fill(0);
    expect(data[0]).toBe(5);
  });

  it.each<[string, Uint8Array, string]>([
    ['no bytes', new Uint8Array(), 'the beginning of its 0 bytes is ""; allowed: "\x93NUMPY" and a header.'],
    ['another format', Uint8Array.from(Buffer.from('PK\x03\x04 and so on')), 'the beginning of its 14 bytes is "PK\\u0003\\u0004 a"; allowed'],
    ['nothing after the magic', file('').subarray(0, 6), 'the beginning of its 6 bytes is "\x93NUMPY"; allowed: "\x93NUMPY" and a header.'],
    ['version 0', file(plain('(1,)'), [], 0), 'the format version is [0,0]; allowed: [1,0], [2,0] or [3,0].'],
    ['version 4', file(plain('(1,)'), [], 4), 'the format version is [4,0]'],
    ['a truncated header', file(plain('(1,)')).subarray(0, 40), 'the end of the header is 68; allowed: up to 10012, within the 40 bytes of the file.'],
    ['a header of 4 GB', Uint8Array.from([...file('', [], 2).subarray(0, 8), 255, 255, 255, 255]), 'the end of the header is 4294967307'],
    ['a header of many blanks', file(' '.repeat(20_000)), 'the end of the header is 20010; allowed: up to 10012, within the 20010'],
    ['missing data', file(plain('(2, 3)'), [1, 2, 3]), 'the number of bytes after the header is 3; allowed: 24 for <f4 of shape (2, 3).'],
    ['trailing bytes', file(plain('(1,)', '|u1'), [1, 2]), 'the number of bytes after the header is 2; allowed: 1 for |u1 of shape (1).'],
    ['a huge shape', file(plain('(4000000000, 4000000000)')), 'the number of bytes after the header is 0; allowed: 64000000000000000000'],
    ['a shape that overflows to 0', file(plain('(4294967296, 4294967296, 4294967296, 4294967296)')), 'the number of bytes after the header is 0; allowed: 1.361129467683754e+39 for'],
    ['an extent beyond doubles', file(plain(`(${'9'.repeat(400)},)`)), 'shape[0] is Infinity; allowed: an integer from 0.'],
    ['a negative extent', file(plain('(-1,)')), 'shape[0] is -1; allowed: an integer from 0.'],
    ['a fraction', file(plain('(1, 1.5,)')), 'shape[1] is 1.5'],
    ['a number for a tuple', file(plain('(1)')), `'shape': (1), }\\n"; allowed: a Python dictionary of descr, fortran_order and the tuple shape.`],
    ['65 axes', file(plain(`(${'1, '.repeat(65)})`)), 'shape is "an array of 65"; allowed: an array of at most 64 entries.'],
    ['Fortran order', file(plain('(2, 2)', '<f4', 'True'), Array<number>(16).fill(0)), 'fortran_order is true; allowed: False: C order (in NumPy: np.ascontiguousarray(array)).'],
    ['an order that is none', file(plain('(1,)', '<f4', '0')), 'fortran_order is 0; allowed: False'],
    ['big endian', file(plain('(1,)', '>f4'), [0, 0, 0, 0]), 'descr is ">f4"; allowed: <f4, <f8, <i4, <i8, |u1 (in NumPy: array.astype("<f4")).'],
    ['half precision', file(plain('(1,)', '<f2'), [0, 0]), 'descr is "<f2"'],
    ['objects', file(plain('(1,)', '|O'), [0x80, 4]), 'descr is "|O"'],
    ['the name of a property', file(plain('(1,)', 'toString')), 'descr is "toString"'],
    ['structures', file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n", [0, 0, 0, 0]), 'descr is [["a","<f4"]]'],
    ['a type that is not a string', file("{'descr': f4, 'fortran_order': False, 'shape': (1,), }\n"), `the header is "{'descr': f4, `],
    ['a missing key', file("{'descr': '<f4', 'shape': (1,)}"), `the header is "{'descr': '<f4', 'shape': (1,)}"; allowed: a Python dictionary`],
    ['no keys', file('{}'), 'the header is "{}"; allowed'],
    ['nothing', file('null'), 'the header is "null"; allowed'],
    ['a foreign key', file("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}"), `the header is "{'descr': '<f4', `],
    ['another key', file("{'descr': '<f4', 'order': False, 'shape': (1,)}"), 'fortran_order is undefined'],
    ['a key of every object', file("{'__proto__': {}, 'descr': '<f4', 'fortran_order': False, 'shape': (0,)}"), `the header is "{'__proto__`],
    ['entries without commas', file("{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}"), `the header is "{'descr': '<f4' 'fortran`],
    ['no dictionary', file("__import__('os')"), `the header is "__import__('os')"; allowed: a Python dictionary`],
    ['a list', file('[1, 2, 3]'), 'the whole is [1,2,3]; allowed: an object.'],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => decodeNpy(bytes, 'noise.npy')).toThrow(FormatError);
    expect(() => decodeNpy(bytes, 'noise.npy')).toThrow('noise.npy is no .npy file that can be used here: ');
    expect(() => decodeNpy(bytes, 'noise.npy')).toThrow(message);
  });

  it('refuses every truncation', () => {
    const bytes = encodeNpy({ shape: [2, 3], data: Float64Array.of(1, 2, 3, 4, 5, 6) });
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeNpy(bytes.subarray(0, length), 'x')).toThrow(FormatError);
    }
  });

  it('answers any corruption with a tensor as large as the file says, or a FormatError', () => {
    const original = encodeNpy({ shape: [3, 2], data: Int32Array.of(1, 2, 3, 4, 5, 6) });
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { minLength: 1, maxLength: 4 }), (changes) => {
      const bytes = original.slice();
      for (const [at, value] of changes) bytes[at] = value;
      try {
        const { shape, data } = decodeNpy(bytes, 'x');
        expect(data.length).toBe(shape.reduce((a, b) => a * b, 1));
        expect(data.byteLength).toBeLessThanOrEqual(bytes.length);
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    }), { numRuns: 2000 });
  });

  it('refuses headers made to keep a parser busy', () => {
    for (const hostile of ['{'.repeat(9999), `{${' '.repeat(9990)}`, `{'shape': (${'1,'.repeat(4900)}`, `{${'}'.repeat(9000)}x`, `{'descr': '${"''".repeat(4900)}`,
      plain(`(${'1'.repeat(9000)}x)`), plain(`(${' '.repeat(9000)}x)`)]) {
      expect(() => decodeNpy(file(hostile), 'x')).toThrow(FormatError);
    }
  });
});

const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find(
  (command) => command !== undefined && spawnSync(command, ['-c', 'import numpy']).status === 0,
);
if (python === undefined) console.log('skip: no Python with numpy (set RATIOFLOW_PYTHON): .npy is not compared with numpy');

describe('NumPy', () => {
  // Reads our files one after the other, checks them against the tensors given as text, and writes them again.
  const script = `
import io, json, sys
import numpy as np
for line, hexadecimal in zip(*[iter(sys.stdin.read().splitlines())] * 2):
    dtype, shape, data = json.loads(line)
    array = np.load(io.BytesIO(bytes.fromhex(hexadecimal)))
    assert array.dtype == np.dtype(dtype) and list(array.shape) == shape and array.tobytes().hex() == data, line
    for version in ((1, 0), (2, 0), (3, 0)):
        out = io.BytesIO()
        np.lib.format.write_array(out, array, version)
        print(out.getvalue().hex())`;
  const dtypes = { Float32Array: '<f4', Float64Array: '<f8', Int32Array: '<i4', BigInt64Array: '<i8', Uint8Array: '|u1' };

  it.skipIf(python === undefined)('reads what we write, and we read what it writes', () => {
    const tensors = fc.sample(tensor, { numRuns: 100, seed: 1 });
    const input = tensors.flatMap((one) => {
      const [type, shape, data] = exact(one) as [keyof typeof dtypes, number[], string];
      return [JSON.stringify([dtypes[type], shape, data]), Buffer.from(encodeNpy(one)).toString('hex')];
    });
    const run = spawnSync(python!, ['-c', script], { input: input.join('\n'), encoding: 'utf8', maxBuffer: 2 ** 28 });
    expect(run.stderr).toBe('');
    const files = run.stdout.trim().split('\n').map((line) => Uint8Array.from(Buffer.from(line, 'hex')));
    expect(files.length).toBe(3 * tensors.length);
    for (const [i, bytes] of files.entries()) expect(exact(decodeNpy(bytes, 'numpy'))).toEqual(exact(tensors[Math.floor(i / 3)]!));
    // NumPy itself would write the very same bytes.
    for (const [i, one] of tensors.entries()) expect(Buffer.compare(files[3 * i]!, encodeNpy(one))).toBe(0);
  });
});
