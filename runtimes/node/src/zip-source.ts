/**
 * A bundle in a zip archive in memory. Only the index is read at first; a file is unpacked when it is asked for, and
 * never beyond the size that the bundle's manifest gives it, so that an archive cannot blow up. Stored and deflated files,
 * no encryption, no zip64: a bundle has a few dozen files.
 */
import { promisify } from 'node:util';
import { inflateRaw } from 'node:zlib';
import { BundleError } from '@ratioflow/sdk';
import type { BundleSource } from '@ratioflow/sdk';

interface Entry { readonly method: number; readonly flags: number; readonly compressed: number; readonly offset: number }

const unpack = promisify(inflateRaw);
const endSignature = 0x06054b50;
const indexSignature = 0x02014b50;
const fileSignature = 0x04034b50;
const [stored, deflated] = [0, 8];
/** Entries that are looked at, far beyond any bundle. */
const maxEntries = 20_000;

/**
 * The files of a zipped bundle: its manifest lies at the top of the archive, or in the only folder there.
 * @param location what messages call the archive
 * @throws {BundleError} for bytes that are no zip archive
 */
export function zipSource(bytes: Uint8Array, location = 'zip archive'): BundleSource {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fail = (message: string, cause?: unknown): never => { throw new BundleError(`${location}: ${message}.`, { cause }); };
  const entries = readIndex(data, fail);
  const manifests = [...entries.keys()].filter((name) => /^([^/]+\/)?manifest\.json$/.test(name));
  const manifest = manifests.find((name) => name === 'manifest.json') ?? (manifests.length === 1 ? manifests[0]! : fail('the archive holds no bundle: no manifest.json at its top or in its only folder'));
  const prefix = manifest.slice(0, -'manifest.json'.length);
  return {
    location,
    read: async (name, limit = data.length) => {
      const { method, flags, compressed, offset } = entries.get(prefix + name) ?? fail(`${name} is missing`);
      if ((flags & 1) !== 0) fail(`${name} is encrypted`);
      if (offset + 30 > data.length || data.readUInt32LE(offset) !== fileSignature) fail(`the archive is damaged at ${name}`);
      const start = offset + 30 + data.readUInt16LE(offset + 26) + data.readUInt16LE(offset + 28);
      if (start + compressed > data.length) fail(`${name} runs past the end of the archive`);
      const content = data.subarray(start, start + compressed);
      if (method === stored) return compressed <= limit ? Uint8Array.from(content) : fail(`${name} has ${compressed} bytes; allowed: ${limit}`);
      if (method !== deflated) fail(`${name} is packed by method ${method}; allowed: 0 (stored) and 8 (deflate)`);
      try {
        const unpacked = await unpack(content, { maxOutputLength: Math.max(1, Math.min(limit, 2 ** 32)) });
        return unpacked.byteLength <= limit ? new Uint8Array(unpacked.buffer, unpacked.byteOffset, unpacked.byteLength) : fail(`${name} has ${unpacked.byteLength} bytes; allowed: ${limit}`);
      } catch (cause) {
        if (cause instanceof BundleError) throw cause;
        const { code, message } = cause as NodeJS.ErrnoException;
        return fail(code === 'ERR_BUFFER_TOO_LARGE' ? `${name} unpacks to more than the ${limit} bytes allowed` : `${name} cannot be unpacked: ${message}`, cause);
      }
    },
  };
}

function readIndex(data: Buffer, fail: (message: string) => never): Map<string, Entry> {
  // The end record is 22 bytes and a comment of at most 65,535.
  let end = data.length - 22;
  const last = Math.max(0, end - 65_535);
  while (end >= last && data.readUInt32LE(end) !== endSignature) end--;
  if (end < last) fail('this is no zip archive, or it is cut off');
  const count = data.readUInt16LE(end + 10);
  if (count > maxEntries) fail(`the archive has ${count} entries; allowed: ${maxEntries}`);
  const entries = new Map<string, Entry>();
  let at = data.readUInt32LE(end + 16);
  for (let i = 0; i < count; i++) {
    if (at + 46 > end || data.readUInt32LE(at) !== indexSignature) fail('the index of the archive is damaged');
    const [nameLength, extraLength, commentLength] = [data.readUInt16LE(at + 28), data.readUInt16LE(at + 30), data.readUInt16LE(at + 32)];
    if (at + 46 + nameLength > end) fail('the index of the archive is damaged');
    const name = data.toString('utf8', at + 46, at + 46 + nameLength);
    // Which of two would be meant? Readers differ, and that is how archives deceive.
    if (entries.has(name)) fail(`the archive holds ${JSON.stringify(name.slice(0, 100))} twice`);
    entries.set(name, { method: data.readUInt16LE(at + 10), flags: data.readUInt16LE(at + 8), compressed: data.readUInt32LE(at + 20), offset: data.readUInt32LE(at + 42) });
    at += 46 + nameLength + extraLength + commentLength;
  }
  return entries;
}
