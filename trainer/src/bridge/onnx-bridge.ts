/**
 * The flow on ONNX Runtime, on the same sampler graph that ships. The live weights reach it in one of two ways, which the
 * architecture decides: dense networks take them as graph inputs; convolutions run up to twice as fast when their kernels
 * are constants that the engine can rearrange, which is worth a new session each iteration (docs/training.md).
 */
import {
  convertLayersModel, estimatorOf, initializerElements, liveSamplerGraph, loweredSamplerGraph, readModel, samplerGraph, writeModel,
  type Constant, type ConvertOptions, type Graph, type Model, type Parameter, type Value,
} from '@ratioflow/export';
import { fillFlowNormals, type Pairing, type Runtime, type Session, type Tensor } from '@ratioflow/sdk';
import type { LayersModel } from '@tensorflow/tfjs';
import { graphOptions } from '../estimators/layout.js';
import { microBatches, valuesOfSample } from '../loop/micro-batches.js';
import type { Bridge, FlowRequest, FlowSettings } from './bridge.js';

/** A flow runs in chunks, between which it can be aborted, with at most so many values of noise each: fewer calls of the engine gain up to 5 %. */
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

  let buffers: [Float32Array, Float32Array] = [new Float32Array(0), new Float32Array(0)];
  const most = Math.floor(largestFlow / valuesOfSample(network, sampleShape));

  /** The flow of samples `first` to `first + count − 1`, which are `x0`. */
  async function flow(x0: Float32Array, first: number, { count, steps, seed, signal }: FlowRequest): Promise<Float32Array> {
    const { session, feeds } = await live.ready();
    const size = count * elements;
    const chunk = Math.max(1, Math.min(steps, Math.floor(largestChunk / size)));
    // Two buffers in turns, here and from flow to flow: memory that is always new would have all of it collected once an iteration.
    const noiseFrom = (k: number): Float32Array => {
      const number = Math.min(chunk, steps - k) * size;
      const [before, spare] = buffers;
      buffers = [spare.length < number ? new Float32Array(number) : spare, before];
      const noise = buffers[0].subarray(0, number);
      fillFlowNormals(noise, { seed, step: k, steps: number / size }, { firstSample: first, count, elements });
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
      if (k + chunk < steps) {
        // While the engine works, where it works in a thread of its own: that has its feeds once this turn of the event loop is over.
        await Promise.race([running, new Promise(setImmediate)]);
        noise = noiseFrom(k + chunk);
      }
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
  const estimator = estimatorOf(model);
  const lowered = provider === 'cpu' ? loweredSamplerGraph(estimator, pairing) : undefined;
  const [name, graph] = lowered ? ['sampler-cpu.onnx', lowered] : ['sampler.onnx', samplerGraph(estimator, pairing)];
  // Written once: the weights of later iterations take the place of the first ones in these bytes.
  const bytes = writeModel(graph);
  const places = placesOf(bytes, graph.graph, parameters.map(({ value }) => model.graph.initializers.get(value)!));
  let session: Session | undefined;
  const rest = async (): Promise<void> => {
    await session?.dispose();
    session = undefined;
  };
  const ready = async (): Promise<{ session: Session; feeds: Record<string, never> }> => ({ session: session ??= await runtime.load({ name, model: bytes }), feeds: {} });
  return {
    refresh: async () => {
      read().forEach((array, index) => places[index]!.forEach((place) => place.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))));
      await rest();
      await ready();
    },
    ready,
    rest,
    dispose: rest,
  };
}

/** Where the elements of `constants` lie in a written graph: what is read from bytes points into them. */
function placesOf(bytes: Uint8Array, graph: Graph, constants: readonly Constant[]): Uint8Array[][] {
  const written = new Map([...initializersOf(readModel(bytes).graph)].map(([{ name }, { data }]) => [name, data as Uint8Array]));
  const initializers = [...initializersOf(graph)];
  return constants.map((constant) => initializers.filter(([, { data }]) => data === constant.data).map(([{ name }]) => written.get(name)!));
}

/** The initializers of a graph and of all graphs in it. */
function* initializersOf(graph: Graph): Generator<readonly [Value, Constant]> {
  yield* graph.initializers;
  for (const node of graph.nodes) for (const attribute of node.attributes.values()) if (attribute.type === 'graph') yield* initializersOf(attribute.value);
}

/** The network's weights in the layout and order of the exported parameters. */
export function readParameters(network: LayersModel, parameters: readonly Parameter[]): Float32Array[] {
  return parameters.map((parameter) => {
    const tensor = network.weights[parameter.index]!.read();
    // Moved here, because TensorFlow takes ten times as long for the axes of a small kernel.
    return initializerElements(parameter, tensor.dataSync<'float32'>(), tensor.shape);
  });
}
