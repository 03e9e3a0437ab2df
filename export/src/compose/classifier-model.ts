/** Classifiers as files: fixed names of input and outputs, and metadata that say how they are to be fed and read. */
import { GraphError } from '../errors.js';
import { GraphBuilder, shapeOf } from '../ir/builder.js';
import { inline } from '../ir/inline.js';
import { newModel } from '../ir/model.js';
import type { Model } from '../ir/types.js';
import { batch } from '../products/estimator.js';
import type { ClassifierOptions } from './classifier.js';

/** Key of the model's metadata under which JSON of a `ClassifierRecord` stands. */
const metadataKey = 'ratioflow.classifier';

/** What a classifier says of itself. */
export interface ClassifierRecord extends ClassifierOptions {
  /** Names of its classes, in the order of its output. */
  readonly classNames?: readonly string[];
}

/**
 * A network of one or two outputs as a classifier: x [N, …] → logits [N, classes], and features [N, …] where there are two.
 * @param record kept in the metadata; whoever guides with the file need not say it again
 */
export function classifierModel(network: Model, record: ClassifierRecord): Model {
  const { graph } = network;
  const [input, ...others] = graph.inputs.filter((value) => !graph.initializers.has(value));
  if (!input || others.length > 0 || graph.outputs.length < 1 || graph.outputs.length > 2) throw new GraphError(`A classifier has one input, and the outputs logits and features; this model has ${1 + others.length} inputs and ${graph.outputs.length} outputs.`);
  const builder = new GraphBuilder('classifier');
  const x = builder.input('x', 'float32', [batch, ...shapeOf(input).slice(1)]);
  const outputs = inline(builder, graph, new Map([[input, x]]));
  outputs.forEach((value, index) => {
    value.shape = [batch, ...shapeOf(value).slice(1)];
    builder.output(index === 0 ? 'logits' : 'features', value);
  });
  const model = newModel(builder.graph);
  model.metadata.set(metadataKey, JSON.stringify({ output: 'logits', kind: 'logits', ...record } satisfies ClassifierRecord));
  return model;
}

/**
 * What a classifier says of itself; nothing for models from elsewhere.
 * @throws {GraphError} for metadata that are not what they should be
 */
export function classifierRecord({ metadata }: Model): ClassifierRecord {
  const text = metadata.get(metadataKey);
  if (text === undefined) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new GraphError(`The classifier's metadata ${metadataKey} are no JSON: ${(cause as Error).message}.`, { cause });
  }
  const record = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  for (const [field, check] of Object.entries(checks)) {
    if (record[field] !== undefined && !check(record[field])) throw new GraphError(`The classifier's metadata ${metadataKey} have ${field} = ${JSON.stringify(record[field])}, which cannot be meant. Write the metadata again, or remove them and give options.`);
  }
  return Object.fromEntries(Object.keys(checks).flatMap((field) => (record[field] === undefined ? [] : [[field, record[field]]])));
}

const numbers = (value: unknown): boolean => Array.isArray(value) && value.every((one) => typeof one === 'number');
const pair = (value: unknown): boolean => numbers(value) && (value as number[]).length === 2;
const checks: Readonly<Record<keyof ClassifierRecord, (value: unknown) => boolean>> = {
  output: (value) => typeof value === 'string',
  kind: (value) => value === 'logits' || value === 'probabilities',
  inputRange: (value) => value === null || pair(value), size: pair, mean: numbers, std: numbers,
  antialias: (value) => typeof value === 'boolean',
  classNames: (value) => Array.isArray(value) && value.every((one) => typeof one === 'string'),
};
