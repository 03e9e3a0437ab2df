/**
 * A session of onnxruntime-web behind the SDK's interface.
 */
import { ArgumentError, RuntimeError } from '@ratioflow/sdk';
import type { DeviceTensor, Session, Tensor } from '@ratioflow/sdk';
import { inputTensor, messageOf, outputTensor } from '@ratioflow/sdk/engine';
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-web/wasm';
import type { Engine, Guarded } from './engine.js';
import { capabilities } from './providers.js';
import type { ProviderName } from './providers.js';

/** Takes ownership of an engine's session. */
export function wrapSession(name: string, session: InferenceSession, provider: ProviderName, { ort, exclusive, guarded, submitted }: Engine): Session {
  let disposed = false;
  let ahead: Promise<unknown> = Promise.resolve();
  // Where device tensors came from, and whether the device made them.
  const own = new WeakMap<DeviceTensor, Guarded<OrtTensor>>();
  // Those that are still there: without their session the engine cannot free them.
  const live = new Set<OrtTensor>();
  const free = (tensor: OrtTensor): void => {
    if (live.delete(tensor)) tensor.dispose();
  };
  const failed = (cause: unknown): never => {
    throw new RuntimeError(`${name} failed on ${provider}: ${messageOf(cause)}`, { cause });
  };
  const start = <T>(task: () => Promise<T>): Promise<Guarded<T>> => exclusive(async () => {
    if (disposed) throw new ArgumentError(`The session of ${name} has been disposed of.`);
    return guarded(task).catch(failed);
  });
  const attempt = async <T>(task: () => Promise<T>): Promise<T> => {
    const { value, accepted } = await start(task);
    await accepted.catch(failed);
    return value;
  };
  return {
    provider,
    capabilities: capabilities[provider],
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    run: (feeds, outputs) => attempt(async () => {
      const inputs = Object.fromEntries(Object.entries(feeds).map(([input, tensor]) => [input, inputTensor(ort.Tensor, tensor)]));
      const results = await session.run(inputs, outputs ?? session.outputNames);
      const read: Record<string, Tensor> = {};
      for (const [output, tensor] of Object.entries(results)) read[output] = await fromOrt(name, output, tensor);
      return read;
    }),
    ...(capabilities[provider].deviceTensors && {
      runOnDevice: async (feeds, output) => {
        const sources: Promise<void>[] = [];
        const made = await start(async () => {
          const inputs = Object.fromEntries(Object.entries(feeds).map(([input, tensor]) => {
            if ('data' in tensor) return [input, inputTensor(ort.Tensor, tensor)];
            const { value, accepted } = own.get(tensor)!;
            sources.push(accepted);
            return [input, value];
          }));
          const tensor = (await session.run(inputs, [output]))[output]!;
          live.add(tensor);
          // At most two runs wait for the device, so that aborting stays prompt and progress true.
          const before = ahead;
          ahead = submitted().catch(() => undefined);
          await before;
          return tensor;
        });
        try {
          await Promise.all(sources);
        } catch (cause) {
          free(made.value);
          failed(cause);
        }
        const result: DeviceTensor = {
          shape: made.value.dims,
          read: async () => {
            await made.accepted.catch(failed);
            // The engine keeps what it reads, and feeds it to the next run.
            return attempt(async () => (await made.value.getData() as Float32Array).slice());
          },
          dispose: () => free(made.value),
        };
        own.set(result, made);
        return result;
      },
    } satisfies Partial<Session>),
    dispose: () => exclusive(async () => {
      if (disposed) return;
      disposed = true;
      live.forEach(free);
      await session.release();
    }),
  };
}

/** Reads an output back, from the device where it lies there, and frees it. */
async function fromOrt(graph: string, name: string, tensor: OrtTensor): Promise<Tensor> {
  return outputTensor(graph, name, tensor.type, tensor.dims, await tensor.getData(true));
}
