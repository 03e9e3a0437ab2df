/** Anybody's ONNX classifier as a guide: ∇ₓ log p(y|x) for samples of a bundle, whatever size and range it wants. */
import { GraphError, UnsupportedError } from '../errors.js';
import { shapeOf, type GraphBuilder } from '../ir/builder.js';
import { float32 } from '../ir/constant.js';
import { inline } from '../ir/inline.js';
import type { Dim, Graph, Model, Value } from '../ir/types.js';
import { normaliseModel } from '../import/prepare-estimator.js';
import { intOf, showShape } from '../ops/operator.js';
import { batch } from '../products/estimator.js';
import { classifierRecord } from './classifier-model.js';
import { resizer } from './resize.js';

/** How the classifier is to be read and fed. */
export interface ClassifierOptions {
  /** Name of its output. @default what its metadata say, or the only one */
  readonly output?: string;
  /** What its output is; `logits` also stands for log probabilities. Judges (`purpose`) do not ask. @default logits */
  readonly kind?: 'logits' | 'probabilities';
  /** The range of values that it wants before `mean` and `std`: the bundle's value range is mapped to it; null: values as they are. @default [0, 1] */
  readonly inputRange?: readonly [number, number] | null;
  /** Subtracted from every channel. @default 0 */
  readonly mean?: readonly number[];
  /** Divides every channel after that. @default 1 */
  readonly std?: readonly number[];
  /** [height, width] that it wants, where the model leaves them open. @default the samples' own */
  readonly size?: readonly [number, number];
  /** Whether images that are made smaller are averaged, as torchvision does; else single pixels are taken. @default true */
  readonly antialias?: boolean;
}

/** A classifier of samples. */
export interface Classifier {
  readonly classes: number;
  /** Their names, where it says them. */
  readonly classNames?: readonly string[] | undefined;
  /** Adds logits (up to a constant of each sample) [N, classes] of samples x to a graph; of a judge its output as it is. */
  readonly logits: (builder: GraphBuilder, x: Value) => Value;
  /** What these are to be by what was said of the output, where it can be seen in numbers; undefined where anything is right. */
  readonly values?: 'logits' | 'log probabilities' | undefined;
  /** What was changed, sentences for people. */
  readonly notes: readonly string[];
}

/** What a classifier is for. */
export type Purpose = 'guide' | 'judge';

/** What the classifier is to classify. */
export interface Subject {
  readonly sampleShape: readonly number[];
  readonly valueRange: readonly [number, number] | null;
}

/** Probabilities below this guide no further: their logarithm has no gradient in float32. */
const smallestProbability = 1e-30;

/**
 * Reads a classifier. What its metadata say (classifier-model.ts) holds where nothing else is given. The model given is changed
 * and must not be used afterwards.
 * @param purpose a `guide` is differentiated, and has to be logits or probabilities; of a `judge` only the largest number counts, whatever it is
 * @throws {GraphError | UnsupportedError} saying what does not fit
 */
export function prepareClassifier(model: Model, { sampleShape, valueRange }: Subject, given: ClassifierOptions = {}, purpose: Purpose = 'guide'): Classifier {
  const { graph } = model;
  const { classNames, ...recorded } = classifierRecord(model);
  const options: ClassifierOptions = { ...recorded, ...given };
  graph.inputs = graph.inputs.filter((input) => !graph.initializers.has(input));
  const [x] = graph.inputs;
  if (graph.inputs.length !== 1 || !x?.dtype?.startsWith('float') || !x.shape) {
    throw new GraphError(`A classifier has one floating-point input of known rank; this model has ${list(graph.inputs)}. Export a wrapper that has.`);
  }
  const output = pickOutput(graph, options.output, purpose);
  graph.outputs = [output];
  const notes = normaliseModel(model, x, output, 'a classifier', () => settle(x, sampleShape, options.size));
  const wanted = shapeOf(x).slice(1) as number[];
  const feed = feeding(sampleShape, wanted, valueRange, options);
  const { classes, axis } = classesOf(output);
  if (classNames && classNames.length !== classes) throw new GraphError(`The classifier's metadata name ${classNames.length} classes, its output ${output.name} has ${classes}.`);
  const read: Reading = purpose === 'judge' ? { value: output, logarithm: false } : readOutput(graph, output, axis, options.kind ?? 'logits');
  return {
    classes, classNames, notes, values: read.values,
    logits: (builder, samples) => {
      const [found] = inline(builder, { ...graph, outputs: [read.value] }, new Map([[x, feed(builder, samples)]]));
      const flat = shapeOf(found!).length === 2 ? found! : builder.op('Reshape', [found!, builder.ints([-1, classes])]);
      flat.shape = [batch, classes];
      return read.logarithm ? builder.op('Log', [builder.op('Max', [flat, builder.scalar(smallestProbability, flat)])]) : flat;
    },
  };
}

const list = (values: readonly Value[]): string => values.map((value) => `${value.name} ${value.dtype ?? 'of unknown type'} ${showShape(value.shape)}`).join(', ') || 'none';

function pickOutput(graph: Graph, name: string | undefined, purpose: Purpose): Value {
  const output = name === undefined && graph.outputs.length === 1 ? graph.outputs[0] : graph.outputs.find((value) => value.name === name);
  if (output) return output;
  throw new GraphError(`${name === undefined ? 'The classifier has several outputs' : `The classifier has no output ${JSON.stringify(name)}`}: it has ${list(graph.outputs)}. Name the one that holds logits or probabilities (--${purpose}-output; output in the library).`);
}

/** Names the batch extent and pins the size. Returns the batch extent where it is fixed. */
function settle(x: Value, sampleShape: readonly number[], size: readonly [number, number] | undefined): number | undefined {
  const [first, ...found] = shapeOf(x);
  if (first === undefined || found.length !== sampleShape.length) {
    throw new GraphError(`The classifier's input ${x.name} ${showShape(x.shape)} does not take samples of shape [${sampleShape.join(', ')}]; allowed: ${sampleShape.length === 3 ? '[N, C, H, W]' : '[N, D]'}.`);
  }
  if (sampleShape.length === 3 && looksChannelsLast(found, sampleShape)) {
    throw new GraphError(`The classifier's input ${x.name} ${showShape(x.shape)} looks like channels last ([N, H, W, C]); samples are [N, ${sampleShape.join(', ')}], channels first. Export a wrapper that takes [N, C, H, W] and begins with a Transpose (perm 0, 2, 3, 1).`);
  }
  const own = sampleShape.length === 3 ? [sampleShape[0]!, ...(size ?? sampleShape.slice(1))] : sampleShape;
  const pinned = found.map((extent, axis) => (typeof extent === 'number' ? extent : own[axis]!));
  if (size && sampleShape.length === 3 && (pinned[1] !== size[0] || pinned[2] !== size[1])) {
    throw new GraphError(`The classifier's input ${x.name} ${showShape(x.shape)} does not take images of ${size.join(' × ')}.`);
  }
  const fixed = typeof first === 'number' ? first : undefined;
  x.shape = [fixed ?? batch, ...pinned];
  return fixed;
}

/** Grey or colours at the end, not in front, where the samples do not say otherwise themselves. */
function looksChannelsLast(found: readonly Dim[], sampleShape: readonly number[]): boolean {
  const channels = (extent: Dim | undefined): boolean => extent === 1 || extent === 3;
  return !channels(found[0]) && channels(found[2]) && found.some((extent, axis) => typeof extent === 'number' && extent !== sampleShape[axis]);
}

/** Channels, size and values as the classifier wants them. */
function feeding(
  sampleShape: readonly number[], wanted: readonly number[], valueRange: readonly [number, number] | null, { inputRange, mean, std, antialias = true }: ClassifierOptions,
): (builder: GraphBuilder, x: Value) => Value {
  const [from, to] = [sampleShape[0]!, wanted[0]!];
  const isImage = sampleShape.length === 3;
  const mismatch = `The classifier takes samples of [${wanted.join(', ')}], the bundle makes [${sampleShape.join(', ')}]`;
  if (from !== to && !(isImage && from === 1 && to === 3)) throw new GraphError(`${mismatch}: ${isImage ? 'the channels must be equal, or one that is repeated to three' : 'the sizes must be equal'}. Export a wrapper that takes the bundle's samples.`);
  for (const [name, values] of [['mean', mean], ['std', std]] as const) {
    if (values && values.length !== 1 && values.length !== to) throw new GraphError(`${name} has ${values.length} values; the classifier has ${to} channels: give one value, or one for each.`);
    if (values?.some((value) => !Number.isFinite(value) || (name === 'std' && value <= 0))) throw new GraphError(`${name} is ${values.join(', ')}; allowed: finite numbers${name === 'std' ? ' above 0' : ''}.`);
  }
  if (inputRange && !valueRange) throw new GraphError('The bundle has no value range that could be mapped to the classifier\'s: give mean and std instead.');
  const [low, high] = valueRange ?? [0, 1];
  const [wantedLow, wantedHigh] = valueRange && inputRange !== null ? inputRange ?? [0, 1] : [low, high];
  if (!(wantedLow < wantedHigh)) throw new GraphError(`The classifier's value range is ${wantedLow}, ${wantedHigh}; allowed: low < high.`);
  const slope = (wantedHigh - wantedLow) / (high - low);
  const at = (values: readonly number[] | undefined, channel: number, fallback: number): number => values?.[values.length === 1 ? 0 : channel] ?? fallback;
  const dims = isImage ? [to, 1, 1] : [to];
  const scale = float32(Array.from({ length: to }, (_, c) => slope / at(std, c, 1)), dims);
  const shift = float32(Array.from({ length: to }, (_, c) => (wantedLow - low * slope - at(mean, c, 0)) / at(std, c, 1)), dims);
  const resize = isImage ? resizer([sampleShape[1]!, sampleShape[2]!], [wanted[1]!, wanted[2]!], antialias) : undefined;
  return (builder, x) => {
    const sized = resize ? resize(builder, x) : x;
    const channels = from === to ? sized : builder.op('Concat', Array.from({ length: to }, () => sized), { axis: 1 });
    const scaled = scaleIsOne(scale.data as Uint8Array) ? channels : builder.op('Mul', [channels, builder.initializer('classifier/scale', scale)]);
    return builder.op('Add', [scaled, builder.initializer('classifier/shift', shift)]);
  };
}

const scaleIsOne = (bytes: Uint8Array): boolean => new Float32Array(new Uint8Array(bytes).buffer).every((value) => value === 1);

/** Their number, and the axis along which they lie: the only one after the batch that is longer than 1. */
function classesOf(output: Value): { classes: number; axis: number } {
  const [first, ...rest] = output.shape ?? [];
  const long = rest.flatMap((extent, at) => (extent === 1 ? [] : [{ classes: extent, axis: at + 1 }]));
  const [found] = long;
  if (first !== batch || long.length !== 1 || typeof found?.classes !== 'number') {
    throw new GraphError(`The classifier's output ${output.name} is ${showShape(output.shape)}; allowed: [N, classes] with at least two classes, a number for each.`);
  }
  return { ...found, classes: found.classes };
}

/** The value that logits are made from, how, and what they are to be then. */
interface Reading extends Pick<Classifier, 'values'> { readonly value: Value; readonly logarithm: boolean }

/** The value to take logits from. What goes into a softmax is better conditioned than the logarithm of what comes out. */
function readOutput(graph: Graph, output: Value, axis: number, kind: 'logits' | 'probabilities'): Reading {
  const maker = graph.nodes.find((node) => node.outputs[0] === output);
  if (kind === 'logits') {
    if (maker?.opType === 'Softmax' || maker?.opType === 'Sigmoid') throw new UnsupportedError(`The classifier's output ${output.name} comes out of ${maker.opType}: ${notLogits}`);
    return { value: output, logarithm: false, values: 'logits' };
  }
  const rank = shapeOf(output).length;
  const softmax = maker?.opType === 'Softmax' && (intOf(maker, 'axis', -1) + rank) % rank === axis ? maker.inputs[0] : undefined;
  return softmax ? { value: softmax, logarithm: false } : { value: output, logarithm: true, values: 'log probabilities' };
}

/** What to do with an output of probabilities. */
export const notLogits = 'these are probabilities, not logits. Say so (kind: \'probabilities\', --probabilities).';
