/** Float64 models on ONNX Runtime, and gradients against central differences. */
import * as ort from 'onnxruntime-node';
import { gradient, readModel, writeModel, GraphBuilder, newModel, type DataType, type Model, type Shape, type Value } from '@ratioflow/export';

export interface Tensor64 { readonly data: Float64Array; readonly shape: readonly number[] }
export type Feeds = Readonly<Record<string, Tensor64>>;
export type Level = 'disabled' | 'all';

export class Session {
  readonly #session: ort.InferenceSession;
  private constructor(session: ort.InferenceSession) {
    this.#session = session;
  }

  static async open(model: Model, level: Level = 'all'): Promise<Session> {
    return new Session(await ort.InferenceSession.create(writeModel(model), { graphOptimizationLevel: level, logSeverityLevel: 4, intraOpNumThreads: 1 }));
  }

  async run(feeds: Feeds): Promise<Record<string, Tensor64>> {
    const results = await this.#session.run(Object.fromEntries(Object.entries(feeds).map(([name, { data, shape }]) => [name, new ort.Tensor('float64', data, [...shape])])));
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, { data: Float64Array.from(tensor.data as Float64Array), shape: [...tensor.dims] }]));
  }

  async close(): Promise<void> {
    await this.#session.release();
  }
}

/** A small deterministic generator (mulberry32), so that a failure can be repeated. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const randomTensor = (random: () => number, shape: readonly number[], low = -1.5, high = 1.5): Tensor64 => ({
  shape, data: Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => low + (high - low) * random()),
});

export const dot = (a: Tensor64, b: Tensor64): number => a.data.reduce((total, value, i) => total + value * b.data[i]!, 0);
const shifted = (x: Tensor64, direction: Tensor64, step: number): Tensor64 => ({ shape: x.shape, data: x.data.map((value, i) => value + step * direction.data[i]!) });

export interface Network {
  readonly inputs: readonly { readonly shape: Shape; readonly dtype?: DataType; readonly low?: number; readonly high?: number }[];
  readonly make: (builder: GraphBuilder, inputs: readonly Value[]) => Value;
}

export function modelOf(network: Network, opset = 18): Model {
  const builder = new GraphBuilder('network', undefined, undefined, opset);
  const inputs = network.inputs.map(({ shape, dtype }, index) => builder.input(`x${index}`, dtype ?? 'float64', shape));
  builder.output('y', network.make(builder, inputs));
  const model = newModel(builder.graph);
  model.opsets.set('', opset);
  return model;
}

/**
 * The largest relative difference between ⟨u, J v⟩ by central differences and ⟨Jᵀ u, v⟩ by the gradient graph, over
 * random u and v, for every input. Symbolic extents are `batch`.
 */
export async function adjointError(network: Network, { seed = 1, batch = 2, level = 'all', opset = 18, trials = 4, step = 1e-6 }: { seed?: number; batch?: number; level?: Level; opset?: number; trials?: number; step?: number } = {}): Promise<number> {
  const random = randomOf(seed);
  const bytes = writeModel(modelOf(network, opset));
  const wrt = network.inputs.map((_, index) => `x${index}`);
  const forward = await Session.open(readModel(bytes), level);
  const backward = await Session.open(gradient(readModel(bytes), { wrt, seed: true }), level);
  try {
    const feeds: Record<string, Tensor64> = Object.fromEntries(network.inputs.map(({ shape, low, high }, index) => [`x${index}`, randomTensor(random, shape.map((dim) => (typeof dim === 'number' ? dim : batch)), low, high)]));
    const { y } = await forward.run(feeds);
    let worst = 0;
    for (let trial = 0; trial < trials; trial++) {
      const u = randomTensor(random, y!.shape);
      const gradients = await backward.run({ ...feeds, seed_y: u });
      for (const name of wrt) {
        const g = gradients[`grad_${name}`]!;
        if (g.shape.join() !== feeds[name]!.shape.join()) throw new Error(`grad_${name} has the shape [${g.shape.join()}], ${name} [${feeds[name]!.shape.join()}]`);
        const v = randomTensor(random, g.shape);
        const [ahead, behind] = await Promise.all([step, -step].map(async (h) => dot((await forward.run({ ...feeds, [name]: shifted(feeds[name]!, v, h) }))['y']!, u)));
        const numeric = (ahead! - behind!) / (2 * step);
        const scale = Math.max(1e-3, g.data.reduce((total, value, i) => total + Math.abs(value * v.data[i]!), 0));
        worst = Math.max(worst, Math.abs(dot(g, v) - numeric) / scale);
      }
    }
    return worst;
  } finally {
    await forward.close();
    await backward.close();
  }
}
