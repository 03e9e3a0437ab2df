/**
 * The shortest way from a URL, or from files that the user chose, to a model.
 */
import { openBundle } from '@ratioflow/sdk';
import type { OpenOptions as ModelOptions, Model } from '@ratioflow/sdk';
import { checkHooks, rejectUnknown } from '@ratioflow/sdk/engine';
import { abortableFlow, unlessAborted } from './abort.js';
import { isOwnOrigin } from './engine.js';
import { fileSource } from './file-source.js';
import type { BundleFiles } from './file-source.js';
import { checkProviders } from './providers.js';
import { openRemote } from './remote.js';
import { createRuntime, runtimeOptionNames } from './runtime.js';
import type { RuntimeOptions } from './runtime.js';
import { urlSource } from './url-source.js';
import type { UrlSourceOptions } from './url-source.js';

/** Options of `open`. */
export interface OpenOptions extends RuntimeOptions, ModelOptions, UrlSourceOptions {
  /**
   * Where the engine runs: `true` in a web worker, so that the page never freezes; `false` in the calling thread; a
   * function that makes the worker, from a module that imports `@ratioflow/web/worker`, where the build wants it so.
   * @default true
   */
  readonly worker?: boolean | (() => Worker);
}

const optionNames = [...runtimeOptionNames, ...['optimization', 'selfTest', 'onProgress', 'cache', 'signal', 'worker'] satisfies (keyof OpenOptions)[]];

/**
 * Opens a bundle.
 * @param bundle URL of its folder, relative to the page; or its files (`bundleFiles`, `readZip`)
 * @throws {BundleError} when there is none, or it is damaged; {ArgumentError} for an option out of range; the signal's
 *   reason when aborted
 * @example
 * const model = await open('/models/digits');
 * const { samples } = await model.sample({ count: 16, seed: 42 });
 * await model.dispose();
 */
export async function open(bundle: string | URL | BundleFiles, options: OpenOptions = {}): Promise<Model> {
  rejectUnknown(options, optionNames);
  checkHooks(options);
  const { providers, threads, assets, optimization, selfTest, onProgress, cache = true, signal, worker = true } = options;
  if (providers !== undefined) checkProviders(providers);
  signal?.throwIfAborted();
  const runtime: RuntimeOptions = {
    ...(providers && { providers }), ...(threads !== undefined && { threads }), ...(assets !== undefined && { assets: new URL(assets, location.href).href }),
  };
  const load: ModelOptions = { ...(optimization && { optimization }), ...(selfTest !== undefined && { selfTest }) };
  const place = typeof bundle === 'string' || bundle instanceof URL ? new URL(bundle, location.href).href : bundle;
  if (worker !== false) {
    return openRemote(worker === true ? startWorker() : worker(), { bundle: place, cache, runtime, load }, { onProgress, signal });
  }
  // Graphs are read when they are needed, which may be long after the opening that this signal is for.
  const opening = new AbortController();
  const source = typeof place === 'string' ? urlSource(place, { cache, ...(onProgress && { onProgress }), signal: opening.signal }) : fileSource(place);
  const model = await unlessAborted(signal, () => openBundle(source, createRuntime(runtime), load), () => opening.abort());
  return {
    ...model,
    sample: (settings) => unlessAborted(settings?.signal, () => model.sample(settings)),
    flow: (settings) => {
      const frames = model.flow(settings);
      return abortableFlow(settings?.signal, () => frames.next(), () => void frames.return(undefined as never));
    },
  };
}

function startWorker(): Worker {
  // The form that bundlers recognise: they build the worker as well.
  if (isOwnOrigin()) return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'ratioflow' });
  // A browser starts workers of the page's own origin only: a module of that origin, then, which imports the one beside this, as it is on a CDN.
  const url = import.meta.url.replace(/[^/]*$/, 'worker.js');
  importing ??= URL.createObjectURL(new Blob([`import ${JSON.stringify(url)};`], { type: 'text/javascript' }));
  return new Worker(importing, { type: 'module', name: 'ratioflow' });
}

let importing: string | undefined;
