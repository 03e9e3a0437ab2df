/**
 * Gives the CPU's sessions the engines that compute the parts of a large batch (split-session.ts).
 */
import { availableParallelism } from 'node:os';
import type { GraphSource, Session } from '@ratioflow/sdk';
import { messageOf, resolveExternalData } from '@ratioflow/sdk/engine';
import type { Engine, EngineOptions, EngineSession } from './engine.js';
import { createRemoteEngine } from './remote-engine.js';
import { settleAll, splitSession } from './split-session.js';

/** Every part has the weights for itself. */
const mostParts = 8;

/** The session that also computes in parts, undefined where there is nothing to gain. */
export type Splitter = (whole: EngineSession, graph: GraphSource, options: EngineOptions, warnings: string[]) => Session | undefined;

/** @param engine computes the first part, which is small batches' too; every other part has a worker thread of its own */
export function createSplitter(engine: Engine): Splitter {
  const engines = [engine];
  return (whole, graph, options, warnings) => {
    const threads = options.threads ?? availableParallelism();
    const count = Math.min(threads, mostParts);
    if (count < 2 || whole.provider !== 'cpu' || whole.batchAxes === undefined) return undefined;
    return splitSession(whole, {
      count,
      load: async () => {
        while (engines.length < count) engines.push(createRemoteEngine('thread', { timeout: undefined, memoryLimit: undefined }));
        // Read once more rather than kept: most graphs never meet a large batch.
        const resolved = await resolveExternalData(graph);
        return settleAll(
          engines.slice(0, count).map((part) => part.load('cpu', resolved, { ...options, threads: Math.floor(threads / count) })),
          (loaded) => loaded.dispose(),
        );
      },
      failed: (cause) => warnings.push(`${graph.name} computes large batches on one engine, slower than in parts: ${messageOf(cause)}`),
    });
  };
}
