/**
 * A bundle behind a URL prefix: fetched file by file as it is needed, never more of a file than the manifest announces,
 * and kept on disk. The manifest itself is fetched every time, so that a new version is noticed.
 */
import { ArgumentError, BundleError } from '@ratioflow/sdk';
import type { BundleSource } from '@ratioflow/sdk';
import { accept, argument, optional, show } from '@ratioflow/sdk/engine';
import { cached, defaultCacheFolder } from './cache.js';

/** Options of `urlSource`. */
export interface UrlSourceOptions {
  /** Folder for copies of the files, or false for none. @default `$RATIOFLOW_CACHE/bundles`, or `ratioflow/bundles` in the system's cache folder */
  readonly cache?: string | false;
  /** Most bytes of one file, whatever the manifest announces. @default 2 GiB */
  readonly maxBytes?: number;
  /** Sent with every request, for example `{ authorization: 'Bearer …' }`; not to another origin, where a redirect leads. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Aborts fetching; reading then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called as bytes arrive. */
  readonly onProgress?: (progress: { readonly file: string; readonly received: number }) => void;
}

/** Checks the options of bundles at URLs, also where a bundle lies elsewhere. @throws {ArgumentError} for a value out of range */
export function checkUrlOptions({ cache, maxBytes, headers = {}, signal, onProgress }: UrlSourceOptions): void {
  const check = (name: keyof UrlSourceOptions, value: unknown, fits: (given: never) => boolean, allowed: string): void => {
    argument(name, value, optional(accept(fits as (given: unknown) => boolean, allowed)));
  };
  check('cache', cache, (given) => given === false || (typeof given === 'string' && given !== ''), 'the path of a folder, or false');
  check('maxBytes', maxBytes, (given) => typeof given === 'number' && given >= 1, 'a number from 1');
  check('signal', signal, (given) => (given as unknown) instanceof AbortSignal, 'an AbortSignal');
  check('onProgress', onProgress, (given) => typeof given === 'function', 'a function');
  // What headers say may be secret: no message shows it.
  const bad = (what: string): ArgumentError => new ArgumentError(`${what}; allowed: an object of names and texts of HTTP headers.`);
  if (typeof headers !== 'object' || (headers as object | null) === null || Array.isArray(headers)) throw bad(`headers is ${Array.isArray(headers) ? 'an array' : `of type ${typeof headers}`}`);
  for (const [name, value] of Object.entries<unknown>(headers)) {
    if (typeof value !== 'string') throw bad(`headers[${show(name)}] is of type ${typeof value}`);
    if (!isHeader(name, value)) throw bad(`headers[${show(name)}] has a name or a text that no request can carry`);
  }
}

function isHeader(name: string, value: string): boolean {
  try {
    return new Headers([[name, value]]).has(name);
  } catch {
    return false;
  }
}

const loopback = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Redirects of one file that are followed. */
const maxRedirects = 10;

/**
 * The files of the bundle below `url`, which must be https, or http on this very machine, as must whatever it redirects to. A query,
 * a signature for one, goes along with every file.
 * @throws {ArgumentError} for any other URL, or an option out of range
 */
export function urlSource(url: string | URL, options: UrlSourceOptions = {}): BundleSource {
  checkUrlOptions(options);
  const { cache = defaultCacheFolder(), maxBytes = 2 ** 31, headers = {}, signal, onProgress } = options;
  const base = parse(url);
  const location = new URL('.', base).href;
  const download = async (name: string, limit: number, ended: AbortSignal): Promise<Uint8Array> => {
    const response = await request(fileUrl(name, base), headers, ended);
    const problem = !response.ok ? `the server answers ${response.status} ${response.statusText}`.trim()
      : Number(response.headers.get('content-length') ?? 0) > limit && response.headers.get('content-encoding') === null ? `the server announces ${response.headers.get('content-length')} bytes; allowed: ${limit}`
        : undefined;
    if (problem !== undefined || response.body === null) {
      await response.body?.cancel();
      if (response.status === 404 && name === 'manifest.json') throw new BundleError(`There is no bundle at ${location}: the server has no manifest.json.`);
      throw new BundleError(`${location}: ${name} cannot be fetched: ${problem ?? 'the answer is empty'}.`);
    }
    return collect(response.body, limit, `${location}: ${name}`, (received) => onProgress?.({ file: name, received }));
  };
  return {
    location,
    read: async (name, limit = maxBytes, sha256, caller) => {
      const ended = AbortSignal.any([signal, caller].filter((one) => one instanceof AbortSignal));
      try {
        return await cached(cache, sha256, () => download(name, Math.min(limit, maxBytes), ended));
      } catch (cause) {
        ended.throwIfAborted();
        throw cause instanceof BundleError ? cause : new BundleError(`${location}: ${name} cannot be fetched: ${reasonOf(cause)}.`, { cause });
      }
    },
  };
}

/** A prefix: what is read lies below it. */
function parse(url: string | URL): URL {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (cause) {
    throw new ArgumentError(`${JSON.stringify(String(url))} is no URL; allowed: https://…, or http:// on localhost.`, { cause });
  }
  if (!isSafe(parsed)) throw new ArgumentError(`${originOf(parsed)} is not https: what a bundle says of itself could be changed on its way. Allowed: https, or http on localhost.`);
  if (!parsed.pathname.endsWith('/')) parsed.pathname += '/';
  return parsed;
}

const isSafe = ({ protocol, hostname }: URL): boolean => protocol === 'https:' || (protocol === 'http:' && loopback.has(hostname));

/** Not every URL has an origin. */
const originOf = ({ origin, protocol }: URL): string => (origin === 'null' ? protocol : origin);

/** A file below the prefix, with the prefix's query. */
function fileUrl(name: string, base: URL): URL {
  const url = new URL(name, base);
  url.search = base.search;
  return url;
}

/** Follows redirects itself: `fetch` would follow them anywhere, and take the headers along. */
async function request(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Response> {
  let [target, sent] = [url, headers];
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const response = await fetch(target, { headers: sent, redirect: 'manual', signal });
    const place = response.status >= 300 && response.status < 400 ? response.headers.get('location') : null;
    if (place === null) return response;
    await response.body?.cancel();
    target = new URL(place, target);
    if (!isSafe(target)) throw new Error(`it leads to ${originOf(target)}, which is not https`);
    if (target.origin !== url.origin) sent = {};
  }
  throw new Error(`the server redirects more than ${maxRedirects} times`);
}

async function collect(body: ReadableStream<Uint8Array>, limit: number, what: string, onReceived: (bytes: number) => void): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let received = 0;
  for await (const part of body as unknown as AsyncIterable<Uint8Array>) {
    received += part.byteLength;
    // Leaving the loop cancels the download.
    if (received > limit) throw new BundleError(`${what} has more than the ${limit} bytes allowed: the bundle is damaged, or too large for maxBytes.`);
    parts.push(part);
    onReceived(received);
  }
  const bytes = new Uint8Array(received);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

/** `fetch` hides what went wrong in the cause. */
function reasonOf(cause: unknown): string {
  const { cause: inner, message } = cause as Error;
  return inner instanceof Error && inner.message !== '' ? inner.message : message;
}
