/** What a run of a classifier will take, before it is spent. */
import { convertLayersModel } from '@ratioflow/export';
import { normals, purposes } from '@ratioflow/sdk';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import { asImages } from '../classifier/run-classifier.js';
import { createClassifierLearner } from '../classifier/train-classifier.js';
import type { ClassifierConfig } from '../config/schema.js';
import { classesOf } from '../data/classes.js';
import { ConfigError } from '../errors.js';
import { graphOptions } from '../estimators/layout.js';
import { openEstimator } from '../estimators/open-estimator.js';
import { parametersOf } from '../estimators/spectral.js';
import { microBatches } from '../loop/micro-batches.js';
import { openData } from '../run/assemble.js';
import { attempt, portableBatch, sizesOf, valuesOf, type Alternative, type NetworkPlan } from './network-plan.js';
import { multiplyAccumulates } from './operations.js';
import type { PlanOptions } from './plan.js';
import { peakBytes, timedWarm, trialBatch } from './trial.js';

export interface ClassifierPlan extends NetworkPlan {
  readonly kind: 'classifier';
  readonly classes: number;
  /** Bytes of classifier.onnx on disk. */
  readonly modelBytes: number;
  readonly measured: MeasuredLearning | null;
}

/** Speed on this machine. */
export interface MeasuredLearning {
  /** Where learning ran. */
  readonly learning: string;
  /** Samples that the trial had; times are for the whole batch, in proportion. */
  readonly trialBatch: number;
  /** Of one step, its attack included. */
  readonly millisecondsPerLearningStep: number;
  /** Largest resident size of the process so far: what training takes without its data. */
  readonly residentBytes: number;
  /** Hours of the whole run; tests and the first pass over the data come on top. */
  readonly hours: number;
  readonly alternatives: readonly Alternative[];
}

/** @throws {ConfigError} as the run itself would; for sets that are not opened, where the number of classes is not known */
export async function planClassifier(config: ClassifierConfig, { trialSteps = 3, compare = true, signal }: PlanOptions = {}): Promise<ClassifierPlan> {
  const { sampleShape, classes } = await outline(config);
  const { tf, backend } = await loadTensorFlow({ backend: config.backend });
  const { batch, iterations } = config.training;
  const { network, converters } = await openEstimator(tf, { ...config.network, outputs: classes }, sampleShape, config.seed);
  const { model } = await convertLayersModel(network, { converters, ...graphOptions(network, sampleShape) });
  const parameters = parametersOf(network);
  const atOnce = Math.max(...microBatches(network, batch, { sampleShape, size: config.training.microBatch }).map(({ count }) => count));
  network.dispose();
  const forwardMacs = multiplyAccumulates(model);
  // Forward, and backward by input and by kernel, each as much again; each step of an attack forward and by input.
  const learningMacs = forwardMacs * (3 + 2 * (config.attack?.steps ?? 0));
  const hoursOf = (milliseconds: number): number => (iterations * milliseconds) / 3_600_000;

  const measure = async (): Promise<MeasuredLearning> => {
    const samples = trialBatch(batch, learningMacs);
    const { learning, learningStep, residentBytes } = await tryOut(config, sampleShape, classes, samples, signal);
    const millisecondsPerLearningStep = (learningStep * batch) / samples;
    const alternatives: Alternative[] = [];
    if (compare && backend === 'tensorflow') {
      const fewer = portableBatch(samples, learningMacs);
      alternatives.push(await attempt('backend=portable', signal, async () =>
        hoursOf(((await tryOut({ ...config, backend: 'portable' }, sampleShape, classes, fewer, signal)).learningStep * batch) / fewer)));
      await loadTensorFlow({ backend: config.backend });
    }
    return { learning, residentBytes, trialBatch: samples, millisecondsPerLearningStep, hours: hoursOf(millisecondsPerLearningStep), alternatives };
  };

  return {
    kind: config.kind, sampleShape, classes, forwardMacs,
    ...sizesOf(config, parameters, 4 * atOnce * valuesOf(model)),
    flopsPerIteration: 2 * batch * learningMacs,
    modelBytes: 4 * parameters,
    measured: trialSteps > 0 ? await measure() : null,
  };
}

/** What the network must fit. CIFAR-10 and images are not opened. */
async function outline({ data, classNames }: ClassifierConfig): Promise<{ sampleShape: readonly number[]; classes: number }> {
  if (data.name === 'cifar10') return { sampleShape: [3, 32, 32], classes: classNames?.length ?? data.classes?.length ?? 10 };
  if (data.name === 'images') {
    if (!classNames) throw new ConfigError('A plan does not open the images, so it does not know their classes: name them (classNames, or for the plan alone --set "classNames=[a, b, c]").');
    return { sampleShape: [data.channels ?? 3, data.size!, data.size!], classes: classNames.length };
  }
  const dataset = asImages(await openData(data), 'data');
  return { sampleShape: dataset.sampleShape, classes: classesOf(dataset, classNames).names.length };
}

/** A learning step on random numbers. */
async function tryOut(config: ClassifierConfig, sampleShape: readonly number[], classes: number, batch: number, signal: AbortSignal | undefined): Promise<{ learning: string; learningStep: number; residentBytes: number }> {
  const { tf, description } = await loadTensorFlow({ backend: config.backend });
  const { network } = await openEstimator(tf, { ...config.network, outputs: classes }, sampleShape, config.seed);
  const { ema, beta1, beta2, learningRate, microBatch } = config.training;
  const learner = createClassifierLearner(tf, network, { sampleShape, attack: config.attack, ema, beta1, beta2, microBatch });
  const x = normals({ seed: 1, purpose: purposes.testVectors, step: 0, count: batch, elements: sampleShape.reduce((a, b) => a * b, 1) });
  const labels = Uint8Array.from({ length: batch }, (_, i) => i % classes);
  try {
    let t = 0;
    const learningStep = await timedWarm(() => learner.step(x, labels, learningRate, t++), signal);
    return { learning: description, learningStep, residentBytes: peakBytes() };
  } finally {
    learner.dispose();
    network.dispose();
  }
}
