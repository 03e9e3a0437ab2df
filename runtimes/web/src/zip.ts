/**
 * A reader of ZIP archives on the browser's own inflate: the central directory, stored and deflated entries. Archives are
 * untrusted: an entry is inflated to the size that the directory states and not a byte further.
 */
import { BundleError } from '@ratioflow/sdk';
import { bundleFiles } from './file-source.js';
import type { BundleFiles } from './file-source.js';

/** Entries and bytes that an archive may hold when unpacked. */
const maxEntries = 10_000;
const maxBytes = 4 * 2 ** 30;

/**
 * The files of a bundle in an archive, at its top or in a folder there.
 * @throws {BundleError} for what is no ZIP archive, or one with encryption or more than 4 GiB
 */
export async function readZip(archive: Blob): Promise<BundleFiles> {
  const fail = (why: string): never => {
    throw new BundleError(`The file is no ZIP archive that can be read: ${why}.`);
  };
  const view = async (from: number, length: number): Promise<DataView> => new DataView(await archive.slice(from, from + length).arrayBuffer());
  // The end record is the last thing in the file but for a comment of at most 65,535 bytes.
  const tailStart = Math.max(0, archive.size - 65_557);
  const tail = await view(tailStart, archive.size - tailStart);
  let end = tail.byteLength - 22;
  while (end >= 0 && tail.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) fail('it has no directory');
  const count = tail.getUint16(end + 10, true);
  const [size, start] = [tail.getUint32(end + 12, true), tail.getUint32(end + 16, true)];
  if (count > maxEntries || start + size > archive.size) fail('its directory is damaged, or larger than this reader takes');
  const directory = await view(start, size);
  const files = new Map<string, Blob>();
  let total = 0;
  for (let at = 0, i = 0; i < count; i++) {
    if (at + 46 > size || directory.getUint32(at, true) !== 0x02014b50) fail('its directory is damaged');
    const field = (offset: number): number => directory.getUint32(at + offset, true);
    const [flags, method] = [directory.getUint16(at + 8, true), directory.getUint16(at + 10, true)];
    const [packed, unpacked, header] = [field(20), field(24), field(42)];
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => directory.getUint16(at + offset, true)) as [number, number, number];
    if (at + 46 + nameLength > size) fail('its directory is damaged');
    const name = new TextDecoder().decode(new Uint8Array(directory.buffer, at + 46, nameLength));
    at += 46 + nameLength + extra + comment;
    if (name.endsWith('/')) continue;
    total += unpacked;
    if (total > maxBytes) fail('it unpacks to more than 4 GiB');
    if ((flags & 1) !== 0 || (method !== 0 && method !== 8)) fail(`${name} is encrypted, or packed by method ${method}; allowed: stored or deflated`);
    const local = await view(header, 30);
    if (local.byteLength < 30 || local.getUint32(0, true) !== 0x04034b50) fail(`${name} lies outside of it`);
    const from = header + 30 + local.getUint16(26, true) + local.getUint16(28, true);
    const data = archive.slice(from, from + packed);
    const file = method === 0 ? data : await inflate(data, unpacked);
    if (file?.size !== unpacked) fail(`${name} is damaged`);
    files.set(name, file!);
  }
  return bundleFiles(files);
}

/** Undefined when the data does not inflate to this size. */
async function inflate(data: Blob, size: number): Promise<Blob | undefined> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let got = 0;
  try {
    const reader = data.stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      got += part.value.byteLength;
      if (got > size) {
        await reader.cancel();
        return undefined;
      }
      chunks.push(part.value);
    }
  } catch {
    return undefined;
  }
  return new Blob(chunks);
}
