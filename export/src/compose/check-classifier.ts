/**
 * A classifier on an engine, before anything is made of it: its numbers are finite, and no sample depends on the others of its
 * batch. Guidance divides batches as it likes, and the gradient of one sample's class must be that of this sample alone.
 */
import { fillNormals, fillUniforms, purposes, type Runtime } from '@ratioflow/sdk';
import { GraphError } from '../errors.js';
import { GraphBuilder } from '../ir/builder.js';
import { newModel } from '../ir/model.js';
import { writeModel } from '../onnx/write.js';
import { batch } from '../products/estimator.js';
import type { Classifier, Subject } from './classifier.js';

/** Samples compared. */
const samples = 5;
/** The one that is also classified by itself. */
const chosen = 1;
/** Largest difference, as a part of the outputs' size, that the rounding of sums in another order explains. */
const tolerance = 2e-4;

/** @throws {GraphError} for numbers that are not finite, or samples that influence each other */
export async function checkClassifier({ classes, logits }: Classifier, { sampleShape, valueRange }: Subject, runtime: Runtime): Promise<void> {
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
    const alone = await evaluate(chosen, 1);
    const allowed = tolerance * all.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3);
    if (!together.every((value, i) => Math.abs(value - alone[i]!) <= allowed)) {
      throw new GraphError(`The classifier gives a sample ${show(together)} in a batch of ${samples} and ${show(alone)} by itself: samples influence each other, or chance decides (batch statistics, dropout?).${remedy}`);
    }
  } finally {
    await session.dispose();
  }
}

const remedy = ' Export it in evaluation mode, each sample classified by itself.';
