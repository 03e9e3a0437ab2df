/**
 * Files that are there completely or not at all.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { RatioflowError } from '@ratioflow/sdk';

/**
 * Writes a file by way of a temporary one in the same folder, flushed to the disk and then renamed. Missing folders are
 * made. Whoever reads `path` sees the old content or the new, never a part; after a failure nothing is left behind.
 * @throws {RatioflowError} saying what went wrong and with which file
 */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await mkdir(folder, { recursive: true });
    const file = await open(temporary, 'wx');
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new RatioflowError(`${path} cannot be written: ${reasonOf(cause)}`, { cause });
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full.',
  EDQUOT: 'the disk quota is used up.',
  EFBIG: 'it is larger than the system allows a file to be.',
  EACCES: 'permission denied.',
  EPERM: 'the operation is not permitted.',
  EROFS: 'the file system is read-only.',
  EISDIR: 'it is a folder.',
  ENOTDIR: 'a part of its path is a file, not a folder.',
  EEXIST: 'a part of its path is a file, not a folder.',
  ENAMETOOLONG: 'the name is too long.',
};

/** What a file system error means. */
export function reasonOf(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  return (code !== undefined && Object.hasOwn(reasons, code) ? reasons[code] : undefined) ?? message;
}
