/**
 * The flow on ONNX Runtime, on the same sampler graph that ships. The live weights reach it in one of two ways, which the
 * architecture decides: dense networks take them as graph inputs; convolutions run up to twice as fast when their kernels
 * are constants that the engine can rearrange, which is worth a new session each iteration (docs/training.md).
 */
import { convertLayersModel, estimatorOf, initializerElements, liveSamplerGraph, loweredSamplerGraph, samplerGraph, writeModel, type ConvertOptions, type Model, type Parameter } from '@ratioflow/export';
import { fillFlowNormals, type Pairing, type Runtime, type Session, type Tensor } from '@ratioflow/sdk';
import type { LayersModel } from '@tensorflow/tfjs';
import { graphOptions } from '../estimators/layout.js';
import { microBatches, valuesOfSample } from '../loop/micro-batches.js';
import type { Bridge, FlowRequest, FlowSettings } from './bridge.js';

/** A flow runs in chunks, between which it can be aborted: a quarter of it each, with at most so many values of noise. */
const chunksPerFlow = 4;
const largestChunk = 1 << 22;

/** Numbers that the layers make of the samples that flow together, at most: the engine keeps 256 MiB of them. Small networks take far larger batches at once. */
const largestFlow = 2 ** 26;

/** The sampler graph with weights that were the present ones at the last `refresh`. */
interface LiveSampler {
  refresh(): Promise<void>;
  /** A session, and what to feed it beside x0 and noise. */
  ready(): Promise<{ readonly session: Session; readonly feeds: Readonly<Record<string, Tensor>> }>;
  rest(): Promise<void>;
  dispose(): Promise<void>;
}

/** Options of `onnxBridge`. */
interface BridgeOptions {
  readonly converters?: ConvertOptions['converters'];
  /** The provider that the runtime prefers: graphs are lowered for it. @default as for all */
  readonly provider?: 'cpu' | 'cuda';
}

export async function onnxBridge(
  network: LayersModel, sampleShape: readonly number[], pairing: Pairing, { eta, nu }: FlowSettings, runtime: Runtime,
  { converters = {}, provider }: BridgeOptions = {},
): Promise<Bridge> {
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  const { model, parameters } = await convertLayersModel(network, { converters, ...graphOptions(network, sampleShape) });
  const read = (): Float32Array[] => readParameters(network, parameters);
  const live = model.graph.nodes.some((node) => node.opType === 'Conv')
    ? weightsAsConstants(model, parameters, pairing, runtime, provider, read)
    : await weightsAsInputs(model, parameters, pairing, runtime, read);
  await live.refresh();
  const scalar = (value: number): Tensor => ({ shape: [], data: Float32Array.of(value) });

  const most = Math.floor(largestFlow / valuesOfSample(network, sampleShape));

  /** The flow of samples `first` to `first + count − 1`, which are `x0`. */
  async function flow(x0: Float32Array, first: number, { count, steps, seed, signal }: FlowRequest): Promise<Float32Array> {
    const { session, feeds } = await live.ready();
    const size = count * elements;
    const chunk = Math.max(1, Math.min(Math.ceil(steps / chunksPerFlow), Math.floor(largestChunk / size)));
    const noiseFrom = (k: number): Float32Array => {
      const noise = new Float32Array(Math.min(chunk, steps - k) * size);
      fillFlowNormals(noise, { seed, step: k, steps: noise.length / size }, { firstSample: first, count, elements });
      return noise;
    };
    let x = x0;
    let noise = noiseFrom(0);
    for (let k = 0; k < steps; k += chunk) {
      signal?.throwIfAborted();
      const running = session.run({
        x0: { shape: [count, ...sampleShape], data: x },
        noise: { shape: [noise.length / size, count, ...sampleShape], data: noise },
        eta: scalar(eta),
        nu: scalar(nu),
        ...feeds,
      });
      // While the engine works, where it works in a thread of its own.
      if (k + chunk < steps) noise = noiseFrom(k + chunk);
      x = (await running)['x']!.data as Float32Array;
    }
    return x;
  }

  return {
    engine: 'onnxruntime',
    refresh: () => live.refresh(),
    rest: () => live.rest(),
    dispose: () => live.dispose(),
    async run(x0, request: FlowRequest) {
      const result = x0.slice();
      if (request.steps === 0) return result;
      for (const { first, count } of microBatches(network, request.count, { size: most })) {
        const [from, to] = [first * elements, (first + count) * elements];
        result.set(await flow(x0.subarray(from, to), first, { ...request, count }), from);
      }
      return result;
    },
  };
}

async function weightsAsInputs(model: Model, parameters: readonly Parameter[], pairing: Pairing, runtime: Runtime, read: () => Float32Array[]): Promise<LiveSampler> {
  const session = await runtime.load({ name: 'sampler.onnx', model: writeModel(liveSamplerGraph(estimatorOf(model), pairing, parameters.map(({ value }) => value))) });
  let feeds: Record<string, Tensor> = {};
  return {
    refresh: () => {
      const arrays = read();
      feeds = Object.fromEntries(parameters.map(({ value }, index) => [value.name, { shape: value.shape as readonly number[], data: arrays[index]! }]));
      return Promise.resolve();
    },
    ready: () => Promise.resolve({ session, feeds }),
    rest: () => Promise.resolve(),
    dispose: () => session.dispose(),
  };
}

function weightsAsConstants(model: Model, parameters: readonly Parameter[], pairing: Pairing, runtime: Runtime, provider: BridgeOptions['provider'], read: () => Float32Array[]): LiveSampler {
  // The products share the estimator's constants, so new elements in the same buffers reach the graph.
  const buffers = parameters.map(({ value }) => {
    const { data } = model.graph.initializers.get(value)!;
    const bytes = data as Uint8Array;
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  });
  const estimator = estimatorOf(model);
  const lowered = provider === 'cpu' ? loweredSamplerGraph(estimator, pairing) : undefined;
  const [name, graph] = lowered ? ['sampler-cpu.onnx', lowered] : ['sampler.onnx', samplerGraph(estimator, pairing)];
  let session: Session | undefined;
  const rest = async (): Promise<void> => {
    await session?.dispose();
    session = undefined;
  };
  const ready = async (): Promise<{ session: Session; feeds: Record<string, never> }> => ({ session: session ??= await runtime.load({ name, model: writeModel(graph) }), feeds: {} });
  return {
    refresh: async () => {
      read().forEach((array, index) => buffers[index]!.set(array));
      await rest();
      await ready();
    },
    ready,
    rest,
    dispose: rest,
  };
}

/** The network's weights in the layout and order of the exported parameters. */
export function readParameters(network: LayersModel, parameters: readonly Parameter[]): Float32Array[] {
  return parameters.map((parameter) => {
    const tensor = network.weights[parameter.index]!.read();
    // Moved here, because TensorFlow takes ten times as long for the axes of a small kernel.
    return initializerElements(parameter, tensor.dataSync<'float32'>(), tensor.shape);
  });
}
