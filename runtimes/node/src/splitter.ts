/**
 * Gives the CPU's sessions the engines that compute the parts of a large batch (split-session.ts).
 */
import { availableParallelism } from 'node:os';
import type { GraphSource, Session } from '@ratioflow/sdk';
import { messageOf, resolveExternalData } from '@ratioflow/sdk/engine';
import type { ResolvedGraph } from '@ratioflow/sdk/engine';
import type { Engine, EngineOptions, EngineSession } from './engine.js';
import { createRemoteEngine } from './remote-engine.js';
import { settleAll, splitSession } from './split-session.js';

/** Every part has the weights for itself. */
const mostParts = 8;

/** Makes the session that also computes in parts, or where there is nothing to gain the whole one. */
export type Splitter = (whole: (options: EngineOptions, resolving?: Promise<ResolvedGraph>) => Promise<EngineSession>, graph: GraphSource, options: EngineOptions, warnings: string[]) => Promise<Session>;

/**
 * @param engine computes the first part, which is small batches' too; every other part has a worker thread of its own
 * @param ahead whether every batch is split: the parts are loaded at once, side by side, and the first of them is the whole
 */
export function createSplitter(engine: Engine, ahead: boolean): Splitter {
  const engines = [engine];
  return async (whole, graph, options, warnings) => {
    const threads = options.threads ?? availableParallelism();
    const count = Math.min(threads, mostParts);
    if (count < 2) return whole(options);
    while (engines.length < count) engines.push(createRemoteEngine('thread', { timeout: undefined, memoryLimit: undefined }));
    const ofPart = { ...options, threads: Math.floor(threads / count) };
    const load = async (parts: readonly Engine[], resolving: Promise<ResolvedGraph>): Promise<readonly EngineSession[]> => {
      const resolved = await resolving;
      return settleAll(parts.map((part) => part.load('cpu', resolved, ofPart)), giveBack);
    };
    const resolving = ahead ? resolveExternalData(graph) : undefined;
    const others = resolving && settled(load(engines.slice(1, count), resolving));
    const first = await (others ? whole(ofPart, resolving) : whole(options)).catch(async (cause: unknown) => {
      await others?.dispose();
      throw cause;
    });
    if (first.provider !== 'cpu' || first.batchAxes === undefined) {
      if (!others) return first;
      await Promise.all([first.dispose(), others.dispose()]);
      return whole(options);
    }
    // Read once more rather than kept: most graphs never meet a large batch.
    const again = (): Promise<readonly EngineSession[]> => load(engines.slice(0, count), resolveExternalData(graph));
    return splitSession(first, {
      count,
      ...(others ? { now: true, load: async () => [first, ...await others.result] } : { load: again }),
      failed: (cause) => warnings.push(`${graph.name} computes large batches on one engine, slower than in parts: ${messageOf(cause)}`),
    });
  };
}

const giveBack = (session: Session): Promise<void> => session.dispose();

/** Work that goes on beside other work: its failure waits until somebody asks for the result. */
function settled(result: Promise<readonly EngineSession[]>): { result: Promise<readonly EngineSession[]>; dispose(): Promise<void> } {
  const sessions = result.catch((): readonly EngineSession[] => []);
  const dispose = async (): Promise<void> => {
    await Promise.all((await sessions).map(giveBack));
  };
  return { result, dispose };
}
