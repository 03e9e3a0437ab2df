/**
 * A bundle at a URL: streamed with progress, never beyond the size that the manifest states, and kept in the browser's
 * cache by its hash, so that a file is downloaded once and never mistaken for another version.
 */
import { BundleError, sha256 } from '@ratioflow/sdk';
import type { BundleSource } from '@ratioflow/sdk';
import { absolute } from './address.js';

/** How far the download of one file has got. */
export interface Download {
  /** Name of the file inside the bundle. */
  readonly file: string;
  /** Bytes received. */
  readonly loaded: number;
  /** Bytes of the whole file by the manifest; absent for the manifest itself. */
  readonly total?: number;
}

/** Options of `urlSource`. */
export interface UrlSourceOptions {
  /** Called as bytes arrive; not for files out of the cache. */
  readonly onProgress?: ((download: Download) => void) | undefined;
  /** Keep files in the browser's cache, under the name `ratioflow`, and look there first. @default true */
  readonly cache?: boolean;
  /** Ends downloads under way. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The files of the bundle under a URL. The manifest always comes from the network, or out of the cache when that fails.
 * @param url of the bundle's folder, relative to the page; a query, a signature for one, goes along with every file
 */
export function urlSource(url: string | URL, { onProgress, cache = true, signal }: UrlSourceOptions = {}): BundleSource {
  const folder = new URL(absolute('url', url));
  folder.pathname = folder.pathname.replace(/\/*$/, '/');
  const urlOf = (name: string): URL => new URL(name, folder);

  /** Cache storage is absent without https, and refused in sandboxed frames and where a user forbids storage. */
  const openStore = async (): Promise<Cache | undefined> => (cache ? (globalThis as { readonly caches?: CacheStorage }).caches?.open('ratioflow') : undefined);

  const download = async (name: string, limit: number): Promise<Uint8Array> => {
    const target = urlOf(name).href;
    const response = await fetch(target + folder.search, { signal: signal ?? null, cache: 'no-cache' });
    if (!response.ok) throw new BundleError(`${target} cannot be read: the server answers ${response.status} ${response.statusText}.`.replace(' .', '.'));
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let loaded = 0;
    const reader = response.body!.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      chunks.push(part.value);
      loaded += part.value.byteLength;
      if (loaded > limit) {
        await reader.cancel();
        throw new BundleError(`${target} has more than the ${limit} bytes that it may have: the bundle is damaged; copy or export it again.`);
      }
      onProgress?.({ file: name, loaded, ...(name !== 'manifest.json' && { total: limit }) });
    }
    return new Uint8Array(await new Blob(chunks).arrayBuffer());
  };

  return {
    location: urlOf('.').href,
    read: async (name, limit = Infinity, hash?: string) => {
      const store = await openStore().catch(() => undefined);
      // The manifest has no hash, and may be another for another query.
      const key = urlOf(name).href + (hash === undefined ? folder.search : `?sha256=${hash}`);
      const cached = async (): Promise<Uint8Array | undefined> => {
        // A copy that cannot be read counts as none.
        const body = await store?.match(key).then((response) => response?.arrayBuffer()).catch(() => undefined);
        return body && new Uint8Array(body);
      };
      const keep = async (bytes: Uint8Array): Promise<void> => {
        // Of every file one version is kept. Storage that is full is no reason to fail.
        await store?.delete(key, { ignoreSearch: true }).then(() => store.put(key, new Response(bytes as Uint8Array<ArrayBuffer>))).catch(() => undefined);
      };
      if (hash === undefined) {
        try {
          const bytes = await download(name, limit);
          await keep(bytes);
          return bytes;
        } catch (cause) {
          const kept = cause instanceof BundleError || signal?.aborted === true ? undefined : await cached();
          if (kept === undefined) throw cause;
          return kept;
        }
      }
      const kept = await cached();
      if (kept !== undefined && await sha256(kept) === hash) return kept;
      const bytes = await download(name, limit);
      // What is wrong is refused by whoever asked; here it must not be kept.
      if (store !== undefined && await sha256(bytes) === hash) await keep(bytes);
      return bytes;
    },
  };
}
