/** Writes ZIP archives, for tests of the reader. */
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';

/** Files of a folder, and of the folders in it, under a prefix; every second one deflated. */
export async function writeZip(path: string, folder: string, prefix = ''): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  const [bodies, directory]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (const [i, entry] of entries.filter((one) => one.isFile()).entries()) {
    const full = join(entry.parentPath, entry.name);
    const name = Buffer.from(prefix + full.slice(folder.length + 1));
    const content = await readFile(full);
    const data = i % 2 === 0 ? content : deflateRawSync(content);
    const header = Buffer.alloc(26);
    header.writeUInt16LE(20, 0);
    header.writeUInt16LE(i % 2 === 0 ? 0 : 8, 4);
    header.writeUInt32LE(crc32(content), 10);
    header.writeUInt32LE(data.length, 14);
    header.writeUInt32LE(content.length, 18);
    header.writeUInt16LE(name.length, 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.from([0x50, 0x4b, 1, 2, 20, 0]), header, tail, name);
    bodies.push(Buffer.from([0x50, 0x4b, 3, 4]), header, name, data);
    offset += 30 + name.length + data.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(directory.length / 4, 8);
  end.writeUInt16LE(directory.length / 4, 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(offset, 16);
  await writeFile(path, Buffer.concat([...bodies, ...directory, end]));
}
