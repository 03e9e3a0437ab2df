/**
 * The shortest way from a URL, or from files that the user chose, to a model.
 */
import { openBundle } from '@ratioflow/sdk';
import type { OpenOptions as ModelOptions, Model } from '@ratioflow/sdk';
import { accept, argument, checkHooks, checkLoading, optional, rejectUnknown } from '@ratioflow/sdk/engine';
import { abortableFlow, unlessAborted } from './abort.js';
import { absolute } from './address.js';
import { isOwnOrigin } from './engine.js';
import { fileSource } from './file-source.js';
import type { BundleFiles } from './file-source.js';
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
  checkLoading(options);
  const { optimization, selfTest, onProgress, cache = true, signal, worker = true, assets, ...rest } = options;
  argument('worker', worker, accept((value) => typeof value === 'boolean' || typeof value === 'function', 'true, false, or a function that makes a worker'));
  argument('onProgress', onProgress, optional(accept((value) => typeof value === 'function', 'a function')));
  const runtime: RuntimeOptions = { ...rest, ...(assets !== undefined && { assets: absolute('assets', assets) }) };
  const load = { optimization, selfTest } as ModelOptions;
  const place = bundle instanceof Map ? bundle as BundleFiles : absolute('bundle', bundle as string | URL, 'a URL, or what bundleFiles or readZip gives');
  if (worker !== false) {
    return openRemote(worker === true ? startWorker() : worker(), { bundle: place, cache, runtime, load }, { onProgress, signal });
  }
  // Graphs are read when they are needed, which may be long after the opening that this signal is for.
  const opening = new AbortController();
  const source = typeof place === 'string' ? urlSource(place, { cache, onProgress, signal: opening.signal }) : fileSource(place);
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
