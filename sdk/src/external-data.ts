/**
 * External data in a serialized ONNX model, found and checked before an engine sees it, so that no engine ever follows
 * a location that the bundle chose. Tensors of the main graph stay external: engines take their bytes from memory.
 * Tensors inside subgraphs (a Loop's body) are embedded, because ONNX Runtime looks for those on disk even when it is
 * given the bytes. A walk over the protobuf wire format, bounded in depth and by the size of the model.
 */
import { BundleError } from './errors.js';
import type { GraphSource } from './runtime.js';

/** Message types of onnx.proto that can hold a tensor: field number → type of the message in it. */
const schema = {
  model: { 7: 'graph', 20: 'training', 25: 'function' },
  training: { 1: 'graph', 2: 'graph' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  function: { 7: 'node', 11: 'attribute' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: {},
} as const satisfies Record<string, Readonly<Record<number, string>>>;
type MessageType = keyof typeof schema;

const maxDepth = 64;
/** TensorProto: raw_data, external_data, data_location and its value EXTERNAL. */
const rawData = 9;
const externalData = 13;
const dataLocation = 14;
const external = 1;

interface Field {
  readonly number: number;
  readonly wire: number;
  /** Where the field with its tag begins and ends. */
  readonly start: number;
  readonly end: number;
  /** Value of a varint (wire 0); where the content begins otherwise. */
  readonly value: number;
}

/** A graph as engines take it: the model, and the whole external files that it still refers to, by location. */
export interface ResolvedGraph {
  readonly name: string;
  readonly model: Uint8Array;
  readonly externalData: ReadonlyMap<string, Uint8Array>;
}

/**
 * Makes a graph safe to load: every external tensor lies within its file, those of subgraphs are embedded. Every runtime
 * calls it before its engine sees the model.
 * @throws {BundleError} for bytes that are no model, external data beyond the end of its file, or data that nobody gives
 */
export async function resolveExternalData({ name, model, externalData: read }: Pick<GraphSource, 'name' | 'model' | 'externalData'>): Promise<ResolvedGraph> {
  const locations = new Set<string>();
  visit(name, model, 'model', 0, (tensor) => {
    locations.add(tensor.location);
    return undefined;
  });
  const files = new Map<string, Uint8Array>();
  if (locations.size === 0) return { name, model, externalData: files };
  for (const location of locations) {
    if (read === undefined) throw new BundleError(`${name} refers to external data ${JSON.stringify(location)}, which was not given.`);
    files.set(location, await read(location));
  }
  const used = new Map<string, Uint8Array>();
  // A few bytes of model can name the same weights any number of times; a sampler needs them about once.
  let embeddable = 4 * [...files.values()].reduce((size, file) => size + file.byteLength, 0);
  const rewritten = visit(name, model, 'model', 0, (tensor, depth) => {
    const file = files.get(tensor.location)!;
    const length = tensor.length ?? file.byteLength - tensor.offset;
    if (length < 0 || tensor.offset + length > file.byteLength) {
      throw new BundleError(`${name}: a tensor wants bytes ${tensor.offset} to ${tensor.offset + length} of ${tensor.location}, which has ${file.byteLength}.`);
    }
    // Depth 2 is an initializer of the main graph: model, graph, tensor.
    if (depth <= 2) {
      used.set(tensor.location, file);
      return undefined;
    }
    embeddable -= length;
    if (embeddable < 0) throw new BundleError(`${name}: its subgraphs name the external data more than four times over.`);
    return file.subarray(tensor.offset, tensor.offset + length);
  });
  return { name, model: rewritten ?? model, externalData: used };
}

interface ExternalTensor { readonly location: string; readonly offset: number; readonly length: number | undefined }
type Visitor = (tensor: ExternalTensor, depth: number) => Uint8Array | undefined;

/** Calls `visitor` for every external tensor; the message with the bytes it returns embedded, undefined if unchanged. */
function visit(name: string, bytes: Uint8Array, type: MessageType, depth: number, visitor: Visitor): Uint8Array | undefined {
  if (depth > maxDepth) throw new BundleError(`${name}: subgraphs are nested more than ${maxDepth} messages deep.`);
  if (type === 'tensor') return visitTensor(name, bytes, depth, visitor);
  const parts: Uint8Array[] = [];
  let copied = 0;
  for (const field of fieldsOf(name, bytes)) {
    const inner = (schema[type] as Readonly<Record<number, MessageType>>)[field.number];
    if (inner === undefined || field.wire !== 2) continue;
    const changed = visit(name, bytes.subarray(field.value, field.end), inner, depth + 1, visitor);
    if (changed === undefined) continue;
    parts.push(bytes.subarray(copied, field.start), prefix(field.number, changed.byteLength), changed);
    copied = field.end;
  }
  return parts.length === 0 ? undefined : concatenate([...parts, bytes.subarray(copied)]);
}

function visitTensor(name: string, bytes: Uint8Array, depth: number, visitor: Visitor): Uint8Array | undefined {
  const kept: Uint8Array[] = [];
  const entries = new Map<string, string>();
  let isExternal = false;
  for (const field of fieldsOf(name, bytes)) {
    if (field.number === dataLocation && field.wire === 0) isExternal = field.value === external;
    else if (field.number === externalData && field.wire === 2) {
      const [key, value] = keyValue(name, bytes.subarray(field.value, field.end));
      entries.set(key, value);
    } else kept.push(bytes.subarray(field.start, field.end));
  }
  if (!isExternal && entries.size === 0) return undefined;
  const location = entries.get('location');
  if (location === undefined) throw new BundleError(`${name}: a tensor with external data gives no location.`);
  const number = (key: string): number | undefined => {
    const value = entries.get(key);
    if (value === undefined) return undefined;
    if (!/^\d{1,15}$/.test(value)) throw new BundleError(`${name}: the ${key} of external data is ${JSON.stringify(value.slice(0, 40))}; allowed: a decimal integer.`);
    return Number(value);
  };
  const data = visitor({ location, offset: number('offset') ?? 0, length: number('length') }, depth);
  return data && concatenate([...kept, prefix(rawData, data.byteLength), data]);
}

/** A StringStringEntryProto. Locations are compared, never opened, so that Latin-1 does for decoding. */
function keyValue(name: string, bytes: Uint8Array): [string, string] {
  const strings = ['', ''];
  for (const field of fieldsOf(name, bytes)) {
    if (field.wire !== 2) continue;
    // Of several the last one counts, also for engines: none may be passed over.
    if (field.end - field.value > 1000) throw new BundleError(`${name}: external data is described by a text of ${field.end - field.value} bytes; allowed: at most 1000.`);
    strings[field.number - 1] = String.fromCharCode(...bytes.subarray(field.value, field.end));
  }
  return [strings[0]!, strings[1]!];
}

function* fieldsOf(name: string, bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      // Multiplication, as shifts lose everything above 32 bits.
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new BundleError(`${name} is not an ONNX model: it breaks off inside a field.`);
  };
  while (at < bytes.byteLength) {
    const start = at;
    const tag = varint();
    // Engines drop the bits beyond, and find in it a field that would have been passed over here.
    if (tag >= 2 ** 32) throw new BundleError(`${name} is not an ONNX model: the tag at byte ${start} has more than 32 bits.`);
    const wire = tag % 8;
    const number = Math.floor(tag / 8);
    let value = 0;
    if (wire === 0) value = varint();
    else if (wire === 2) {
      const length = varint();
      value = at;
      at += length;
    } else if (wire === 1 || wire === 5) {
      value = at;
      at += wire === 1 ? 8 : 4;
    } else throw new BundleError(`${name} is not an ONNX model: wire type ${wire} at byte ${start}.`);
    if (at > bytes.byteLength) throw new BundleError(`${name} is not an ONNX model: field ${number} at byte ${start} runs past the end.`);
    yield { number, wire, start, end: at, value };
  }
}

/** Tag and length of a length-delimited field. */
function prefix(field: number, length: number): Uint8Array {
  const bytes: number[] = [];
  for (let value of [field * 8 + 2, length]) {
    for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
    bytes.push(value);
  }
  return Uint8Array.from(bytes);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
