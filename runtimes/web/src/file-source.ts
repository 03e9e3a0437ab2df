/**
 * A bundle out of files that the user chose or dropped, as a folder or as a ZIP archive.
 */
import { BundleError } from '@ratioflow/sdk';
import type { BundleSource } from '@ratioflow/sdk';

/** Files of a bundle by their name in it, for example `verify/step.x.npy`. */
export type BundleFiles = ReadonlyMap<string, Blob>;

/** The bundle in these files. */
export function fileSource(files: BundleFiles): BundleSource {
  return {
    location: 'the files chosen',
    read: async (name, limit = Infinity) => {
      const file = files.get(name);
      if (file === undefined) throw new BundleError(`The files chosen lack ${name}: choose the folder of a bundle, or all its files.`);
      if (file.size > limit) throw new BundleError(`${name} has ${file.size} bytes, more than the ${limit} that it may have: the bundle is damaged; copy or export it again.`);
      return new Uint8Array(await file.arrayBuffer());
    },
  };
}

/**
 * Files by their path, from a list as an `<input type="file" webkitdirectory>` gives it. The folder of the first
 * manifest.json, the one least deep, counts as the bundle.
 */
export function bundleFiles(files: Iterable<readonly [path: string, file: Blob]>): BundleFiles {
  const all = [...files].map(([path, file]) => [path.replace(/^\/+/, ''), file] as const);
  const manifest = all.map(([path]) => path).filter((path) => /(^|\/)manifest\.json$/.test(path)).sort((a, b) => a.length - b.length)[0] ?? '';
  const root = manifest.slice(0, -'manifest.json'.length);
  return new Map(all.filter(([path]) => path.startsWith(root)).map(([path, file]) => [path.slice(root.length), file]));
}
