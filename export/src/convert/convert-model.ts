/** tfjs LayersModel → ONNX model, weights included. */
import type { LayersModel, SymbolicTensor } from '@tensorflow/tfjs-layers';
import { GraphError, UnsupportedError } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import { newModel } from '../ir/model.js';
import type { Dim, Model, Value } from '../ir/types.js';
import { foldPadding } from './fold-padding.js';
import { constantOf, permuted, type Converted, type Layer, type LayerConverter, type Parameter } from './layer-converter.js';
import { builtInConverters } from './layers.js';

export interface ConvertOptions {
  /** Converters of custom layers by class name; they take precedence. */
  readonly converters?: Readonly<Record<string, LayerConverter>>;
  /** Name of the symbolic batch extent. @default 'N' */
  readonly batch?: string;
  /** Name of the graph. @default the model's name */
  readonly name?: string;
}

export interface ConvertedModel {
  readonly model: Model;
  /** The trainable arrays, in the order of the tfjs model's weights. */
  readonly parameters: readonly Parameter[];
}

/**
 * Converts a LayersModel. Inputs and outputs of rank 3 and more become channels first ([N, H, W, C] → [N, C, H, W]);
 * names are those of the tfjs layers.
 * @throws {UnsupportedError} naming the layer, its class and the attribute that cannot be converted
 */
export async function convertLayersModel(network: LayersModel, options: ConvertOptions = {}): Promise<ConvertedModel> {
  const arrays = await readWeights(network);
  const builder = new GraphBuilder(options.name ?? network.name);
  const converters: Readonly<Record<string, LayerConverter>> = { ...builtInConverters, ...options.converters };
  const parameters = new Map<string, Parameter>();
  const known = new Map<number, Converted>();

  for (const [index, input] of network.inputs.entries()) {
    const shape = input.shape.map((dim, axis): Dim => dim ?? (axis === 0 ? (options.batch ?? 'N') : fail(`Input ${input.name}: axis ${axis} has no fixed extent.`)));
    const imageLike = shape.length >= 3;
    const ordered = imageLike ? [shape[0]!, shape.at(-1)!, ...shape.slice(1, -1)] : shape;
    known.set(input.id, {
      value: builder.input(network.inputNames[index] ?? input.name, 'float32', ordered),
      layout: imageLike ? 'channels-first' : 'plain',
    });
  }

  const convertTensor = (tensor: SymbolicTensor): Converted => {
    const done = known.get(tensor.id);
    if (done) return done;
    const layer = tensor.sourceLayer;
    const node = layer.inboundNodes[tensor.nodeIndex];
    if (!node || node.inputTensors.length === 0) throw new GraphError(`${describe(layer)} is not connected to the model's inputs.`);
    const inputs = node.inputTensors.map(convertTensor);
    const outputs = isModel(layer) ? convertNested(layer, inputs) : [convertLayer(layer, inputs)];
    node.outputTensors.forEach((output, index) => {
      const converted = outputs[index];
      if (!converted) throw new UnsupportedError(`${describe(layer)}: has ${node.outputTensors.length} outputs, ${outputs.length} were converted.`);
      known.set(output.id, converted);
    });
    return known.get(tensor.id)!;
  };

  const convertNested = (nested: LayersModel, inputs: readonly Converted[]): Converted[] => {
    // The same inner tensors may be reached by several applications: forget what an earlier one has made.
    const saved = new Map(known);
    nested.layers.flatMap((layer) => layer.inboundNodes.flatMap((node) => node.outputTensors)).forEach((tensor) => known.delete(tensor.id));
    nested.inputs.forEach((input, index) => known.set(input.id, inputs[index]!));
    const outputs = nested.outputs.map(convertTensor);
    known.clear();
    for (const [id, converted] of saved) known.set(id, converted);
    return outputs;
  };

  const convertLayer = (layer: Layer, inputs: readonly Converted[]): Converted => {
    const className = layer.getClassName();
    const where = describe(layer);
    const converter = Object.hasOwn(converters, className) ? converters[className] : undefined;
    if (!converter) throw new UnsupportedError(`${where}: layers of this class are not supported; pass a converter for ${className} in \`converters\`.`);
    const parameter = (suffix: string, permutation?: readonly number[]): Value => {
      const weight = layer.weights.find((candidate) => nameOf(candidate).replace(/_\d+$/, '').endsWith(`/${suffix}`));
      const array = weight && arrays.get(nameOf(weight));
      if (!weight || !array) throw new GraphError(`${where}: has no weight ${JSON.stringify(suffix)} (it has ${layer.weights.map(nameOf).join(', ') || 'none'}).`);
      const name = nameOf(weight);
      const existing = parameters.get(name);
      if (existing) return existing.value;
      const { data, dims } = permutation ? permuted(array.data, array.dims, permutation) : array;
      const value = builder.initializer(name, constantOf(data, dims));
      parameters.set(name, { value, weight: name, permutation: permutation ?? null });
      return value;
    };
    return converter({ builder, layer, config: layer.getConfig(), where, parameter }, inputs);
  };

  network.outputs.forEach((output, index) => builder.output(network.outputNames[index] ?? output.name, convertTensor(output).value));
  foldPadding(builder.graph);
  const order = network.weights.map(nameOf);
  return {
    model: newModel(builder.graph),
    parameters: [...parameters.values()].sort((a, b) => order.indexOf(a.weight) - order.indexOf(b.weight)),
  };
}

interface WeightArray { readonly data: Float32Array; readonly dims: number[] }

const nameOf = (weight: { readonly originalName: string }): string => weight.originalName;
const describe = (layer: Layer): string => `Layer ${JSON.stringify(layer.name)} (${layer.getClassName()})`;
const isModel = (layer: Layer): layer is LayersModel => 'layers' in layer && 'inputs' in layer && 'outputs' in layer;

function fail(message: string): never {
  throw new UnsupportedError(message);
}

async function readWeights(network: LayersModel): Promise<Map<string, WeightArray>> {
  const entries = network.weights.map(async (weight): Promise<[string, WeightArray]> => {
    const tensor = weight.read();
    const data = await tensor.data();
    if (!(data instanceof Float32Array)) throw new UnsupportedError(`Weight ${nameOf(weight)} is of type ${tensor.dtype}; only float32 is supported.`);
    return [nameOf(weight), { data, dims: tensor.shape }];
  });
  return new Map(await Promise.all(entries));
}
