/**
 * The SDK's runtime on onnxruntime-node. Models are loaded from bytes, with external data from memory: the engine never
 * opens a file that a bundle names.
 */
import { ArgumentError, BundleError, RuntimeError, resolveExternalData } from '@ratioflow/sdk';
import type { Capabilities, GraphSource, LoadOptions, Runtime, Session } from '@ratioflow/sdk';
import { InferenceSession, env } from 'onnxruntime-node';
import { probeProvider, quieten } from './probe.js';
import { checkProviders, remedies } from './providers.js';
import type { ProviderName } from './providers.js';
import { messageOf, wrapSession } from './session.js';

/** Options of `createRuntime`. */
export interface RuntimeOptions {
  /** Execution providers in order of preference; the CPU follows when none of them runs. @default ['cpu'] */
  readonly providers?: readonly ProviderName[];
  /** Threads inside one operator, unless `load` says otherwise. @default all cores */
  readonly threads?: number;
}

/** What onnxruntime-node can do on each provider (runtimes/node; measured in PLATFORM notes of the README). */
const capabilities: Readonly<Record<ProviderName, Capabilities>> = {
  cpu: { controlFlow: true, deviceTensors: false },
  // Every run copies through the host, so that many steps in one graph pay.
  cuda: { controlFlow: true, deviceTensors: false },
  // Loop falls back to the CPU with copies at every step.
  webgpu: { controlFlow: false, deviceTensors: false },
};

/**
 * Makes a runtime. Nothing is loaded yet; providers are tried at the first `load`, and `warnings` then says which of
 * them do not run here and how to get them.
 * @throws {ArgumentError} for an unknown provider or a thread count that is no positive integer
 */
export function createRuntime({ providers = ['cpu'], threads }: RuntimeOptions = {}): Runtime {
  const wanted = checkProviders(providers);
  checkThreads(threads);
  quieten();
  const warnings: string[] = [];
  let usable: Promise<readonly ProviderName[]> | undefined;
  return {
    name: `onnxruntime-node ${env.versions.node ?? env.versions.common}`,
    warnings,
    load: async (graph, options = {}) => {
      checkThreads(options.threads);
      usable ??= usableProviders(wanted, warnings);
      const { model, externalData } = await resolveExternalData(graph.name, graph.model, (location) => {
        const bytes = graph.externalData?.get(location);
        return bytes === undefined ? Promise.reject(new BundleError(`${graph.name} refers to external data ${JSON.stringify(location)}, which was not given.`)) : Promise.resolve(bytes);
      });
      return create({ name: graph.name, model, externalData }, await usable, { ...(threads !== undefined && { threads }), ...options }, warnings);
    },
  };
}

/** The wanted providers that run here, in order, and the CPU at the end; nothing comes after the CPU, which always runs. */
async function usableProviders(wanted: readonly ProviderName[], warnings: string[]): Promise<readonly ProviderName[]> {
  const usable: ProviderName[] = [];
  const problems: string[] = [];
  for (const provider of new Set(wanted.slice(0, wanted.indexOf('cpu') >>> 0))) {
    const problem = await probeProvider(provider);
    if (problem === undefined) usable.push(provider);
    else problems.push(`${provider} does not run here: ${problem.replace(/\.$/, '')}. To get it, ${remedies[provider]}.`);
  }
  usable.push('cpu');
  warnings.push(...problems.map((problem) => `${problem} Running on ${usable[0]!} instead.`));
  return usable;
}

/** A session on the first provider that takes the graph. */
async function create(graph: GraphSource, providers: readonly ProviderName[], options: LoadOptions, warnings: string[]): Promise<Session> {
  const [provider, ...rest] = providers;
  try {
    const session = await InferenceSession.create(graph.model, {
      executionProviders: [provider!],
      externalData: Array.from(graph.externalData ?? [], ([path, data]) => ({ path, data })),
      graphOptimizationLevel: options.optimization ?? 'all',
      // Warnings about initializers that an optimisation left over help nobody.
      logSeverityLevel: 3,
      extra: { session: { 'intra_op.allow_spinning': spins(graph) ? '1' : '0' } },
      ...(options.threads !== undefined && { intraOpNumThreads: options.threads }),
    });
    return wrapSession(graph.name, session, provider!, capabilities[provider!]);
  } catch (cause) {
    if (rest.length === 0) throw new RuntimeError(`onnxruntime-node cannot load ${graph.name} on ${provider}: ${messageOf(cause)}`, { cause });
    const warning = `${graph.name} does not run on ${provider} (${messageOf(cause).slice(0, 200)}): ${rest[0]} is used instead.`;
    if (!warnings.includes(warning)) warnings.push(warning);
    return create(graph, rest, options, warnings);
  }
}

/**
 * Whether threads that wait keep a core busy. In a small network an operator takes microseconds and waking a thread costs
 * more; in a large one waking costs nothing, while spinning doubles the time on a machine that does anything else.
 */
function spins({ model, externalData }: GraphSource): boolean {
  const size = Array.from(externalData?.values() ?? []).reduce((sum, bytes) => sum + bytes.byteLength, model.byteLength);
  return size < smallNetwork;
}

/** Bytes of a network whose operators take microseconds. */
const smallNetwork = 1 << 18;

function checkThreads(threads: number | undefined): void {
  if (threads !== undefined && !(Number.isSafeInteger(threads) && threads >= 1 && threads <= 1024)) {
    throw new ArgumentError(`threads is ${threads}; allowed: an integer from 1 to 1024.`);
  }
}
