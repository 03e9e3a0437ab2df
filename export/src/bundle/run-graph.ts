/** A bundle's graphs on the reference engine, while the bundle is made. */
import { graphTensors, type GraphName, type GuidanceRecord, type Runtime, type Tensor } from '@ratioflow/sdk';

/** Tensors by name. */
export type Tensors = Readonly<Record<string, Tensor>>;

/** What graphs of a bundle need beside their inputs. */
export interface Subject {
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly reference: Runtime;
  readonly guidance?: GuidanceRecord;
  readonly mixture?: readonly number[];
}

/** Runs a graph that is open: the inputs with whatever else it wants, and its outputs. */
export type Evaluate = (inputs: Tensors) => Promise<{ wanted: Tensors; outputs: Tensors }>;

/** Opens a graph as it is, without an engine's optimisations, for as long as `use` takes. */
export async function withGraph<T>(subject: Subject, graph: GraphName, use: (evaluate: Evaluate) => Promise<T>): Promise<T> {
  const { files, reference } = subject;
  const externalData = (name: string): Promise<Uint8Array> => Promise.resolve(files.get(name)!);
  const session = await reference.load({ name: `${graph}.onnx`, model: files.get(`${graph}.onnx`)!, externalData }, { optimization: 'disabled' });
  try {
    return await use(async (inputs) => {
      const count = Object.entries(inputs).find(([name]) => ['x', 'x0', 'z'].includes(name))![1].shape[0]!;
      const extras = Object.entries(extraTensors(subject, count)).filter(([name]) => session.inputNames.includes(name));
      const wanted = { ...inputs, ...Object.fromEntries(extras) };
      return { wanted, outputs: await session.run(wanted, graphTensors[graph].outputs) };
    });
  } finally {
    await session.dispose();
  }
}

/** Runs a graph once. */
export const runGraph = (subject: Subject, graph: GraphName, inputs: Tensors): ReturnType<Evaluate> => withGraph(subject, graph, (evaluate) => evaluate(inputs));

/** Inputs of composed graphs: a class for every sample, φ, the weights of the estimators. */
function extraTensors({ guidance, mixture }: Subject, count: number): Record<string, Tensor> {
  return {
    ...(guidance && { y: { shape: [count], data: BigInt64Array.from({ length: count }, (_, i) => BigInt(i % guidance.classes)) }, phi: scalar(guidance.scale) }),
    ...(mixture && { weights: { shape: [mixture.length], data: Float32Array.from(mixture) } }),
  };
}

/** One number as a tensor. */
export const scalar = (value: number): Tensor => ({ shape: [], data: Float32Array.of(value) });

/** The largest |actual − expected|; NaN where a value is none. */
export function largestDifference(actual: Tensor, expected: Tensor): number {
  const [a, b] = [actual.data, expected.data] as [Float32Array | Uint8Array, Float32Array | Uint8Array];
  let most = 0;
  for (let i = 0; i < b.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (difference > most || Number.isNaN(difference)) most = difference;
  }
  return most;
}

/** The largest |value|. */
export const largest = ({ data }: Pick<Tensor, 'data'>): number => (data as Float32Array).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
