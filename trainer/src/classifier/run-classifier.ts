/** The run of a classifier in a folder: the same record and checkpoints as an estimator's; at the end `classifier.onnx` and its test. */
import { join } from 'node:path';
import { createRuntime, writeFileAtomic } from '@ratioflow/node';
import { loadTensorFlow } from '../backend/load-tensorflow.js';
import type { ClassifierConfig } from '../config/schema.js';
import { classesOf } from '../data/classes.js';
import { isImageDataset, type Dataset, type ImageDataset } from '../data/dataset.js';
import { ConfigError } from '../errors.js';
import { explosion } from '../loop/diagnose.js';
import { openEstimator } from '../estimators/open-estimator.js';
import { checkSize, openData } from '../run/assemble.js';
import type { Checkpoint } from '../run/checkpoint.js';
import { iterate, type IterateOptions } from '../run/iterate.js';
import type { Attack } from './attack.js';
import { openClassifierLog } from './classifier-log.js';
import { evaluateClassifier, type Evaluation } from './evaluate.js';
import { exportClassifier } from './export-classifier.js';
import { createClassifierLearner, trainClassifier, type ClassifierMetrics } from './train-classifier.js';

export interface ClassifierResult {
  readonly kind: 'classifier';
  readonly out: string;
  /** Path of the ONNX file. */
  readonly classifier: string;
  readonly iterations: number;
  /** null without a test set. */
  readonly evaluation: Evaluation | null;
  /** The same in sentences. */
  readonly findings: readonly string[];
}

/** Of the test where nothing is said. */
const customaryRadius = 2;
const testSteps = 20;

/** @throws {ConfigError} for data that cannot be learned, before the first iteration */
export async function runClassifier(config: ClassifierConfig, options: IterateOptions<ClassifierMetrics>, checkpoint: Checkpoint | null): Promise<ClassifierResult> {
  const { out, signal, onMessage } = options;
  const dataset = asImages(await openData(config.data, onMessage), 'data');
  const testConfig = config.test ?? (config.data.name === 'mnist' || config.data.name === 'cifar10' ? { ...config.data, split: 'test' as const, range: undefined } : undefined);
  const test = testConfig ? asImages(await openData(testConfig, onMessage), 'test') : null;
  checkSize(config.training.batch, dataset);
  if (test && test.sampleShape.join() !== dataset.sampleShape.join()) throw new ConfigError(`test has images [${test.sampleShape.join(', ')}], data has [${dataset.sampleShape.join(', ')}]: both must be of one size and colour.`);
  const { names, indicesOf } = classesOf(dataset, config.classNames);
  if (names.length < 2) throw new ConfigError(`data: ${dataset.name} has samples of a single class (${names.join()}): a classifier needs two or more.`);
  const classes = indicesOf(dataset.labels!, 'data');
  const testClasses = test && indicesOf(testLabels(test), 'test');
  const tensorflow = await loadTensorFlow({ backend: config.backend });
  const { tf } = tensorflow;
  const { sampleShape } = dataset;
  const { network, converters } = await openEstimator(tf, { ...config.network, outputs: names.length }, sampleShape, config.seed);
  const { beta1, beta2, ema } = config.training;
  const learner = createClassifierLearner(tf, network, { sampleShape, attack: config.attack, ema, beta1, beta2 });
  const attack: Attack = config.evaluation.attack ?? { radius: config.attack?.radius ?? customaryRadius, steps: testSteps };
  const evaluate = (): Promise<Evaluation | null> => learner.withAveragedWeights(async () => test && evaluateClassifier(tf, network, test, testClasses!, attack, config.evaluation.attacked, signal));
  try {
    for (const warning of tensorflow.warnings) onMessage?.(warning);
    onMessage?.(`Learning: ${tensorflow.description}. ${names.length} classes: ${names.join(', ')}.`);
    const log = await iterate({
      config, learner,
      openLog: (from) => openClassifierLog(out, from, config.name, names.length),
      train: (from, to, abort, stepFactor) => trainClassifier({ config, dataset, classes, learner }, from, to, abort, stepFactor),
      diagnose: (rows) => explosion(rows, Math.log(names.length)),
      showEvery: config.evaluation.every,
      async show(iteration) {
        for (const finding of describe(await evaluate())) onMessage?.(`Iteration ${iteration}: ${finding}`);
      },
    }, checkpoint, options);
    await log.publish();
    const evaluation = await evaluate();
    const classifier = join(out, 'classifier.onnx');
    const bytes = await learner.withAveragedWeights(() => exportClassifier(tf, network, {
      sampleShape, classNames: names, inputRange: dataset.valueRange, features: config.features, converters, reference: createRuntime(),
    }));
    await writeFileAtomic(classifier, bytes);
    await writeFileAtomic(join(out, 'classifier.json'), `${JSON.stringify({ classNames: names, iterations: config.training.iterations, evaluation }, null, 2)}\n`);
    return { kind: 'classifier', out, classifier, iterations: config.training.iterations, evaluation, findings: describe(evaluation) };
  } finally {
    learner.dispose();
    network.dispose();
    await dataset.close?.();
    await test?.close?.();
  }
}

function asImages(dataset: Dataset, field: 'data' | 'test'): ImageDataset {
  if (!isImageDataset(dataset)) throw new ConfigError(`${field}: ${dataset.name} is no set of images in bytes, of which classifiers are trained: use mnist, cifar10, images, or npy with uint8 [N, C, H, W] and labels.`);
  return dataset;
}

function testLabels({ name, labels }: Dataset): Uint8Array {
  if (labels === null) throw new ConfigError(`test: ${name} has no labels. Put the images of each class into a subfolder of their own, or give test.labels with a .npy file.`);
  return labels;
}

function describe(evaluation: Evaluation | null): string[] {
  if (!evaluation) return ['There is no test set (test: …), so the accuracy is not known.'];
  const { dataset, accuracy, count, underAttack } = evaluation;
  const percent = (part: number): string => `${(100 * part).toFixed(2)} %`;
  return [
    `${percent(accuracy)} of the ${count} images of ${dataset} are classified rightly.`,
    ...(underAttack ? [`Moved by at most ${underAttack.attack.radius} (L2, ${underAttack.attack.steps} steps), ${percent(underAttack.accuracy)} of the first ${underAttack.count}.`] : []),
  ];
}
