/**
 * A prepared estimator against the model that it was made of, on an engine: the preparation is never trusted on its word.
 * Also finds networks whose samples influence each other (batch statistics), which no bundle can be made of.
 */
import { fillNormals, purposes, type Runtime, type Session, type Tensor } from '@ratioflow/sdk';
import { GraphError } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import { dataTypeCodes, type DataType, type Model } from '../ir/types.js';
import { writeModel } from '../onnx/write.js';
import type { Layout } from './prepare-estimator.js';

/** Samples compared: more than one, and no multiple of usual fixed batches. */
const samples = 5;

/** Largest difference, as a part of the outputs' size, that the original's precision explains. */
const tolerances: Readonly<Partial<Record<DataType, number>>> = { float32: 2e-4, float64: 1e-3, float16: 3e-2, bfloat16: 2e-1 };

/** How the original's interface differs from an estimator's. */
export interface Interface {
  readonly sampleShape: readonly number[];
  readonly layout: Layout;
  readonly negate: boolean;
}

/**
 * Runs both on the same samples.
 * @param original as it was read; it is changed and must not be used afterwards
 * @returns why nothing was compared, when the engine cannot run the original
 * @throws {GraphError} when they differ, or samples influence each other
 */
export async function compareEstimators(original: Model, prepared: Model, { sampleShape, layout, negate }: Interface, runtime: Runtime): Promise<string | undefined> {
  const x = original.graph.inputs.find((input) => !original.graph.initializers.has(input))!;
  const [fixed, precision] = [x.shape![0]!, x.dtype!];
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  const data = new Float32Array(samples * elements);
  fillNormals(data, { seed: 0n, purpose: purposes.testVectors, step: 9 }, { count: samples, elements });
  const load = (name: string, model: Model): Promise<Session> => runtime.load({ name, model: writeModel(model) }, { optimization: 'disabled' });
  const found = await withSession(load('the imported estimator', prepared), async (session) =>
    Array.from((await session.run({ x: { shape: [samples, ...sampleShape], data } }))['n']!.data as Float32Array));

  let expected: number[];
  let alone: number | undefined;
  try {
    [expected, alone] = await withSession(load('the original estimator', asFloat32(original)), async (session) => {
      const evaluate = async (indices: readonly number[]): Promise<number[]> => {
        const part = new Float32Array(indices.length * elements);
        indices.forEach((index, i) => part.set(data.subarray(index * elements, (index + 1) * elements), i * elements));
        const input: Tensor = { shape: [indices.length, ...sampleShape], data: part };
        const [output] = Object.values(await session.run({ [x.name]: layout === 'nhwc' ? channelsLast(input) : input }));
        return Array.from(output!.data as Float32Array, (value) => (negate ? -value : value));
      };
      if (typeof fixed !== 'number') return [await evaluate(Array.from({ length: samples }, (_, i) => i)), (await evaluate([1]))[0]];
      const all: number[] = [];
      while (all.length < samples) all.push(...await evaluate(Array.from({ length: fixed }, (_, i) => (all.length + i) % samples)));
      return [all.slice(0, samples), undefined];
    });
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
  const show = (values: readonly number[]): string => values.map((value) => value.toPrecision(6)).join(', ');
  const allowed = Math.max(1e-3, ...expected.map(Math.abs)) * (tolerances[precision] ?? 2e-4);
  if (!expected.every(Number.isFinite)) throw new GraphError(`The estimator gives ${show(expected)} for ${samples} samples of the normal distribution: its numbers must be finite.`);
  if (alone !== undefined && !(Math.abs(alone - expected[1]!) <= allowed)) {
    throw new GraphError(`The estimator gives a sample ${expected[1]!.toPrecision(6)} in a batch of ${samples} and ${alone.toPrecision(6)} by itself: samples influence each other (batch statistics, dropout?). Export it in evaluation mode.`);
  }
  if (expected.length !== found.length || !expected.every((value, i) => Math.abs(value - found[i]!) <= allowed)) {
    const why = typeof fixed === 'number' ? ` Its batch is fixed to ${fixed}, and freeing it changes what it computes: export it with a symbolic batch extent.` : ' This is a defect of the import: please report it with the model.';
    throw new GraphError(`The imported estimator gives ${show(found)} where the original gives ${show(expected)}.${why}`);
  }
  return undefined;
}

async function withSession<T>(loading: Promise<Session>, use: (session: Session) => Promise<T>): Promise<T> {
  const session = await loading;
  try {
    return await use(session);
  } finally {
    await session.dispose();
  }
}

function channelsLast({ shape, data }: Tensor): Tensor {
  const [count, channels, rows, columns] = shape as [number, number, number, number];
  const moved = new Float32Array(data.length);
  const pixels = rows * columns;
  for (let n = 0; n < count; n++) {
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < pixels; i++) moved[(n * pixels + i) * channels + c] = data[(n * channels + c) * pixels + i] as number;
    }
  }
  return { shape: [count, rows, columns, channels], data: moved };
}

/** The same model with casts at its ends, so that float32 goes in and comes out; its arithmetic stays its own. */
function asFloat32(model: Model): Model {
  const { graph } = model;
  const x = graph.inputs.find((input) => !graph.initializers.has(input))!;
  const n = graph.outputs[0]!;
  const builder = new GraphBuilder(graph.name, graph, undefined, model.opsets.get(''));
  if (x.dtype !== 'float32') {
    const nodes = graph.nodes;
    const inner = builder.value(`${x.name}_own`, { dtype: x.dtype, shape: x.shape });
    for (const node of nodes) node.inputs = node.inputs.map((value) => (value === x ? inner : value));
    nodes.unshift({ name: builder.nodeName('Cast'), opType: 'Cast', domain: '', inputs: [x], outputs: [inner], attributes: new Map([['to', { type: 'int', value: dataTypeCodes[x.dtype!] }]]) });
    x.dtype = 'float32';
  }
  if (n.dtype !== 'float32') graph.outputs = [builder.op('Cast', [n], { to: dataTypeCodes.float32 })];
  return model;
}
