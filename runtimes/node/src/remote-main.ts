/**
 * The other end of remote-engine.ts: a worker thread or a process in which the local engine serves requests, one after
 * another as onnxruntime-node computes them.
 */
import { Worker, parentPort } from 'node:worker_threads';
import type { DeviceTensor, Tensor } from '@ratioflow/sdk';
import { localEngine } from './engine.js';
import type { EngineSession } from './engine.js';
import type { Answers, Feeds, Reply, Request } from './remote-protocol.js';
import { memorySignal, sendError } from './remote-protocol.js';

/** A session with what it holds on the device, by number. */
interface Served { readonly session: EngineSession; readonly held: Map<number, DeviceTensor> }
const sessions = new Map<number, Served>();
/** Numbers of sessions and of held tensors. */
let numbers = 0;

const fed = (feeds: Feeds, { held }: Served): Record<string, Tensor | DeviceTensor> =>
  Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, 'held' in tensor ? held.get(tensor.held)! : tensor]));

async function serve(request: Request): Promise<Answers[keyof Answers]> {
  switch (request.do) {
    case 'probe': return localEngine.probe(request.provider, request.options);
    case 'load': {
      const made = await localEngine.load(request.provider, request.graph, request.options);
      const number = ++numbers;
      sessions.set(number, { session: made, held: new Map() });
      const { provider, capabilities, inputNames, outputNames, batchAxes } = made;
      return { session: number, provider, capabilities, inputNames, outputNames, batchAxes };
    }
    case 'run': return sessions.get(request.session)!.session.run(request.feeds, request.outputs);
    case 'runOnDevice': {
      const served = sessions.get(request.session)!;
      const tensor = await served.session.runOnDevice!(fed(request.feeds, served), request.output);
      const number = ++numbers;
      served.held.set(number, tensor);
      return { held: number, shape: tensor.shape };
    }
    case 'read': return sessions.get(request.session)!.held.get(request.held)!.read();
    case 'free': {
      const { held } = sessions.get(request.session)!;
      held.get(request.held)?.dispose();
      held.delete(request.held);
      return undefined;
    }
    case 'dispose': {
      await sessions.get(request.session)?.session.dispose();
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
  if (!('result' in reply) || (request.do !== 'run' && request.do !== 'read')) return [];
  const buffers = request.do === 'read' ? [(reply.result as Answers['read']).buffer] : Object.values(reply.result as Answers['run']).map(({ data }) => data.buffer);
  return [...new Set(buffers)].filter((buffer): buffer is ArrayBuffer => buffer instanceof ArrayBuffer);
}

if (parentPort) {
  const port = parentPort;
  port.on('message', (request: Request) => void answer(request).then((reply) => port.postMessage(reply, memoryOf(reply, request))));
} else {
  // One after another, each with its reply on the way before the next begins: so the oldest request is the one that is timed.
  let last = Promise.resolve();
  process.on('message', (request: Request) => {
    last = last.then(async () => {
      const reply = await answer(request);
      // A reply that nobody takes any more is no error: the process is about to end.
      await new Promise((resolve) => { process.send!(reply, resolve); });
    });
  });
  const memoryLimit = Number(process.argv[2] ?? Infinity);
  // The engine keeps this thread busy; another one looks at the memory, and whether whoever started this has gone.
  new Worker(`setInterval(() => {
    if (process.ppid !== ${process.ppid}) process.kill(process.pid, 'SIGKILL');
    if (process.memoryUsage.rss() > ${memoryLimit}) process.kill(process.pid, '${memorySignal}');
  }, 20)`, { eval: true }).unref();
  // Between two calls, the channel says the latter at once.
  process.on('disconnect', () => process.exit());
}
