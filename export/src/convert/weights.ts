/** The arrays of a network, and moving their axes about. */
import { GraphError, UnsupportedError } from '../errors.js';
import type { GraphBuilder } from '../ir/builder.js';
import { float32 } from '../ir/constant.js';
import type { Value } from '../ir/types.js';
import type { Layer, Parameter, ParameterOptions } from './layer-converter.js';
import type { LayersModel } from './tfjs-types.js';

export interface WeightArray {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** A weight of a tfjs network. */
export type Weight = LayersModel['weights'][number];

/** Reads every weight of the network. @throws {UnsupportedError} for weights that are not float32 */
export async function readWeights(network: LayersModel): Promise<Map<Weight, WeightArray>> {
  const entries = network.weights.map(async (weight): Promise<[Weight, WeightArray]> => {
    const tensor = weight.read();
    return [weight, { data: floatsOf(weight, await tensor.data(), tensor.dtype), dims: tensor.shape }];
  });
  return new Map(await Promise.all(entries));
}

/** A weight that the network does not list, as those of tfjs's MultiHeadAttention: read at once. */
function hiddenWeight(weight: Weight): WeightArray {
  const tensor = weight.read();
  return { data: floatsOf(weight, tensor.dataSync(), tensor.dtype), dims: tensor.shape };
}

function floatsOf(weight: Weight, data: unknown, dtype: string): Float32Array {
  if (!(data instanceof Float32Array)) throw new UnsupportedError(`Weight ${weight.originalName} is of type ${dtype}; only float32 is supported.`);
  return data;
}

interface Entry {
  readonly key: string;
  readonly arranged: Float32Array | undefined;
  readonly parameter: Parameter;
}

const same = (a: Float32Array | undefined, b: Float32Array | undefined): boolean => a === b || (!!a && !!b && a.length === b.length && a.every((value, index) => Object.is(value, b[index])));

/** Stores weights as initializers, each once per form in which it is wanted. */
export class ParameterStore {
  readonly #network: LayersModel;
  readonly #arrays: ReadonlyMap<Weight, WeightArray>;
  readonly #builder: GraphBuilder;
  readonly #stored = new Map<Weight, Entry[]>();

  constructor(network: LayersModel, arrays: ReadonlyMap<Weight, WeightArray>, builder: GraphBuilder) {
    this.#network = network;
    this.#arrays = arrays;
    this.#builder = builder;
  }

  /** The weight of a layer whose name ends like this. */
  find(layer: Layer, suffix: string, where: string): { weight: Weight; array: WeightArray } {
    const weights: readonly Weight[] = layer.weights;
    const weight = weights.find((candidate) => `/${candidate.originalName.replace(/_\d+$/, '')}`.endsWith(`/${suffix}`));
    if (!weight) {
      throw new GraphError(`${where}: has no weight ${JSON.stringify(suffix)} (it has ${weights.map((item) => item.originalName).join(', ') || 'none'}).`);
    }
    return { weight, array: this.#arrays.get(weight) ?? hiddenWeight(weight) };
  }

  store({ weight, array }: { weight: Weight; array: WeightArray }, permutation: readonly number[] | undefined, options: ParameterOptions = {}): Value {
    const entries = this.#stored.get(weight) ?? [];
    this.#stored.set(weight, entries);
    const key = `${permutation?.join() ?? ''}|${options.shape?.join() ?? ''}`;
    const form = { permutation: permutation ?? null, ...(options.arrange && { arrange: options.arrange }) };
    const elements = initializerElements(form, array.data, array.dims);
    const arranged = options.arrange && elements;
    const existing = entries.find((entry) => entry.key === key && same(entry.arranged, arranged));
    if (existing) return existing.parameter.value;
    const dims = permutation ? permutation.map((axis) => array.dims[axis]!) : array.dims;
    const value = this.#builder.initializer(weight.originalName, float32(elements, options.shape ?? dims));
    const index = this.#network.weights.indexOf(weight);
    entries.push({ key, arranged, parameter: { value, weight: weight.originalName, index, ...form } });
    return value;
  }

  /** Everything stored that is a weight of the network, in the order of its weights. */
  parameters(): Parameter[] {
    return [...this.#stored.values()].flat().map(({ parameter }) => parameter).filter(({ index }) => index >= 0).sort((a, b) => a.index - b.index);
  }
}

/** The elements of a tfjs weight, given in its own order and shape, as the graph's initializer holds them. */
export function initializerElements({ permutation, arrange }: Pick<Parameter, 'permutation' | 'arrange'>, data: Float32Array, shape: readonly number[]): Float32Array {
  const moved = permutation ? permuted(data, shape, permutation).data : data;
  return arrange ? arrange(moved) : moved;
}

/** Reorders the axes of a row-major array. */
export function permuted(data: Float32Array, dims: readonly number[], permutation: readonly number[]): { data: Float32Array; dims: number[] } {
  const target = permutation.map((axis) => dims[axis]!);
  const strides = permutation.map((axis) => dims.slice(axis + 1).reduce((a, b) => a * b, 1));
  const result = new Float32Array(data.length);
  const index = target.map(() => 0);
  const last = target.length - 1;
  const [inner, innerStride] = [target[last] ?? 1, strides[last] ?? 1];
  for (let at = 0; at < result.length; at += inner) {
    let from = 0;
    for (let axis = 0; axis < last; axis++) from += index[axis]! * strides[axis]!;
    for (let i = 0; i < inner; i++) result[at + i] = data[from + i * innerStride]!;
    for (let axis = last - 1; axis >= 0 && ++index[axis]! === target[axis]; axis--) index[axis] = 0;
  }
  return { data: result, dims: target };
}

