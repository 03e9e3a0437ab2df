/**
 * A bundle at a URL: streamed with progress, never beyond the size that the manifest states, and kept in the browser's
 * cache by its hash, so that a file is downloaded once and never mistaken for another version.
 */
import { BundleError, sha256 } from '@ratioflow/sdk';
import type { BundleSource } from '@ratioflow/sdk';

/** How far the download of one file has got. */
export interface Download {
  readonly file: string;
  /** Bytes received. */
  readonly loaded: number;
  /** Bytes of the whole file by the manifest; absent for the manifest itself. */
  readonly total?: number;
}

/** Options of `urlSource`. */
export interface UrlSourceOptions {
  /** Called as bytes arrive; not for files out of the cache. */
  readonly onProgress?: (download: Download) => void;
  /** Keep files in the browser's cache, under the name `ratioflow`, and look there first. @default true */
  readonly cache?: boolean;
  /** Ends downloads under way. */
  readonly signal?: AbortSignal;
}

const cacheName = 'ratioflow';

/**
 * The files of the bundle under a URL. The manifest always comes from the network, or out of the cache when that fails.
 * @param url of the bundle's folder, relative to the page
 */
export function urlSource(url: string | URL, { onProgress, cache = true, signal }: UrlSourceOptions = {}): BundleSource {
  const folder = new URL(String(url).replace(/\/*$/, '/'), location.href);
  let hashes: Readonly<Record<string, unknown>> = {};

  const download = async (name: string, limit: number): Promise<Uint8Array> => {
    const target = new URL(name, folder);
    const response = await fetch(target, { ...(signal && { signal }), ...(name === 'manifest.json' && { cache: 'no-cache' }) });
    if (!response.ok) throw new BundleError(`${target.href} cannot be read: the server answers ${response.status} ${response.statusText}.`.replace(' .', '.'));
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let loaded = 0;
    const reader = response.body!.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      chunks.push(part.value);
      loaded += part.value.byteLength;
      if (loaded > limit) {
        await reader.cancel();
        throw new BundleError(`${target.href} has more than the ${limit} bytes that it may have: the bundle is damaged; copy or export it again.`);
      }
      onProgress?.({ file: name, loaded, ...(name !== 'manifest.json' && { total: limit }) });
    }
    return new Uint8Array(await new Blob(chunks).arrayBuffer());
  };

  /** A file by the cache's key: its URL, and its hash once the manifest has told it. */
  const keyOf = (name: string): string => {
    const key = new URL(name, folder);
    if (name !== 'manifest.json') key.searchParams.set('sha256', hashOf(hashes[name]));
    return key.href;
  };

  return {
    location: folder.href,
    read: async (name, limit = Infinity) => {
      // Cache storage is absent without https, and refused where a user forbids storage.
      const store = cache ? await (globalThis as { readonly caches?: CacheStorage }).caches?.open(cacheName).catch(() => undefined) : undefined;
      const cached = async (): Promise<Uint8Array | undefined> => {
        const response = await store?.match(keyOf(name)).catch(() => undefined);
        return response && new Uint8Array(await response.arrayBuffer());
      };
      const keep = async (bytes: Uint8Array): Promise<void> => {
        // Storage that is full is no reason to fail.
        await store?.put(keyOf(name), new Response(bytes as Uint8Array<ArrayBuffer>)).catch(() => undefined);
      };
      if (name === 'manifest.json') {
        const bytes = await download(name, limit).then(async (downloaded) => {
          await keep(downloaded);
          return downloaded;
        }, async (cause: unknown) => {
          const kept = cause instanceof BundleError || signal?.aborted === true ? undefined : await cached();
          if (kept === undefined) throw cause;
          return kept;
        });
        hashes = filesOf(bytes);
        return bytes;
      }
      const kept = await cached();
      if (kept !== undefined && await sha256(kept) === hashOf(hashes[name])) return kept;
      const bytes = await download(name, limit);
      // What is wrong is refused by whoever asked; here it must not be kept.
      if (store !== undefined && await sha256(bytes) === hashOf(hashes[name])) await keep(bytes);
      return bytes;
    },
  };
}

/** The manifest's `files`, unchecked: the SDK checks them. */
function filesOf(manifest: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const { files } = JSON.parse(new TextDecoder().decode(manifest)) as { files?: unknown };
    return Object(files) as Record<string, unknown>;
  } catch {
    return {};
  }
}

const hashOf = (file: unknown): string => String((Object(file) as { sha256?: unknown }).sha256);
