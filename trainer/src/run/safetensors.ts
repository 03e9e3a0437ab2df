/**
 * The safetensors format (an 8-byte header length, a JSON header, raw little-endian arrays): checkpoints that Python reads
 * with one call. Float32 only. The hash of the arrays stands in the metadata, so that damage is noticed.
 */
import { createHash } from 'node:crypto';
import { FormatError } from '@ratioflow/sdk';

export interface NamedArrays {
  readonly arrays: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  readonly metadata: Readonly<Record<string, string>>;
}

const hashKey = 'sha256';

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
  const header = JSON.stringify({ __metadata__: { ...metadata, [hashKey]: hash(body) }, ...Object.fromEntries(entries) });
  // The arrays start at a multiple of 8; the format pads the header with spaces.
  const text = new TextEncoder().encode(header.padEnd(Math.ceil(Buffer.byteLength(header) / 8) * 8 - (Buffer.byteLength(header) - header.length)));
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
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, 8 + length))) as Record<string, unknown>;
  } catch (cause) {
    return fail(`its header is not readable (${(cause as Error).message})`);
  }
  const body = bytes.subarray(8 + length);
  const metadata = (header['__metadata__'] ?? {}) as Record<string, string>;
  if (metadata[hashKey] !== hash(body)) fail('its hash does not match: the file is damaged or incomplete');
  const arrays = new Map<string, { shape: number[]; data: Float32Array }>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const { dtype, shape, data_offsets: offsets } = entry as { dtype?: unknown; shape?: number[]; data_offsets?: number[] };
    const [begin, end] = offsets ?? [];
    const size = Array.isArray(shape) ? shape.reduce((a, b) => a * b, 4) : -1;
    if (dtype !== 'F32' || !shape || begin === undefined || end === undefined || end - begin !== size || begin < 0 || end > body.byteLength) {
      return fail(`the entry of ${JSON.stringify(name)} contradicts itself`);
    }
    arrays.set(name, { shape, data: new Float32Array(body.slice(begin, end).buffer) });
  }
  return { arrays, metadata };
}

const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
