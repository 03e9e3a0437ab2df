/**
 * A bundle in a folder. Only regular files that lie in the folder itself are read, so that neither a link nor a pipe in
 * a bundle from elsewhere can lead out of it.
 */
import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { BundleError } from '@ratioflow/sdk';
import type { BundleSource } from '@ratioflow/sdk';

/** Node reads less than 2 GiB at once: of more, it ends the process. */
const largestRead = 2 ** 30;

/** The files of the bundle in `folder`. */
export function folderSource(folder: string): BundleSource {
  return {
    location: folder,
    read: async (name, limit = Infinity) => {
      const root = await resolve(folder, `There is no bundle at ${folder}`);
      const path = await resolve(join(root, name), name === 'manifest.json' ? `${folder} is no bundle: it has no manifest.json` : `${folder}: ${name} is missing`);
      if (!path.startsWith(root.endsWith(sep) ? root : root + sep)) throw new BundleError(`${folder}: ${name} is a link that leads out of the bundle.`);
      // Opened before it is looked at, so that nobody can exchange it in between; without O_NONBLOCK, opening a pipe
      // would wait for a writer.
      const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK as number | undefined ?? 0));
      try {
        const status = await file.stat();
        if (!status.isFile()) throw new BundleError(`${folder}: ${name} is no regular file.`);
        const { size } = status;
        if (size > limit) throw new BundleError(`${folder}: ${name} has ${size} bytes; expected: ${limit}. The bundle is damaged; copy or export it again.`);
        const bytes = new Uint8Array(size);
        let filled = 0;
        for (;;) {
          const { bytesRead } = await file.read(bytes, filled, Math.min(size - filled, largestRead), filled);
          filled += bytesRead;
          if (bytesRead === 0 || filled === size) return bytes.subarray(0, filled);
        }
      } finally {
        await file.close();
      }
    },
  };
}

async function resolve(path: string, problem: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new BundleError(`${problem}${code === 'ENOENT' || code === 'ENOTDIR' ? '' : `: ${(cause as Error).message}`}.`, { cause });
  }
}
