/**
 * The SDK's runtime on onnxruntime-node: preferences among providers, and the self-test of what they compute. Models are
 * loaded from bytes, with external data from memory: the engine never opens a file that a bundle names.
 */
import { ArgumentError, BundleError, RuntimeError } from '@ratioflow/sdk';
import { accept, argument, checkLoading, integer, messageOf, optional, resolveExternalData, show } from '@ratioflow/sdk/engine';
import type { ResolvedGraph } from '@ratioflow/sdk/engine';
import type { GraphSource, Runtime } from '@ratioflow/sdk';
import type { Engine, EngineOptions, EngineSession } from './engine.js';
import { engineName, localEngine } from './engine.js';
import { checkProviders, remedies } from './providers.js';
import type { CudaOptions, ProviderName } from './providers.js';
import { createRemoteEngine } from './remote-engine.js';
import { createSplitter } from './splitter.js';
import type { Splitter } from './splitter.js';

/** Options of `createRuntime`. */
export interface RuntimeOptions {
  /** Execution providers in order of preference; the CPU follows when none of them runs. @default ['cpu'] */
  readonly providers?: readonly ProviderName[];
  /** Threads that compute on the CPU, unless `load` says otherwise. @default all cores */
  readonly threads?: number;
  /**
   * Whether a large batch may be computed in parts on the CPU, one for each thread (at most 8), side by side in engines of
   * their own: faster than all threads in one engine, for a copy of the weights per part. Not in a worker process. `'always'`:
   * every batch that has a sample for each part, and no engine with all threads beside them, for programs of large batches
   * only. @default true
   */
  readonly split?: boolean | 'always';
  /**
   * Where the engine computes. `false`: on the calling thread, which then does nothing else. `'thread'` or `true`: on a
   * worker thread, so that the event loop stays free. `'process'`: in a process of its own, which even a crash of the
   * engine does not outlive: for bundles from strangers. Both start when they are needed, end when the last session is
   * disposed of, and do not keep the program running. @default false
   */
  readonly worker?: boolean | 'thread' | 'process';
  /** Milliseconds after which one call of a worker process, its turn come, counts as hung and the process is ended. @default no limit */
  readonly timeout?: number;
  /** Bytes of memory beyond which a worker process is ended. @default no limit */
  readonly memoryLimit?: number;
  /** Options of the CUDA provider. */
  readonly cuda?: CudaOptions;
}

/** Names of `RuntimeOptions`. */
export const runtimeOptionNames = ['providers', 'threads', 'split', 'worker', 'timeout', 'memoryLimit', 'cuda'] satisfies (keyof RuntimeOptions)[];

/**
 * Makes a runtime. Nothing is loaded yet; providers are tried at the first `load`, and `warnings` then says which of
 * them do not run here, or compute a graph wrongly, and how to get them.
 * @throws {ArgumentError} for an unknown option or provider, or a number out of range
 */
export function createRuntime(options: RuntimeOptions = {}): Runtime {
  rejectUnknown(options, runtimeOptionNames);
  const { providers = ['cpu'], threads, split = true, worker = false, timeout, memoryLimit, cuda } = options;
  const wanted = checkProviders(providers);
  checkLoading(options);
  argument('timeout', timeout, optional(integer(1, 2 ** 31 - 1)));
  argument('memoryLimit', memoryLimit, optional(integer(2 ** 20)));
  if (cuda !== undefined) rejectUnknown(cuda, ['deviceId'] satisfies (keyof CudaOptions)[], 'cuda');
  argument('cuda.deviceId', cuda?.deviceId, optional(integer(0, 1024)));
  argument('worker', worker, accept((value) => ([true, false, 'thread', 'process'] as readonly unknown[]).includes(value), 'true, false, "thread", "process"'));
  for (const [name, limit] of Object.entries({ timeout, memoryLimit })) {
    if (limit !== undefined && worker !== 'process') throw new ArgumentError(`${name} is given without worker: "process"; only a process can be ended in the middle of a call.`);
  }
  argument('split', split, accept((value) => ([true, false, 'always'] as readonly unknown[]).includes(value), 'true, false, "always"'));
  const engine = worker === false ? localEngine : createRemoteEngine(worker === 'process' ? 'process' : 'thread', { timeout, memoryLimit });
  const defaults = { ...(threads !== undefined && { threads }), ...(cuda && { cuda }) };
  return runtimeOn(engine, wanted, defaults, split !== false && worker !== 'process' ? createSplitter(engine, split === 'always' && wanted[0] === 'cpu') : undefined);
}

/** The runtime's preferences on any engine. */
export function runtimeOn(engine: Engine, wanted: readonly ProviderName[], defaults: EngineOptions = {}, splitter?: Splitter): Runtime {
  const warnings: string[] = [];
  let usable: Promise<readonly ProviderName[]> | undefined;
  return {
    name: engineName,
    warnings,
    load: async (graph, options = {}) => {
      checkLoading(options);
      const providers = usable ??= usableProviders(engine, wanted, defaults, warnings).catch((cause: unknown) => {
        // An engine that ended while it was asked says nothing about providers: the next load asks again.
        usable = undefined;
        throw cause;
      });
      const chosen = { ...defaults, ...options };
      const whole = async (settings: EngineOptions, resolving = resolveExternalData(graph)): Promise<EngineSession> => {
        const [resolved, runs] = await Promise.all([resolving, providers]);
        return create(engine, resolved, graph.check, runs, settings, warnings);
      };
      return splitter ? splitter(whole, graph, chosen, warnings) : whole(chosen);
    },
  };
}

/** The wanted providers that run here, in order, and the CPU at the end; nothing comes after the CPU, which always runs. */
async function usableProviders(engine: Engine, wanted: readonly ProviderName[], options: EngineOptions, warnings: string[]): Promise<readonly ProviderName[]> {
  const usable: ProviderName[] = [];
  const problems: string[] = [];
  for (const provider of new Set(wanted.slice(0, wanted.indexOf('cpu') >>> 0))) {
    const problem = await engine.probe(provider, options);
    if (problem === undefined) usable.push(provider);
    else problems.push(`${provider} does not run here: ${problem.replace(/\.$/, '')}. To get it, ${remedies[provider]}.`);
  }
  usable.push('cpu');
  warnings.push(...problems.map((problem) => `${problem} Running on ${usable[0]!} instead.`));
  return usable;
}

/** A session on the first provider that takes the graph and computes it as the bundle's author did. */
async function create(
  engine: Engine, graph: ResolvedGraph, check: GraphSource['check'], providers: readonly ProviderName[], options: EngineOptions, warnings: string[],
): Promise<EngineSession> {
  const [provider, ...rest] = providers;
  try {
    const session = await engine.load(provider!, graph, options);
    try {
      const problem = await check?.(session);
      if (problem === undefined) return session;
      throw new RuntimeError(`${provider} of ${engineName} computes ${graph.name} wrongly: ${problem}.`);
    } catch (cause) {
      await session.dispose();
      throw cause;
    }
  } catch (cause) {
    // A damaged bundle is nothing that another provider could mend.
    if (cause instanceof BundleError || rest.length === 0) throw cause;
    const warning = `${graph.name} does not run on ${provider} (${messageOf(cause).slice(0, 200)}): ${rest[0]} is used instead.`;
    if (!warnings.includes(warning)) warnings.push(warning);
    return create(engine, graph, check, rest, options, warnings);
  }
}

/** A misspelt option must not be ignored. @param of the option whose own options these are */
export function rejectUnknown(options: object, known: readonly string[], of?: string): void {
  argument(of ?? 'options', options, accept((value) => typeof value === 'object' && value !== null && !Array.isArray(value), `an object of ${known.join(', ')}`));
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new ArgumentError(`Unknown option ${show(unknown)}${of === undefined ? '' : ` of ${of}`}; allowed: ${known.join(', ')}.`);
}
