/** Images as files in a folder, a zip or a tar (plain or gzipped), one after the other in an order that never changes. */
import { createReadStream } from 'node:fs';
import { access, constants, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join, sep } from 'node:path';
import { createGunzip } from 'node:zlib';
import { ArgumentError, FormatError } from '@ratioflow/sdk';
import { extract } from 'tar-stream';
import { openPromise, type Entry } from 'yauzl';

/** One file of a collection. */
export interface ImageFile {
  /** Path inside the collection, with `/`. */
  readonly name: string;
  /** What it holds, or why that cannot be read: one bad file does not end the pass over the others. */
  readonly bytes: Buffer | Error;
}

/** A collection that can be gone through. */
export interface ImageFiles {
  /** What it is, and everything by which a change of it would show: names, sizes, times. */
  readonly stamp: string;
  files(): AsyncGenerator<ImageFile>;
}

/** Whether a file or folder is hidden or lies in what is: those of macOS, of image viewers, of notebooks (.ipynb_checkpoints). */
const isHidden = (name: string): boolean => name.split('/').some((part) => (part.startsWith('.') && part !== '.' && part !== '..') || part === '__MACOSX');
/** Whether a file of a collection is one of its images. */
export const isImage = (name: string): boolean => /\.(jpe?g|png|webp)$/i.test(name) && !isHidden(name);

/**
 * @param signal ends the listing of a folder
 * @throws {ArgumentError} for a path that is not there or of another kind, {FormatError} for a damaged archive
 */
export async function openImageFiles(path: string, signal?: AbortSignal): Promise<ImageFiles> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new ArgumentError(`${JSON.stringify(path)} cannot be read: ${(cause as Error).message}. Needed is a folder or an archive (.zip, .tar, .tar.gz) of images.`, { cause });
  });
  if (found.isDirectory()) return folder(path, signal);
  const stamp = `${basename(path)} ${found.size} ${found.mtimeMs}`;
  const damaged = (cause: unknown): FormatError => {
    const { message } = cause as Error;
    const remedy = /relative path|absolute path|invalid characters/.test(message) ? 'No archive should name a file so: pack the images anew'
      : /encryption/.test(message) ? 'Unpack it with its password, and name the folder' : 'It is truncated or damaged: fetch it again';
    return new FormatError(`${path}: the archive cannot be read (${message.replace(/\.$/, '')}). ${remedy}.`, { cause });
  };
  if (/\.zip$/i.test(path)) return { stamp, files: () => guarded(zip(path), damaged) };
  if (/\.(tar|tar\.gz|tgz)$/i.test(path)) return { stamp, files: () => guarded(tar(path), damaged) };
  throw new ArgumentError(`${JSON.stringify(path)} is neither a folder nor a .zip, .tar, .tar.gz or .tgz archive of images.`);
}

async function folder(path: string, signal: AbortSignal | undefined): Promise<ImageFiles> {
  const listed = await list(path, signal);
  return {
    stamp: listed.map(({ name, state }) => `${name} ${state}`).join('\n'),
    async *files() {
      for (const { name, problem } of listed) yield { name, bytes: problem ?? await readFile(join(path, name)).catch((error: unknown) => error as Error) };
    },
  };
}

interface Listed {
  readonly name: string;
  /** Size and time of a file, or the problem. */
  readonly state: string;
  readonly problem?: Error;
}

/** Image files of a folder and of those in it, in the order of their names. Links are followed, but not to a folder that they lie in. */
async function list(root: string, signal: AbortSignal | undefined): Promise<Listed[]> {
  const listed: Listed[] = [];
  const report = (name: string, reason: string): unknown => listed.push({ name, state: reason, problem: new Error(reason) });
  /** Grows while it is gone through. `above`: where the folders on the way to it really are. */
  const folders: { readonly name: string; readonly above: readonly string[] }[] = [{ name: '', above: [] }];
  for (const { name: inside, above } of folders) {
    const real = await realpath(join(root, inside));
    if (above.some((other) => `${other}${sep}`.startsWith(`${real}${sep}`))) {
      report(inside, 'a link to a folder that it lies in');
      continue;
    }
    const entries = await readdir(real, { withFileTypes: true }).catch((error: unknown) => {
      if (inside === '') throw error;
      report(inside, (error as Error).message);
      return [];
    });
    for (const entry of entries) {
      signal?.throwIfAborted();
      const name = inside === '' ? entry.name : `${inside}/${entry.name}`;
      if (isHidden(name) || (!entry.isDirectory() && !entry.isSymbolicLink() && !isImage(name))) continue;
      try {
        const found = await stat(join(real, entry.name));
        if (found.isDirectory()) folders.push({ name, above: [...above, real] });
        else if (!isImage(name)) continue;
        else if (!found.isFile()) report(name, 'neither a file nor a folder');
        else {
          await access(join(real, entry.name), constants.R_OK);
          listed.push({ name, state: `${found.size} ${found.mtimeMs}` });
        }
      } catch (error) {
        if (isImage(name)) report(name, entry.isSymbolicLink() && (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'a link to a file that is not there' : (error as Error).message);
      }
    }
  }
  return listed.sort((a, b) => (a.name < b.name ? -1 : 1));
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
      yield { name: entry.fileName, bytes: await archive.openReadStreamPromise(entry).then(collected).catch(problemOfEntry) };
    }
  } finally {
    archive.close();
  }
}

/** Compression methods of zip that are met, of those that are not read here. */
const compressionMethods: Readonly<Record<string, string>> = { 9: 'Deflate64', 12: 'bzip2', 14: 'LZMA', 93: 'Zstandard', 95: 'XZ' };

function problemOfEntry(cause: unknown): Error {
  const { message } = cause as Error;
  const method = /unsupported compression method: (\d+)/.exec(message)?.[1];
  if (method !== undefined) return new Error(`unsupported compression method ${method}${method in compressionMethods ? ` (${compressionMethods[method]!})` : ''}: pack the images with deflate`);
  return new Error(/encrypted/.test(message) ? 'encrypted: unpack the archive with its password, and name the folder' : `damaged in the archive (${message})`);
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
      const { type, linkname } = entry.header;
      const name = entry.header.name.replace(/^\.\//, '');
      if (type === 'file' && isImage(name)) yield { name, bytes: await collected(entry) };
      else entry.resume();
      // The entry that a link names may have gone by, or come later.
      if ((type === 'link' || type === 'symlink') && isImage(name)) yield { name, bytes: new Error(`a link to ${linkname}: pack the images with tar --dereference --hard-dereference`) };
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
