/** NumPy's archives of arrays (`.npz`): zip files whose members are `.npy`. Read stored and deflated, written stored. */
import { readFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { writeFileAtomic } from '@ratioflow/node';
import { ArgumentError, FormatError, type Tensor } from '@ratioflow/sdk';
import { decodeNpy, encodeNpy } from '@ratioflow/sdk/npy';
import { fromBufferPromise, type Entry } from 'yauzl';

/** Sizes beyond this need zip64, which is not written. */
const largest = 2 ** 32 - 2;

/**
 * The arrays named that the archive has; others are not unpacked.
 * @param extra further ones, which are left out where they have a type that is not read: in an archive of somebody else the name may mean anything
 * @throws {ArgumentError} when the file cannot be read; {FormatError} when it is no archive of arrays
 */
export async function readNpz(path: string, names: readonly string[], extra: readonly string[] = []): Promise<Map<string, Tensor>> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ArgumentError(`${path} cannot be read: ${(cause as Error).message}.`, { cause });
  });
  const arrays = new Map<string, Tensor>();
  try {
    const archive = await fromBufferPromise(bytes, { lazyEntries: true });
    for await (const entry of archive.eachEntry() as AsyncIterable<Entry>) {
      const name = entry.fileName.replace(/\.npy$/, '');
      if (!names.includes(name) && !extra.includes(name)) continue;
      const content = Buffer.alloc(entry.uncompressedSize);
      let filled = 0;
      for await (const part of await archive.openReadStreamPromise(entry) as AsyncIterable<Buffer>) filled += part.copy(content, filled);
      if (crc32(content) !== entry.crc32) throw new FormatError(`${path}: the array ${name} is damaged (its checksum does not match).`);
      try {
        arrays.set(name, decodeNpy(content, `${path}: ${name}`));
      } catch (error) {
        if (!extra.includes(name)) throw error;
      }
    }
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    throw new FormatError(`${path} is no .npz archive that can be read: ${(cause as Error).message.replace(/\.+$/, '')}.`, { cause });
  }
  return arrays;
}

/** Writes arrays, complete or not at all; numpy's `load` reads them. @throws {ArgumentError} beyond 4 GiB */
export async function writeNpz(path: string, arrays: ReadonlyMap<string, Tensor>): Promise<void> {
  const [parts, index]: [Uint8Array[], Uint8Array[]] = [[], []];
  let offset = 0;
  for (const [name, tensor] of arrays) {
    const content = encodeNpy(tensor);
    const file = Buffer.from(`${name}.npy`, 'utf8');
    if (offset + content.byteLength > largest) throw new ArgumentError(`${path} would exceed 4 GiB: keep fewer features.`);
    // Version 2.0, names in UTF-8, stored, 1 January 1980: the same arrays are the same bytes.
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(0x0800, 2);
    common.writeUInt16LE(0x21, 8);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(content.byteLength, 14);
    common.writeUInt32LE(content.byteLength, 18);
    common.writeUInt16LE(file.length, 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    parts.push(signature(0x04034b50), common, file, content);
    index.push(signature(0x02014b50), Buffer.from([20, 0]), common, tail, file);
    offset += 4 + common.length + file.length + content.byteLength;
  }
  const indexSize = index.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(arrays.size, 4);
  end.writeUInt16LE(arrays.size, 6);
  end.writeUInt32LE(indexSize, 8);
  end.writeUInt32LE(offset, 12);
  await writeFileAtomic(path, Buffer.concat([...parts, ...index, signature(0x06054b50), end]));
}

function signature(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
