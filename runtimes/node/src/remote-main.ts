/**
 * The other end of remote-engine.ts: a worker thread or a process in which the local engine serves requests, one after
 * another as onnxruntime-node computes them.
 */
import { Worker, parentPort } from 'node:worker_threads';
import { localEngine } from './engine.js';
import type { EngineSession } from './engine.js';
import type { Answers, Reply, Request } from './remote-protocol.js';
import { memorySignal, sendError } from './remote-protocol.js';

const sessions = new Map<number, EngineSession>();
let sessionsMade = 0;

async function serve(request: Request): Promise<Answers[keyof Answers]> {
  switch (request.do) {
    case 'probe': return localEngine.probe(request.provider, request.options);
    case 'load': {
      const made = await localEngine.load(request.provider, request.graph, request.options);
      const session = ++sessionsMade;
      sessions.set(session, made);
      const { provider, capabilities, inputNames, outputNames, batchAxes } = made;
      // Tensors of a device do not cross.
      return { session, provider, capabilities: { ...capabilities, deviceTensors: false }, inputNames, outputNames, batchAxes };
    }
    case 'run': return sessions.get(request.session)!.run(request.feeds, request.outputs);
    case 'dispose': {
      await sessions.get(request.session)?.dispose();
      sessions.delete(request.session);
      return undefined;
    }
  }
}

async function answer(request: Request): Promise<Reply> {
  try {
    return { id: request.id, result: await serve(request) };
  } catch (error) {
    return { id: request.id, error: sendError(error) };
  }
}

/** The memory of results, to be handed over instead of copied. */
function memoryOf(reply: Reply, request: Request): ArrayBuffer[] {
  if (request.do !== 'run' || !('result' in reply)) return [];
  const buffers = Object.values(reply.result as Answers['run']).map(({ data }) => data.buffer);
  return [...new Set(buffers)].filter((buffer): buffer is ArrayBuffer => buffer instanceof ArrayBuffer);
}

if (parentPort) {
  const port = parentPort;
  port.on('message', (request: Request) => void answer(request).then((reply) => port.postMessage(reply, memoryOf(reply, request))));
} else {
  process.on('message', (request: Request) => void answer(request).then((reply) => process.send!(reply)));
  const memoryLimit = Number(process.argv[2] ?? Infinity);
  // The engine keeps this thread busy; another one looks at the memory.
  if (memoryLimit < Infinity) {
    new Worker(`setInterval(() => process.memoryUsage.rss() > ${memoryLimit} && process.kill(process.pid, '${memorySignal}'), 20)`, { eval: true }).unref();
  }
  // Whoever started this has gone.
  process.on('disconnect', () => process.exit());
}
