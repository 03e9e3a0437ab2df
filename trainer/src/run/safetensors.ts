/**
 * The safetensors format (an 8-byte header length, a JSON header, raw little-endian arrays): checkpoints that Python reads
 * with one call. Float32 only. A hash of header and arrays stands in the metadata, so that damage is noticed.
 */
import { createHash } from 'node:crypto';
import { FormatError } from '@ratioflow/sdk';

export interface NamedArrays {
  readonly arrays: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  readonly metadata: Readonly<Record<string, string>>;
}

const hashKey = 'sha256';
/** What stands in the hash's place while it is computed. */
const noHash = '0'.repeat(64);
const hashField = (hash: string): string => `"${hashKey}":"${hash}"`;

export function encodeSafetensors({ arrays, metadata }: NamedArrays): Uint8Array {
  let offset = 0;
  const entries = [...arrays].map(([name, { shape, data }]) => {
    const begin = offset;
    offset += data.byteLength;
    return [name, { dtype: 'F32', shape, data_offsets: [begin, offset] }] as const;
  });
  const body = new Uint8Array(offset);
  let at = 0;
  for (const { data } of arrays.values()) {
    body.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  const header = JSON.stringify({ __metadata__: { ...metadata, [hashKey]: noHash }, ...Object.fromEntries(entries) });
  // The arrays start at a multiple of 8; the format pads the header with spaces.
  const padded = header + ' '.repeat(-Buffer.byteLength(header) & 7);
  const text = new TextEncoder().encode(padded.replace(hashField(noHash), hashField(hashOf(padded, body))));
  const bytes = new Uint8Array(8 + text.byteLength + body.byteLength);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.byteLength), true);
  bytes.set(text, 8);
  bytes.set(body, 8 + text.byteLength);
  return bytes;
}

/** @param what the file, for messages. @throws {FormatError} for a file that is truncated, damaged or of another kind */
export function decodeSafetensors(bytes: Uint8Array, what: string): NamedArrays {
  const fail = (problem: string): never => {
    throw new FormatError(`${what} is no intact checkpoint: ${problem}. Use an earlier one.`);
  };
  if (bytes.byteLength < 8) fail(`it has ${bytes.byteLength} bytes`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (length > bytes.byteLength - 8) fail(`its header should have ${length} bytes, ${bytes.byteLength - 8} are there`);
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, 8 + length));
    header = JSON.parse(text);
  } catch (cause) {
    return fail(`its header is not readable (${(cause as Error).message})`);
  }
  if (!isRecord(header)) return fail('its header is no object');
  // As a plain Uint8Array: `slice` of Node's Buffer would not copy.
  const body = new Uint8Array(bytes.buffer, bytes.byteOffset + 8 + length, bytes.byteLength - 8 - length);
  const metadata = (isRecord(header['__metadata__']) ? header['__metadata__'] : {}) as Record<string, string>;
  const found = metadata[hashKey];
  if (found === undefined || found !== hashOf(text.replace(hashField(found), hashField(noHash)), body)) {
    fail('its hash does not match: the file is damaged or incomplete');
  }
  const arrays = new Map<string, { shape: number[]; data: Float32Array }>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const { dtype, shape, data_offsets: offsets } = (isRecord(entry) ? entry : {}) as { dtype?: unknown; shape?: number[]; data_offsets?: number[] };
    const [begin, end] = offsets ?? [];
    const size = Array.isArray(shape) ? shape.reduce((a, b) => a * b, 4) : -1;
    if (dtype !== 'F32' || !shape || begin === undefined || end === undefined || end - begin !== size || begin < 0 || end > body.byteLength) {
      return fail(`the entry of ${JSON.stringify(name)} contradicts itself`);
    }
    arrays.set(name, { shape, data: new Float32Array(body.slice(begin, end).buffer) });
  }
  return { arrays, metadata };
}

const hashOf = (header: string, body: Uint8Array): string => createHash('sha256').update(header).update(body).digest('hex');
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
