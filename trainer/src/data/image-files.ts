/** Images as files in a folder, a zip or a tar (plain or gzipped), one after the other in an order that never changes. */
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { ArgumentError, FormatError } from '@ratioflow/sdk';
import { extract } from 'tar-stream';
import { openPromise, type Entry } from 'yauzl';

/** One file of a collection. */
export interface ImageFile {
  /** Path inside the collection, with `/`. */
  readonly name: string;
  readonly bytes: Buffer;
}

/** A collection that can be gone through. */
export interface ImageFiles {
  /** What it is, and everything by which a change of it would show: names, sizes, times. */
  readonly stamp: string;
  files(): AsyncGenerator<ImageFile>;
}

const isImage = (name: string): boolean => /\.(jpe?g|png|webp)$/i.test(name) && !basename(name).startsWith('.') && !name.startsWith('__MACOSX/');

/** @throws {ArgumentError} for a path that is not there or of another kind, {FormatError} for a damaged archive */
export async function openImageFiles(path: string): Promise<ImageFiles> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new ArgumentError(`${JSON.stringify(path)} cannot be read: ${(cause as Error).message}. Needed is a folder or an archive (.zip, .tar, .tar.gz) of images.`, { cause });
  });
  if (found.isDirectory()) return folder(path);
  const stamp = `${basename(path)} ${found.size} ${found.mtimeMs}`;
  const damaged = (cause: unknown): FormatError => {
    const { message } = cause as Error;
    const remedy = /relative path|absolute path|invalid characters/.test(message) ? 'No archive should name a file so: pack the images anew' : 'It is truncated or damaged: fetch it again';
    return new FormatError(`${path}: the archive cannot be read (${message.replace(/\.$/, '')}). ${remedy}.`, { cause });
  };
  if (/\.zip$/i.test(path)) return { stamp, files: () => guarded(zip(path), damaged) };
  if (/\.(tar|tar\.gz|tgz)$/i.test(path)) return { stamp, files: () => guarded(tar(path), damaged) };
  throw new ArgumentError(`${JSON.stringify(path)} is neither a folder nor a .zip, .tar, .tar.gz or .tgz archive of images.`);
}

async function folder(path: string): Promise<ImageFiles> {
  const names = (await readdir(path, { recursive: true })).map((name) => name.replaceAll('\\', '/')).filter(isImage).sort();
  const lines: string[] = [];
  for (const name of names) {
    const { size, mtimeMs } = await stat(join(path, name));
    lines.push(`${name} ${size} ${mtimeMs}`);
  }
  return {
    stamp: lines.join('\n'),
    async *files() {
      for (const name of names) yield { name, bytes: await readFile(join(path, name)) };
    },
  };
}

async function* guarded(files: AsyncGenerator<ImageFile>, damaged: (cause: unknown) => FormatError): AsyncGenerator<ImageFile> {
  // What goes wrong in the consumer passes by here as well: only errors of the reader are the archive's.
  for (;;) {
    const next = await files.next().catch((cause: unknown) => {
      throw damaged(cause);
    });
    if (next.done) return;
    yield next.value;
  }
}

async function* zip(path: string): AsyncGenerator<ImageFile> {
  const archive = await openPromise(path, { lazyEntries: true, autoClose: false });
  try {
    for await (const entry of archive.eachEntry() as AsyncIterable<Entry>) {
      if (!isImage(entry.fileName)) continue;
      yield { name: entry.fileName, bytes: await collected(await archive.openReadStreamPromise(entry)) };
    }
  } finally {
    archive.close();
  }
}

async function* tar(path: string): AsyncGenerator<ImageFile> {
  const source = createReadStream(path);
  const unpacking = extract();
  const fail = (error: Error): void => {
    unpacking.destroy(error);
  };
  source.on('error', fail);
  if (/gz$/i.test(path)) source.pipe(createGunzip().on('error', fail)).pipe(unpacking);
  else source.pipe(unpacking);
  try {
    for await (const entry of unpacking) {
      if (entry.header.type === 'file' && isImage(entry.header.name)) yield { name: entry.header.name.replace(/^\.\//, ''), bytes: await collected(entry) };
      else entry.resume();
    }
  } finally {
    source.destroy();
  }
}

async function collected(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
