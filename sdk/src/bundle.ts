/**
 * The files of a bundle, read lazily, each checked against size and hash of the manifest before anybody uses it, and
 * the sessions made of them. The source only ever sees the fixed names of the format.
 */
import { show } from './check.js';
import { BundleError, RuntimeError, attempt, messageOf } from './errors.js';
import { globals } from './globals.js';
import type { AbortSignalLike } from './globals.js';
import { graphTensors, halfWeightsFile, weightsFile } from './manifest.js';
import type { GraphName, Manifest } from './manifest.js';
import { maxManifestBytes, parseManifest } from './manifest-parser.js';
import type { LoadOptions, Runtime, Session } from './runtime.js';

/** Where a bundle's bytes come from: a folder, a URL prefix, an archive, memory. */
export interface BundleSource {
  /** For messages: the path or URL. */
  readonly location: string;
  /**
   * The whole content of one file.
   * @param name relative, with `/`; only names of the bundle format are asked for
   * @param limit bytes beyond which the file is of no use: a source should refuse to read more
   * @param sha256 what the content must hash to, for sources that keep copies; whoever reads checks it in any case
   * @param signal that of the call which needs the file, if it has one: reading may end when it is aborted
   */
  read(name: string, limit?: number, sha256?: string, signal?: AbortSignalLike): Promise<Uint8Array>;
}

/** An open bundle: its manifest, and its files as verified bytes and as sessions. */
export interface Bundle {
  readonly manifest: Manifest;
  readonly location: string;
  /** A file that the manifest lists. @throws {BundleError} when it is absent or not what the manifest says */
  read(name: string, ended?: AbortSignalLike): Promise<Uint8Array>;
  /** Loads a graph. The caller disposes of the session. @param ended ends reading its files */
  load(graph: GraphName, ended?: AbortSignalLike): Promise<Session>;
}

/** Reads and checks the manifest of a bundle. @throws {BundleError} when it cannot be read or is wrong */
export async function readManifest(source: BundleSource): Promise<Manifest> {
  const bytes = await readFrom(source, 'manifest.json', maxManifestBytes);
  try {
    return parseManifest(bytes);
  } catch (cause) {
    throw new BundleError(`${source.location}: ${messageOf(cause)}`, { cause });
  }
}

/** What a session that has just been made of a graph gets wrong; undefined when all is well. */
export type SelfTest = (bundle: Pick<Bundle, 'manifest' | 'read'>, graph: GraphName, session: Session) => Promise<string | undefined>;

/** Reads and checks the manifest, and nothing else yet. @throws {BundleError} */
export async function readBundle(source: BundleSource, runtime: Runtime, options: LoadOptions = {}, selfTest?: SelfTest): Promise<Bundle> {
  const manifest = await readManifest(source);
  const located = (message: string): BundleError => new BundleError(`${source.location}: ${message}`);

  const read = async (name: string, ended?: AbortSignalLike): Promise<Uint8Array> => {
    const expected = manifest.files[name];
    if (!expected) throw located(`the manifest lists no file ${name}.`);
    const bytes = await readFrom(source, name, expected.size, expected.sha256, ended);
    const damaged = (found: string, wanted: number | string): BundleError => located(`${name} has ${found}, ${wanted} by the manifest: the bundle is damaged; copy or export it again.`);
    if (bytes.byteLength !== expected.size) throw damaged(`${bytes.byteLength} bytes`, expected.size);
    const actual = await sha256(bytes);
    if (actual !== expected.sha256) throw damaged(`SHA-256 ${actual}`, expected.sha256);
    return bytes;
  };

  // All graphs share the weights: graphs that load at the same time share one copy, and none is kept afterwards.
  const weights = new Map<string, Promise<Uint8Array>>();
  const readExternal = async (location: string, ended?: AbortSignalLike): Promise<Uint8Array> => {
    if (location !== weightsFile && location !== halfWeightsFile) throw located(`a graph refers to external data ${show(location)}; allowed: ${weightsFile}.`);
    // What another began may have been given up, or have failed for this once.
    const known = weights.get(location)?.catch(() => readExternal(location, ended));
    if (known) return known;
    const bytes = read(location, ended);
    const forget = (): boolean => weights.delete(location);
    weights.set(location, bytes);
    bytes.then(forget, forget);
    return bytes;
  };
  const load = async (graph: GraphName, ended?: AbortSignalLike): Promise<Session> => {
    const name = `${graph}.onnx`;
    const readHere = (file: string): Promise<Uint8Array> => read(file, ended);
    const session = await attempt(`${runtime.name} cannot load ${name}`, RuntimeError, async () => runtime.load({
      name, model: await readHere(name), externalData: (location) => readExternal(location, ended), ...(selfTest && { check: (made) => selfTest({ manifest, read: readHere }, graph, made) }),
    }, options));
    // What is read later, for parts of a large batch, is read for somebody else.
    ended = undefined;
    const { inputs, extras, outputs } = graphTensors[graph];
    // Otherwise a class or weights would be passed over in silence.
    const wanted = [...inputs, ...extras.filter((extra) => (extra === 'weights' ? manifest.mixture : manifest.guidance))];
    const { inputNames, outputNames } = session;
    if (wanted.length === inputNames.length && wanted.every((input) => inputNames.includes(input)) && outputs.every((output) => outputNames.includes(output))) return session;
    await session.dispose();
    throw located(`${name} maps ${inputNames.join(', ')} to ${outputNames.join(', ')}; by the manifest it maps ${wanted.join(', ')} to ${outputs.join(', ')}.`);
  };
  return { manifest, location: source.location, read, load };
}

const readFrom = (source: BundleSource, name: string, ...rest: [limit: number, sha256?: string, signal?: AbortSignalLike]): Promise<Uint8Array> =>
  attempt(`${source.location}: ${name} cannot be read`, BundleError, async () => source.read(name, ...rest));

/** SHA-256 in lower-case hexadecimal. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const subtle = globals.crypto?.subtle;
  if (!subtle) throw new BundleError('No Web Crypto: serve the page over https or from localhost.');
  const digest = new Uint8Array(await subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
