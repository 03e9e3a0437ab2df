/** tfjs LayersModel → ONNX model, weights included. */
import { GraphError, UnsupportedError } from '../errors.js';
import { GraphBuilder, shapeOf } from '../ir/builder.js';
import { newModel } from '../ir/model.js';
import type { Model } from '../ir/types.js';
import { foldPadding } from './fold-padding.js';
import { foldTransposes } from './fold-transposes.js';
import type { Layer, LayerConverter, Parameter } from './layer-converter.js';
import { builtInConverters } from './layers/table.js';
import { imageRule, inputShape, inputType, outputNames } from './interface.js';
import { inLayout, toChannelsFirst, type Converted } from './layout.js';
import { allLayers, isModel, refuseMasks } from './network.js';
import type { LayersModel, SymbolicTensor } from './tfjs-types.js';
import { ParameterStore, readWeights } from './weights.js';

/** Options of {@link convertLayersModel}. */
export interface ConvertOptions {
  /** Converters of custom layers by class name; they take precedence. */
  readonly converters?: Readonly<Record<string, LayerConverter>>;
  /** Name of the symbolic batch extent. @default 'N' */
  readonly batch?: string;
  /** Name of the graph. @default the model's name */
  readonly name?: string;
  /**
   * Which inputs and outputs become channels first: those of rank 4 and 5 (`images`), of rank 3 as well (`all`), or
   * `none`, which costs a Transpose where a convolution follows. @default 'images', but 'none' for a network with a layer of
   * `dataFormat: channelsFirst`
   */
  readonly channelsFirst?: 'images' | 'all' | 'none';
  /** Extents after the batch axis, as tfjs orders them, for inputs that leave some open; by input name. */
  readonly inputShapes?: Readonly<Record<string, readonly number[]>>;
}

/** What {@link convertLayersModel} makes of a model. */
export interface ConvertedModel {
  readonly model: Model;
  /** The arrays of the network and where they are, in the order of the tfjs model's weights. */
  readonly parameters: readonly Parameter[];
}

/**
 * Converts a LayersModel. Images become channels first ([N, H, W, C] → [N, C, H, W], see `channelsFirst`); names are those
 * of the tfjs layers, numbered where a layer has several outputs. The graph computes what `predict` does: dropout and noise are identities.
 * @throws {UnsupportedError} naming the layer, its class and the attribute that cannot be converted
 */
export async function convertLayersModel(network: LayersModel, options: ConvertOptions = {}): Promise<ConvertedModel> {
  const builder = new GraphBuilder(options.name ?? network.name);
  const store = new ParameterStore(network, await readWeights(network), builder);
  const converters: Readonly<Record<string, LayerConverter>> = { ...builtInConverters, ...options.converters };
  const known = new Map<number, Converted>();
  const isImage = imageRule(options.channelsFirst, allLayers(network.layers).some((layer) => layer.getConfig()['dataFormat'] === 'channelsFirst'));
  refuseMasks(network.layers);

  for (const [index, input] of network.inputs.entries()) {
    const name = network.inputNames[index] ?? input.sourceLayer.name;
    const shape = inputShape(name, input.shape, options);
    const image = isImage(shape.length);
    const ordered = image ? toChannelsFirst(shape.length).map((axis) => shape[axis]!) : shape;
    known.set(input.id, { value: builder.input(name, inputType(name, input.dtype), ordered), layout: image ? 'channels-first' : 'plain' });
  }

  const convertTensor = (tensor: SymbolicTensor): Converted => {
    const done = known.get(tensor.id);
    if (done) return done;
    const layer = tensor.sourceLayer;
    const node = layer.inboundNodes[tensor.nodeIndex];
    if (!node || node.inputTensors.length === 0) throw new GraphError(`${describe(layer)} is not connected to the model's inputs.`);
    const outputs = apply(layer, node.inputTensors.map(convertTensor), node.callArgs);
    node.outputTensors.forEach((output, index) => {
      const converted = outputs[index];
      if (!converted) throw new UnsupportedError(`${describe(layer)}: has ${node.outputTensors.length} outputs, ${outputs.length} were converted.`);
      known.set(output.id, converted);
    });
    return known.get(tensor.id)!;
  };

  const applyNested = (nested: LayersModel, inputs: readonly Converted[]): Converted[] => {
    // The same inner tensors may be reached by several applications: forget what an earlier one has made.
    const saved = new Map(known);
    nested.layers.flatMap((layer) => layer.inboundNodes.flatMap((node) => node.outputTensors)).forEach((tensor) => known.delete(tensor.id));
    nested.inputs.forEach((input, index) => known.set(input.id, inputs[index]!));
    const outputs = nested.outputs.map(convertTensor);
    known.clear();
    for (const [id, converted] of saved) known.set(id, converted);
    return outputs;
  };

  const apply = (layer: Layer, inputs: readonly Converted[], callArgs: Readonly<Record<string, unknown>> = {}): readonly Converted[] => {
    if (isModel(layer)) return applyNested(layer, inputs);
    const className = layer.getClassName();
    const where = describe(layer);
    const converter = Object.hasOwn(converters, className) ? converters[className] : undefined;
    if (!converter) throw new UnsupportedError(`${where}: layers of this class are not supported; pass a converter for ${className} in \`converters\`.`);
    const result = converter({
      builder, layer, where, apply, callArgs,
      config: layer.getConfig(),
      parameter: (weight, permutation, form) => store.store(store.find(form?.of ?? layer, weight, where), permutation, form),
      weight: (weight) => store.find(layer, weight, where).array,
    }, inputs);
    return 'value' in result ? [result] : result;
  };

  const names = outputNames(network.outputs.map((output, index) => network.outputNames[index] ?? output.sourceLayer.name), builder.graph.inputs.map(({ name }) => name));
  network.outputs.forEach((output, index) => {
    const converted = convertTensor(output);
    const wanted = isImage(shapeOf(converted.value).length) ? 'channels-first' : 'plain';
    builder.output(names[index]!, inLayout({ builder, where: describe(output.sourceLayer) }, converted, wanted));
  });
  foldPadding(builder.graph);
  const parameters = foldTransposes(builder.graph, store.parameters());
  return { model: newModel(builder.graph), parameters };
}

const describe = (layer: Layer): string => `Layer ${JSON.stringify(layer.name)} (${layer.getClassName()})`;
