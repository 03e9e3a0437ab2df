/**
 * The SDK's runtime on onnxruntime-web, in the thread that calls it: of the page or of a worker.
 */
import { BundleError, RuntimeError } from '@ratioflow/sdk';
import type { GraphSource, LoadOptions, Runtime, Session } from '@ratioflow/sdk';
import { checkLoading, messageOf, rejectUnknown, resolveExternalData } from '@ratioflow/sdk/engine';
import type { ResolvedGraph } from '@ratioflow/sdk/engine';
import { absolute } from './address.js';
import { isOwnOrigin, startEngine } from './engine.js';
import { capabilities, checkProviders } from './providers.js';
import type { ProviderName } from './providers.js';
import { wrapSession } from './session.js';

/** Options of `createRuntime`. */
export interface RuntimeOptions {
  /** Execution providers in order of preference; WebAssembly follows when none of them runs. @default ['webgpu', 'wasm'] */
  readonly providers?: readonly ProviderName[];
  /** Threads of WebAssembly where the page is cross-origin isolated, else one. @default half the cores, at most 8 */
  readonly threads?: number;
  /**
   * URL of a folder that holds the `.wasm` files of onnxruntime-web, relative to the page.
   * @default beside the script, where bundlers put them
   */
  readonly assets?: string | URL;
}

/** Names of `RuntimeOptions`. */
export const runtimeOptionNames = ['providers', 'threads', 'assets'] satisfies (keyof RuntimeOptions)[];

/**
 * Makes a runtime. Nothing is downloaded yet; providers are tried at the first `load`, and `warnings` then says which of
 * them do not run here, and why.
 * @throws {ArgumentError} for an unknown option or provider, or a thread count that is no positive integer
 */
export function createRuntime(given: RuntimeOptions = {}): Runtime {
  rejectUnknown(given, runtimeOptionNames);
  const { providers = ['webgpu', 'wasm'], threads, assets } = given;
  const wanted = checkProviders(providers);
  checkLoading(given);
  // Nothing comes after WebAssembly, which always runs.
  let usable: readonly ProviderName[] = [...new Set([...wanted.slice(0, wanted.indexOf('wasm') >>> 0), 'wasm' as const])];
  const assetsFolder = assets === undefined ? undefined : absolute('assets', assets).replace(/\/*$/, '/');
  const warnings: string[] = [];
  const warn = (warning: string): void => {
    if (!warnings.includes(warning)) warnings.push(warning);
  };

  // Known once the engine has been loaded.
  let version = '';
  const create = async (graph: ResolvedGraph, check: GraphSource['check'], options: LoadOptions, [provider, ...rest]: readonly ProviderName[]): Promise<Session> => {
    const asked = options.threads ?? threads;
    const own = isOwnOrigin();
    const threaded = crossOriginIsolated && own;
    const engineThreads = threaded ? asked ?? Math.min(8, Math.ceil(navigator.hardwareConcurrency / 2)) : 1;
    try {
      const engine = await startEngine(provider!, { threads: engineThreads, assets: assetsFolder }).catch((cause: unknown) => {
        // Whatever the graph, nothing runs there: the last provider aside, it is not tried again.
        if (rest.length > 0) usable = usable.filter((name) => name !== provider);
        throw cause;
      });
      version = engine.ort.env.versions.web ?? '';
      const { started } = engine;
      if ((asked && started.threads !== engineThreads) || (assetsFolder && started.assets !== assetsFolder)) {
        warn(`The engine has started before, with threads: ${started.threads}, assets: ${started.assets ?? 'beside the script'}. Reload the page for others.`);
      }
      const { value: session, accepted } = await engine.exclusive(() => engine.guarded(() => engine.ort.InferenceSession.create(graph.model, {
        executionProviders: [engine.device === undefined ? provider! : { name: 'webgpu', device: engine.device }],
        externalData: Array.from(graph.externalData, ([path, data]) => ({ path, data })),
        graphOptimizationLevel: options.optimization ?? 'all',
        logSeverityLevel: 3,
        ...(capabilities[provider!].deviceTensors && { preferredOutputLocation: 'gpu-buffer' as const }),
      })));
      if (provider === 'wasm' && !threaded && asked !== 1) {
        warn(own ? 'WebAssembly runs on one thread: the page is not cross-origin isolated. Serve it with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp for more.'
          : 'WebAssembly runs on one thread: its scripts come from another origin than the page. Serve them from the same one for more.');
      }
      const made = wrapSession(graph.name, session, provider!, engine);
      try {
        await accepted;
        const problem = await check?.(made);
        if (problem === undefined) return made;
        throw new RuntimeError(`${provider!} of onnxruntime-web ${version} computes ${graph.name} wrongly: ${problem}.`);
      } catch (cause) {
        await made.dispose();
        throw cause;
      }
    } catch (cause) {
      // A damaged bundle is nothing that another provider could mend.
      if (cause instanceof BundleError) throw cause;
      if (rest.length === 0) throw cause instanceof RuntimeError ? cause : new RuntimeError(`onnxruntime-web cannot load ${graph.name} on ${provider!}: ${explain(cause)}`, { cause });
      const what = usable.includes(provider!) ? `${graph.name} does not run on ${provider!}` : `${provider!} does not run here`;
      warn(`${what} (${messageOf(cause).slice(0, 200)}): ${rest[0]!} is used instead.`);
      return create(graph, check, options, rest);
    }
  };
  return {
    get name() {
      return `onnxruntime-web ${version}`.trim();
    },
    warnings,
    load: async (graph, options = {}) => {
      checkLoading(options);
      return create(await resolveExternalData(graph), graph.check, options, usable);
    },
  };
}

function explain(cause: unknown): string {
  const message = messageOf(cause);
  if (/unsafe-eval|CSP/.test(message)) return `${message} (a content security policy must allow 'wasm-unsafe-eval' in script-src)`;
  if (/no available backend|fetch|import/i.test(message)) return `${message} (are the .wasm files of onnxruntime-web where the option assets says?)`;
  return message;
}
