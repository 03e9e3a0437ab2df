import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BundleError } from './errors.js';
import { resolveExternalData } from './external-data.js';

// A protobuf encoder as small as the format allows: every message is written by hand from onnx.proto.
type Part = number | string | Uint8Array;
const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))]);
const field = (number: number, ...parts: Part[]): Uint8Array => {
  if (typeof parts[0] === 'number') return Uint8Array.from([...varint(number * 8), ...varint(parts[0])]);
  const content = parts.flatMap((part) => (typeof part === 'string' ? [...new TextEncoder().encode(part)] : [...part as Uint8Array]));
  return Uint8Array.from([...varint(number * 8 + 2), ...varint(content.length), ...content]);
};
const message = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));
const entry = (key: string, value: string): Uint8Array => field(13, field(1, key), field(2, value));
const tensor = (...parts: Uint8Array[]): Uint8Array => message(field(1, 2), field(8, 'W'), ...parts);
const external = (offset?: number, length?: number, location = 'weights.bin'): Uint8Array => tensor(
  entry('location', location), ...(offset === undefined ? [] : [entry('offset', String(offset))]), ...(length === undefined ? [] : [entry('length', String(length))]), field(14, 1));
/** ModelProto { ir_version, graph { node { attribute { name, g { initializer } } }, initializer } }. */
const modelOf = (main: Uint8Array[], inner: Uint8Array[]): Uint8Array => message(field(1, 8), field(7,
  field(1, field(4, 'Loop'), field(5, field(1, 'body'), field(6, ...inner.map((each) => field(5, each)), field(2, 'body')))), field(2, 'main'), ...main.map((each) => field(5, each))));

/** The same field, its tag plus 2³². */
const hidden = ([tag, ...rest]: Uint8Array): Uint8Array => Uint8Array.of(tag! | 128, 128, 128, 128, 16, ...rest);

/** Loops in loops in loops. */
const nested = (depth: number): Uint8Array => (depth === 0 ? new Uint8Array(0) : field(1, field(5, field(6, nested(depth - 1)))));

const weights = Uint8Array.from({ length: 300 }, (_, i) => i % 256);
const resolve = (model: Uint8Array): ReturnType<typeof resolveExternalData> => resolveExternalData({ name: 'm.onnx', model, externalData: () => Promise.resolve(weights) });

describe('resolveExternalData', () => {
  it('leaves a model without external data alone', async () => {
    const model = modelOf([tensor(field(9, 'abcdefgh'))], [tensor(field(9, 'x'))]);
    const result = await resolve(model);
    expect(result.model).toBe(model);
    expect(result.externalData.size).toBe(0);
  });

  it('keeps the external tensors of the main graph', async () => {
    const model = modelOf([external(8, 16), external()], []);
    expect(await resolve(model)).toEqual({ name: 'm.onnx', model, externalData: new Map([['weights.bin', weights]]) });
  });

  it('embeds those of subgraphs, and only those', async () => {
    const result = await resolve(modelOf([external(8, 16)], [tensor(field(9, 'kept')), external(100, 150), external(299)]));
    const embedded = (from: number, to: number): Uint8Array => tensor(field(9, weights.subarray(from, to)));
    expect(result.model).toEqual(modelOf([external(8, 16)], [tensor(field(9, 'kept')), embedded(100, 250), embedded(299, 300)]));
    expect([...result.externalData.keys()]).toEqual(['weights.bin']);
    expect((await resolve(modelOf([], [external(0, 4)]))).externalData.size).toBe(0);
  });

  it.each<[Uint8Array, string]>([
    [modelOf([external(290, 11)], []), 'm.onnx: a tensor wants bytes 290 to 301 of weights.bin, which has 300.'],
    [modelOf([], [external(301)]), 'm.onnx: a tensor wants bytes 301 to 300 of weights.bin, which has 300.'],
    [modelOf([tensor(field(14, 1))], []), 'm.onnx: a tensor with external data gives no location.'],
    [modelOf([tensor(entry('location', 'weights.bin'), entry('offset', '-1'), field(14, 1))], []), 'm.onnx: the offset of external data is "-1"; allowed: a decimal integer.'],
    [modelOf([tensor(entry('location', 'weights.bin'), entry('length', '1e3'), field(14, 1))], []), 'm.onnx: the length of external data is "1e3"'],
    [modelOf([], Array.from({ length: 5 }, () => external())), 'm.onnx: its subgraphs name the external data more than four times over.'],
    [Uint8Array.of(0x3a, 5, 1), 'm.onnx is not an ONNX model: field 7 at byte 0 runs past the end.'],
    [Uint8Array.of(0x3a, 0xff), 'm.onnx is not an ONNX model: it breaks off inside a field.'],
    [Uint8Array.of(0x3b), 'm.onnx is not an ONNX model: wire type 3 at byte 0.'],
    // Tags and texts that engines read as others than a careless walk does.
    [modelOf([tensor(hidden(entry('location', 'secret.bin')), hidden(field(14, 1)))], []), 'is not an ONNX model: the tag at byte'],
    [message(field(1, 8), hidden(field(7, field(5, external(0, 4, 'secret.bin'))))), 'm.onnx is not an ONNX model: the tag at byte 2 has more than 32 bits.'],
    [modelOf([tensor(field(13, field(1, 'location'), field(2, 'weights.bin'), field(2, `${'./'.repeat(500)}secret.bin`)), field(14, 1))], []), 'm.onnx: external data is described by a text of 1010 bytes; allowed: at most 1000.'],
    [field(7, nested(60)), 'm.onnx: subgraphs are nested more than 64 messages deep.'],
  ])('refuses model %#', async (model, text) => {
    await expect(resolve(model)).rejects.toThrow(BundleError);
    await expect(resolve(model)).rejects.toThrow(text);
  });

  it('asks for every location before anything else, and passes the refusal on', async () => {
    const refusal = new BundleError('no');
    await expect(resolveExternalData({ name: 'm.onnx', model: modelOf([], [external(0, 4, '../../etc/shadow')]), externalData: () => Promise.reject(refusal) })).rejects.toBe(refusal);
  });

  it('survives any bytes: a model, or a BundleError', async () => {
    const model = modelOf([external(8, 16)], [tensor(field(9, 'kept')), external(100, 150)]);
    const mutated = fc.tuple(fc.nat(model.length - 1), fc.nat(30), fc.uint8Array({ maxLength: 6 })).map(([at, cut, put]) => message(model.subarray(0, at), put, model.subarray(at + cut)));
    await fc.assert(fc.asyncProperty(fc.oneof(mutated, fc.uint8Array({ maxLength: 64 })), async (bytes) => {
      await resolve(bytes).then(({ externalData }) => expect(externalData.size).toBeLessThan(4), (error: unknown) => expect(error).toBeInstanceOf(BundleError));
    }), { numRuns: 2000 });
  });
});
