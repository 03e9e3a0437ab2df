/** Anybody's ONNX model, made into an estimator as bundles have it: x [N, C, H, W] or [N, D] → n [N], float32, opset 18. */
import { GraphError, UnsupportedError } from '../errors.js';
import { GraphBuilder, shapeOf } from '../ir/builder.js';
import { inline } from '../ir/inline.js';
import { newModel, removeUnused } from '../ir/model.js';
import type { Dim, Graph, Model, Shape, Value } from '../ir/types.js';
import { intOf, showShape } from '../ops/operator.js';
import { batch } from '../products/estimator.js';
import { convertOpset } from './convert-opset.js';
import { writeExplicitPads } from './explicit-pads.js';
import { foldReshapeTargets, freeBatch } from './free-batch.js';
import { refreshTypes } from './refresh-types.js';
import { isOtherFloat, toSinglePrecision } from './single-precision.js';

/** Order of an image's axes in the model's input. */
export type Layout = 'nchw' | 'nhwc';

/** What to know about an ONNX estimator where it does not say so itself. */
export interface PrepareOptions {
  /** [C, H, W] or [D], where the model leaves extents open. @default what the model says */
  readonly sampleShape?: readonly number[];
  /** @default nchw; an input that looks like channels last is an error that asks */
  readonly layout?: Layout;
  /** The model gives log p/q instead of log q/p (a discriminator's logit of "real"): its sign is turned. @default false */
  readonly negate?: boolean;
}

/** A model as bundles want it, and what was changed on the way. */
export interface PreparedEstimator {
  readonly model: Model;
  /** Sentences for people. */
  readonly notes: readonly string[];
}

/**
 * Checks and normalises. The model given is changed and must not be used afterwards.
 * @throws {GraphError | UnsupportedError} saying what does not fit, where, and how to export it so that it does
 */
export function prepareEstimator(model: Model, options: PrepareOptions = {}): PreparedEstimator {
  const { graph } = model;
  const [x, n] = signatureOf(graph);
  const notes = normaliseModel(model, x, n, 'an estimator', () => settleInput(x, options));
  const result = finish(graph, x, options);
  if (options.layout === 'nhwc') notes.push('channels are moved from the last axis to the first');
  if (options.negate) notes.push('the sign of its output is turned');
  return { model: result, notes };
}

/**
 * Opset, precision, batch extent, padding and constants as bundles have them.
 * @param what `an estimator`, for messages @param settle names the batch extent of x and pins the others; returns the batch extent where it is fixed
 * @returns what was changed, sentences for people
 */
export function normaliseModel(model: Model, x: Value, output: Value, what: string, settle: () => number | undefined): string[] {
  const notes: string[] = [];
  const { graph } = model;
  const foreign = graph.nodes.find((node) => node.domain !== '');
  if (foreign) throw new UnsupportedError(`${foreign.opType} node ${JSON.stringify(foreign.name)} is of the domain ${JSON.stringify(foreign.domain)}: ${what} uses ai.onnx alone. Models saved by an engine's optimiser have such operators: import the one from before.`);
  const opset = model.opsets.get('') ?? 0;
  convertOpset(model);
  if (opset !== model.opsets.get('')) notes.push(`converted from opset ${opset}`);
  const dtypes = [x.dtype, output.dtype];
  if (dtypes.some(isOtherFloat)) {
    toSinglePrecision(graph);
    notes.push(`computes in float32 instead of ${[...new Set(dtypes)].filter(isOtherFloat).join(' and ')}`);
  }
  const fixed = settle();
  const builder = new GraphBuilder(graph.name, graph);
  // Constants as initializers, so that they are found and shared.
  refreshTypes(graph);
  writeExplicitPads(graph);
  if (fixed !== undefined) {
    freeBatch(builder, x, batch);
    notes.push(`freed its batch extent, which was fixed to ${fixed}`);
  }
  foldReshapeTargets(builder, graph);
  removeUnused(graph);
  refuseTraining(graph, builder, what);
  refreshTypes(graph);
  return notes;
}

const drawing: ReadonlySet<string> = new Set(['Bernoulli', 'Multinomial', 'RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike']);

/** In training mode samples depend on each other, or on chance. */
function refuseTraining(graph: Graph, builder: GraphBuilder, what: string): void {
  for (const node of graph.nodes) {
    const byBatch = node.opType === 'BatchNormalization' && intOf(node, 'training_mode', 0) === 1;
    const drops = node.opType === 'Dropout' && !!node.inputs[2] && builder.constantNumbers(node.inputs[2])?.[0] === 1;
    if (!byBatch && !drops && !drawing.has(node.opType)) continue;
    throw new GraphError(`${node.opType} node ${JSON.stringify(node.name)} ${byBatch || drops ? 'is in training mode' : 'draws random numbers'}: what ${what} makes of a sample must not depend on ${byBatch ? 'the others of its batch' : 'chance'}. Export the ${what.split(' ')[1]!} in evaluation mode (PyTorch: model.eval() before the export).`);
  }
}

const list = (values: readonly Value[]): string => values.map((value) => `${value.name} ${value.dtype ?? 'of unknown type'} ${showShape(value.shape)}`).join(', ') || 'none';

/** The one input and the one output; their element types. */
function signatureOf(graph: Graph): [Value, Value] {
  const inputs = graph.inputs.filter((input) => !graph.initializers.has(input));
  // Inputs with a default are weights of old exporters.
  graph.inputs = inputs;
  const [x] = inputs;
  const [n] = graph.outputs;
  if (inputs.length !== 1 || !x) throw new GraphError(`An estimator has one input, the sample; this model has ${inputs.length}: ${list(inputs)}. Export a wrapper that fixes the others.`);
  if (graph.outputs.length !== 1 || !n) throw new GraphError(`An estimator has one output, the log ratio (or ratio) of every sample; this model has ${graph.outputs.length}: ${list(graph.outputs)}. Export a wrapper that returns one of them.`);
  if (!x.dtype || (x.dtype !== 'float32' && !isOtherFloat(x.dtype))) {
    throw new GraphError(`The estimator's input ${list([x])} is not floating-point, so that nothing can flow along its gradient. Export a wrapper that takes float32 with values in [−1, 1] and maps them to what the network wants.`);
  }
  if (!x.shape) throw new GraphError(`The estimator's input ${x.name} has no shape. Export it with the shape [N, C, H, W] or [N, D].`);
  return [x, n];
}

/** Names the batch extent and pins the others. Returns the batch extent where it is fixed. */
function settleInput(x: Value, { sampleShape, layout }: PrepareOptions): number | undefined {
  const [first, ...found] = shapeOf(x);
  if (first === undefined || ![1, 3].includes(found.length)) {
    throw new GraphError(`The estimator's input ${x.name} ${showShape(x.shape)} has ${found.length + 1} axes; allowed: [N, C, H, W] for images or [N, D] for points, the batch first.`);
  }
  const given = layout === 'nhwc' && sampleShape?.length === 3 ? [sampleShape[1]!, sampleShape[2]!, sampleShape[0]!] : sampleShape;
  if (given && (given.length !== found.length || found.some((extent, axis) => typeof extent === 'number' && extent !== given[axis]))) {
    throw new GraphError(`The estimator's input ${x.name} ${showShape(x.shape)} does not take samples of shape [${sampleShape!.join(', ')}]${layout === 'nhwc' ? ' with channels last' : ''}.`);
  }
  const open = found.filter((extent) => typeof extent !== 'number');
  if (!given && open.length > 0) throw new GraphError(`The estimator's input ${x.name} ${showShape(x.shape)} leaves ${open.join(', ')} open; a bundle's samples have one size. Say which: --sample-shape C,H,W (sampleShape in the library).`);
  const sample = (given ?? found) as number[];
  if (sample.some((extent) => extent < 1)) throw new GraphError(`The estimator's input ${x.name} ${showShape(x.shape)} is empty.`);
  const channels = (extent: Dim | undefined): boolean => extent === 1 || extent === 3;
  if (layout === undefined && sample.length === 3 && !channels(sample[0]) && channels(sample[2])) {
    throw new GraphError(`The estimator's input ${x.name} ${showShape(x.shape)} looks like channels last ([N, H, W, C]). Say --layout nhwc if so, --layout nchw if not (layout in the library).`);
  }
  if (layout === 'nhwc' && sample.length !== 3) throw new GraphError(`The estimator's input ${x.name} ${showShape(x.shape)} are no images: the layout nhwc does not apply.`);
  const fixed = typeof first === 'number' ? first : undefined;
  // A symbol of any name is N from here on.
  x.shape = [fixed ?? batch, ...sample];
  return fixed;
}

/** A graph around it: layout and sign as bundles have them, the output squeezed to [N]. */
function finish(graph: Graph, x: Value, { layout, negate }: PrepareOptions): Model {
  const builder = new GraphBuilder('estimator');
  const [a, b, c] = shapeOf(x).slice(1) as number[];
  const shape: Shape = [batch, ...(layout === 'nhwc' ? [c!, a!, b!] : (shapeOf(x).slice(1)))];
  const input = builder.input('x', 'float32', shape);
  const [n] = inline(builder, graph, new Map([[x, layout === 'nhwc' ? builder.op('Transpose', [input], { perm: [0, 2, 3, 1] }) : input]]));
  checkOutput(n!, '');
  const flat = shapeOf(n!).length === 1 ? n! : builder.op('Reshape', [n!, builder.ints([-1])]);
  flat.shape = [batch];
  builder.output('n', negate ? builder.op('Neg', [flat]) : flat);
  return newModel(builder.graph);
}

function checkOutput(n: Value, detail: string): void {
  if (n.dtype !== 'float32') throw new GraphError(`The estimator's output ${n.name} is ${n.dtype ?? 'of unknown type'}; allowed: one floating-point number for every sample.`);
  if (!n.shape) throw new GraphError(`The shape of the estimator's output ${n.name} cannot be told. Run onnx.shape_inference on the model, or export it again with opset 18.`);
  const [first, ...rest] = n.shape;
  if (first !== batch || rest.some((extent) => extent !== 1)) {
    const features = rest.length === 1 && typeof rest[0] === 'number' && rest[0] > 1;
    throw new GraphError(`The estimator's output ${n.name} is ${showShape(n.shape)}${detail}; allowed: [N] or [N, 1], one number for every sample.${features ? ` ${rest[0]} numbers look like a classifier's: an estimator ends in a layer of one unit.` : ''}`);
  }
}
