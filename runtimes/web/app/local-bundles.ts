/**
 * Serves the bundles that lie near the folder in which the page was started, or in the folders of the environment variable
 * RATIOFLOW_BUNDLES: their list at bundles/index.json, and of each the files that its manifest names, and nothing else.
 */
import { createReadStream } from 'node:fs';
import { readFile, readdir, realpath, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { basename, delimiter, join, relative, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseManifest } from '@ratioflow/sdk';
import type { Manifest } from '@ratioflow/sdk';
import type { Plugin } from 'vite';

interface Found {
  readonly id: string;
  readonly folder: string;
  readonly manifest: Manifest;
}

const skipped = new Set(['node_modules', 'dist', 'checkpoints', 'verify', 'coverage']);

/** Path and bytes of a regular file in a folder: reading a pipe would never end, and a link may lead anywhere. @throws where there is none */
async function fileIn(folder: string, name: string): Promise<{ path: string; size: number }> {
  const [root, path] = await Promise.all([realpath(folder), realpath(join(folder, name))]);
  const state = path.startsWith(root + sep) ? await stat(path) : undefined;
  if (state?.isFile() !== true) throw new Error(`${name} is no file of this bundle`);
  return { path, size: state.size };
}

async function manifestIn(folder: string): Promise<Manifest | undefined> {
  try {
    return parseManifest(await readFile((await fileIn(folder, 'manifest.json')).path));
  } catch {
    return undefined;
  }
}

async function* bundlesUnder(folder: string, depth: number): AsyncGenerator<{ folder: string; manifest: Manifest }> {
  const manifest = await manifestIn(folder);
  if (manifest !== undefined) {
    yield { folder, manifest };
    return;
  }
  if (depth === 0) return;
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (entry.isDirectory() && !entry.name.startsWith('.') && !skipped.has(entry.name)) yield* bundlesUnder(join(folder, entry.name), depth - 1);
  }
}

/** The bundles in the order of the folders, with identifiers that stay the same. */
async function findBundles(roots: readonly string[]): Promise<readonly Found[]> {
  const found: Found[] = [];
  for (const root of roots) {
    for await (const { folder, manifest } of bundlesUnder(root, 3)) {
      if (found.some((other) => other.folder === folder)) continue;
      // The run's name says more than that of the folder "bundle" in it.
      const name = (basename(folder) === 'bundle' ? basename(join(folder, '..')) : basename(folder)) || manifest.name;
      const taken = found.filter(({ id }) => id === name || id.startsWith(`${name}~`)).length;
      found.push({ id: taken === 0 ? name : `${name}~${taken + 1}`, folder, manifest });
    }
  }
  return found;
}

export function localBundles(): Plugin {
  const roots = process.env.RATIOFLOW_BUNDLES?.split(delimiter).filter(Boolean).map((path) => resolve(path)) ?? [process.cwd()];
  const handle = async (request: IncomingMessage, response: ServerResponse, next: () => void): Promise<void> => {
    const [id, ...rest] = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname).replace(/^\//, '').split('/');
    const found = await findBundles(roots);
    if (id === 'index.json') {
      const list = found.map((bundle) => ({ id: bundle.id, name: bundle.manifest.name, sampleShape: bundle.manifest.sampleShape, path: relative(process.cwd(), bundle.folder) || '.' }));
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify(list));
      return;
    }
    const bundle = found.find((one) => one.id === id);
    const file = rest.join('/');
    // Names come from the manifest, whose reader allows those of the format only: none leads out of the folder.
    if (bundle === undefined || (file !== 'manifest.json' && !Object.hasOwn(bundle.manifest.files, file))) {
      next();
      return;
    }
    const { path, size } = await fileIn(bundle.folder, file);
    response.setHeader('Content-Type', file.endsWith('.json') ? 'application/json' : 'application/octet-stream').setHeader('Content-Length', size);
    await pipeline(createReadStream(path), response);
  };
  const use = ({ middlewares }: { middlewares: { use: (path: string, handler: (request: IncomingMessage, response: ServerResponse, next: () => void) => void) => unknown } }): void => {
    middlewares.use('/bundles', (request, response, next) => {
      handle(request, response, next).catch((error: unknown) => {
        response.statusCode = 500;
        response.end(String(error));
      });
    });
  };
  return { name: 'ratioflow-local-bundles', configureServer: use, configurePreviewServer: use };
}
