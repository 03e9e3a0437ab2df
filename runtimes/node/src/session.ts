/**
 * A session of onnxruntime-node behind the SDK's interface. Arrays cross without a copy in both directions.
 */
import { ArgumentError, RuntimeError } from '@ratioflow/sdk';
import type { Capabilities, DeviceTensor, Session, Tensor } from '@ratioflow/sdk';
import { inputTensor, messageOf, outputTensor } from '@ratioflow/sdk/engine';
import { Tensor as OrtTensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';

/**
 * Takes ownership of an engine's sessions.
 * @param reader copies a tensor `x` from the device to `y` on the host, where some of the session's outputs stay on the device
 */
export function wrapSession(name: string, session: InferenceSession, provider: string, capabilities: Capabilities, reader?: InferenceSession): Session {
  let disposed = false;
  /** What lies behind the device tensors of this session. */
  const own = new WeakMap<DeviceTensor, OrtTensor>();
  /** Those that are still there: freeing one after its session ends the process (onnxruntime-node 1.30). */
  const live = new Set<OrtTensor>();
  const free = (tensor: OrtTensor): void => {
    if (live.delete(tensor)) tensor.dispose();
  };
  const underWay = new Set<Promise<unknown>>();
  const attempt = async <T>(task: () => Promise<T>): Promise<T> => {
    if (disposed) throw new ArgumentError(`The session of ${name} has been disposed of.`);
    const running = task();
    underWay.add(running);
    try {
      return await running;
    } catch (cause) {
      throw cause instanceof ArgumentError ? cause : new RuntimeError(`${name} failed on ${provider}: ${messageOf(cause)}`, { cause });
    } finally {
      underWay.delete(running);
    }
  };
  /** With a reader, all outputs are asked for, whichever are wanted: the engine (1.30) keeps the buffers of those that are not, for a batch of another size, too. */
  const runFor = async (feeds: Readonly<Record<string, Tensor | DeviceTensor>>, outputs: readonly string[] | undefined): Promise<[string, InferenceSession.OnnxValueMapType[string]][]> => {
    const inputs = inputsOf(feeds);
    const results = Object.entries(await (outputs === undefined || reader ? session.run(inputs) : session.run(inputs, outputs)));
    const wanted = ([output]: readonly [string, unknown]): boolean => outputs?.includes(output) ?? true;
    for (const result of results) if (!wanted(result)) result[1].dispose();
    return results.filter(wanted);
  };
  const inputsOf = (feeds: Readonly<Record<string, Tensor | DeviceTensor>>): Record<string, OrtTensor> =>
    Object.fromEntries(Object.entries(feeds).map(([input, tensor]) => [input, 'data' in tensor ? toOrt(input, tensor) : own.get(tensor)!]));
  const onHost = async (output: string, value: InferenceSession.OnnxValueMapType[string]): Promise<Tensor> => {
    if (!reader || value.location === 'cpu') return outputTensor(name, output, value.type, value.dims, value.data);
    try {
      const { y } = await reader.run({ x: value });
      return outputTensor(name, output, y!.type, y!.dims, y!.data);
    } finally {
      value.dispose();
    }
  };
  return {
    provider,
    capabilities: { ...capabilities, deviceTensors: reader !== undefined },
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    run: (feeds, outputs) => attempt(async () => {
      const read: Record<string, Tensor> = {};
      for (const [output, value] of await runFor(feeds, outputs)) read[output] = await onHost(output, value);
      return read;
    }),
    ...(reader && {
      runOnDevice: (feeds, output) => attempt(async () => {
        const [[, value]] = await runFor(feeds, [output]) as [[string, OrtTensor]];
        live.add(value);
        const result: DeviceTensor = {
          shape: value.dims,
          read: () => attempt(async () => (await reader.run({ x: value }))['y']!.data as Float32Array),
          dispose: () => free(value),
        };
        own.set(result, value);
        return result;
      }),
    } satisfies Partial<Session>),
    dispose: async () => {
      if (disposed) return;
      disposed = true;
      // A call under way may still leave a tensor behind.
      await Promise.allSettled(underWay);
      live.forEach(free);
      await Promise.all([session.release(), reader?.release()]);
    },
  };
}

/** See `EngineSession`: the axes named as the first axis of every output is; undefined when these differ or an input has several. */
export function batchAxesOf({ inputMetadata, outputMetadata }: InferenceSession): Readonly<Record<string, number>> | undefined {
  const batch = new Set(outputMetadata.map((output) => (output.isTensor ? output.shape[0] : undefined)));
  const [name] = batch;
  if (batch.size !== 1 || typeof name !== 'string' || name === '') return undefined;
  const axes: Record<string, number> = {};
  for (const input of inputMetadata) {
    const places = input.isTensor ? input.shape.flatMap((extent, axis) => (extent === name ? [axis] : [])) : [];
    if (places.length > 1) return undefined;
    if (places.length === 1) axes[input.name] = places[0]!;
  }
  return axes;
}

function toOrt(name: string, tensor: Tensor): OrtTensor {
  try {
    return inputTensor(OrtTensor, tensor);
  } catch (cause) {
    throw new ArgumentError(`${name} of shape [${tensor.shape.join(', ')}] with ${tensor.data.length} elements is no tensor: ${messageOf(cause)}`, { cause });
  }
}
