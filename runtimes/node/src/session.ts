/**
 * A session of onnxruntime-node behind the SDK's interface. Arrays cross without a copy in both directions.
 */
import { ArgumentError, RuntimeError } from '@ratioflow/sdk';
import type { Capabilities, Session, Tensor } from '@ratioflow/sdk';
import { inputTensor, messageOf, outputTensor } from '@ratioflow/sdk/engine';
import { Tensor as OrtTensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';

/** Takes ownership of an engine's session. */
export function wrapSession(name: string, session: InferenceSession, provider: string, capabilities: Capabilities): Session {
  let disposed = false;
  return {
    provider,
    capabilities,
    inputNames: session.inputNames,
    outputNames: session.outputNames,
    run: async (feeds, outputs) => {
      if (disposed) throw new ArgumentError(`The session of ${name} has been disposed of.`);
      const inputs = Object.fromEntries(Object.entries(feeds).map(([input, tensor]) => [input, toOrt(input, tensor)]));
      let results: InferenceSession.OnnxValueMapType;
      try {
        results = await (outputs === undefined ? session.run(inputs) : session.run(inputs, outputs));
      } catch (cause) {
        throw new RuntimeError(`${name} failed on ${provider}: ${messageOf(cause)}`, { cause });
      }
      return Object.fromEntries(Object.entries(results).map(([output, value]) => [output, outputTensor(name, output, value.type, value.dims, value.data)]));
    },
    dispose: async () => {
      if (disposed) return;
      disposed = true;
      await session.release();
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
