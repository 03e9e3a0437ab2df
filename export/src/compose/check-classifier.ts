/**
 * A classifier on an engine, before anything is made of it: its numbers are finite and what they are said to be, and no sample
 * depends on the others of its batch. Guidance divides batches as it likes, and the gradient of one sample's class must be that of this sample alone.
 */
import { fillNormals, fillUniforms, purposes, type Runtime } from '@ratioflow/sdk';
import { GraphError } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import { newModel } from '../ir/model.js';
import { writeModel } from '../onnx/write.js';
import { batch } from '../products/estimator.js';
import { notLogits, type Classifier, type Subject } from './classifier.js';

/** Samples compared. */
const samples = 5;
/** The one that is also classified by itself. */
const chosen = 1;
/** Largest difference, as a part of the outputs' size, that the rounding of sums in another order explains. */
const tolerance = 2e-4;

/** @throws {GraphError} for numbers that are not finite or not what they are said to be, or samples that influence each other */
export async function checkClassifier({ classes, logits, values }: Classifier, { sampleShape, valueRange }: Subject, runtime: Runtime): Promise<void> {
  const builder = new GraphBuilder('classifier');
  builder.output('logits', logits(builder, builder.input('x', 'float32', [batch, ...sampleShape])));
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  // Within the range of values, as samples are in the end: a root or a logarithm may make NaN beyond it.
  const noise = new Float32Array(samples * elements);
  (valueRange ? fillUniforms : fillNormals)(noise, { seed: 0n, purpose: purposes.testVectors, step: 9 }, { count: samples, elements });
  const [low, high] = valueRange ?? [0, 1];
  const data = noise.map((value) => low + (high - low) * value);
  const session = await runtime.load({ name: 'the classifier', model: writeModel(newModel(builder.graph)) }, { optimization: 'disabled' });
  try {
    const evaluate = async (first: number, count: number): Promise<Float32Array> =>
      (await session.run({ x: { shape: [count, ...sampleShape], data: data.slice(first * elements, (first + count) * elements) } }))['logits']!.data as Float32Array;
    const all = await evaluate(0, samples);
    const show = (values: Float32Array): string => `${Array.from(values.subarray(0, Math.min(4, classes)), (value) => value.toPrecision(4)).join(', ')}${classes > 4 ? ', …' : ''}`;
    if (all.length !== samples * classes) throw new GraphError(`The classifier gives ${all.length} numbers for ${samples} random samples; needed: ${classes} for each.${remedy}`);
    const together = all.subarray(chosen * classes, (chosen + 1) * classes);
    if (!all.every(Number.isFinite)) throw new GraphError(`The classifier gives ${show(all.subarray(classes * Math.floor(all.findIndex((value) => !Number.isFinite(value)) / classes)))} for a random sample: its numbers must be finite. Look at its weights, and at the range of values that it wants.`);
    checkValues(Array.from({ length: samples }, (_, n) => all.subarray(n * classes, (n + 1) * classes)), values, show);
    const alone = await evaluate(chosen, 1);
    const allowed = tolerance * all.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3);
    if (!together.every((value, i) => Math.abs(value - alone[i]!) <= allowed)) {
      throw new GraphError(`The classifier gives a sample ${show(together)} in a batch of ${samples} and ${show(alone)} by itself: samples influence each other, or chance decides (batch statistics, dropout?).${remedy}`);
    }
  } finally {
    await session.dispose();
  }
}

/** How far the sum of probabilities may be from 1, and one of them above it: those of float16 are off by this much. */
const slack = 1e-2;

/** Probabilities taken for logits, or the reverse, would guide somewhere, and nobody would notice. */
function checkValues(rows: readonly Float32Array[], values: Classifier['values'], show: (row: Float32Array) => string): void {
  const sum = (row: Float32Array): number => row.reduce((total, value) => total + value, 0);
  if (values === 'logits' && rows.every((row) => row.every((value) => value >= 0) && Math.abs(sum(row) - 1) < slack)) throw new GraphError(`The classifier gives ${show(rows[0]!)} for a random sample, and all of a sample add up to 1: ${notLogits}`);
  if (values !== 'log probabilities') return;
  const probabilities = rows.map((row) => row.map(Math.exp));
  const wrong = probabilities.find((row) => row.some((value) => value > 1 + slack)) ?? probabilities.find((row) => sum(row) < smallestSum);
  if (wrong) throw new GraphError(`The classifier gives ${show(wrong)} for a random sample (1.000e-30 stands for 0 and less): these are no probabilities. Leave out what says so (kind: 'probabilities', --probabilities) for logits and log probabilities.`);
  // A softmax along an axis of one place makes nothing but ones.
  if (probabilities.every((row) => row.every((value) => value > 1 - slack))) throw new GraphError(`The classifier gives every class of every random sample a probability of ${probabilities[0]![0]!.toPrecision(4)}, which guides nowhere: look along which axis its softmax goes.`);
}

/** Whatever is not above 0 was raised to 10⁻³⁰ before its logarithm. */
const smallestSum = 1e-20;

const remedy = ' Export it in evaluation mode, each sample classified by itself.';
