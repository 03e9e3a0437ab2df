/** The run of a classifier in a folder: the same record and checkpoints as an estimator's; at the end `classifier.onnx` and its test. */
import { join } from 'node:path';
import { createRuntime, writeFileAtomic } from '@ratioflow/node';
import type { Runtime } from '@ratioflow/sdk';
import { loadTensorFlow, type LoadedTensorFlow } from '../backend/load-tensorflow.js';
import type { ClassifierConfig } from '../config/schema.js';
import { classesOf } from '../data/classes.js';
import { isImageDataset, type Dataset, type ImageDataset } from '../data/dataset.js';
import { ConfigError } from '../errors.js';
import { explosion } from '../loop/diagnose.js';
import { openEstimator, type OpenedEstimator } from '../estimators/open-estimator.js';
import { parametersOf } from '../estimators/spectral.js';
import { checkSize, knownShape, openData, type AssemblyOptions, type DataOptions } from '../run/assemble.js';
import type { Checkpoint } from '../run/checkpoint.js';
import { iterate, restore, type IterateOptions } from '../run/iterate.js';
import { writeData } from '../run/data-file.js';
import { checkRoom } from '../run/run-folder.js';
import { openRecord, type RunRecord } from '../run/run-record.js';
import type { Attack } from './attack.js';
import { classifierRecord, type ClassifierFacts } from './classifier-record.js';
import { evaluateClassifier, type Evaluation } from './evaluate.js';
import { exportClassifier, featuresOf } from './export-classifier.js';
import { createClassifierLearner, trainClassifier, type ClassifierMetrics, type ClassifierParts } from './train-classifier.js';

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

/** A run that is ready to train or to be exported. */
interface ClassifierAssembly extends ClassifierFacts, Omit<ClassifierParts, 'dataset'> {
  readonly dataset: ImageDataset;
  readonly test: ImageDataset | null;
  /** The right output for each image of the test set. */
  readonly testClasses: Uint8Array | null;
  readonly converters: OpenedEstimator['converters'];
  dispose(): Promise<void>;
}

/** @throws {ConfigError} for data that cannot be learned */
async function assembleClassifier(config: ClassifierConfig, options: DataOptions & Pick<AssemblyOptions, 'data'> = {}): Promise<ClassifierAssembly> {
  const tensorflow = await loadTensorFlow({ backend: config.backend });
  const release: (() => unknown)[] = [];
  try {
    // What the configuration alone shows to be wrong is refused before the data, which may take hours to open.
    const shape = knownShape(config.data);
    const opened = shape && config.classNames && await openNetwork(tensorflow, config, shape, config.classNames.length);
    if (opened) release.push(() => opened.network.dispose());
    const dataset = asImages(options.data ?? await openData(config.data, options), 'data');
    release.push(() => dataset.close?.());
    const testConfig = config.test ?? (config.data.name === 'mnist' || config.data.name === 'cifar10' ? { ...config.data, split: 'test' as const, range: undefined } : undefined);
    const test = testConfig && !options.data ? asImages(await openData(testConfig, options), 'test') : null;
    release.push(() => test?.close?.());
    return await assembleOn(dataset, test, opened ?? null, tensorflow, config);
  } catch (error) {
    for (const one of release) await one();
    throw error;
  }
}

const openNetwork = ({ tf }: LoadedTensorFlow, { network, seed }: ClassifierConfig, sampleShape: readonly number[], outputs: number): Promise<OpenedEstimator> =>
  openEstimator(tf, { ...network, outputs }, sampleShape, seed);

async function assembleOn(dataset: ImageDataset, test: ImageDataset | null, opened: OpenedEstimator | null, tensorflow: LoadedTensorFlow, config: ClassifierConfig): Promise<ClassifierAssembly> {
  checkSize(config.training.batch, dataset);
  if (test && test.sampleShape.join() !== dataset.sampleShape.join()) throw new ConfigError(`test has images [${test.sampleShape.join(', ')}], data has [${dataset.sampleShape.join(', ')}]: both must be of one size and colour.`);
  const { names, indicesOf } = classesOf(dataset, config.classNames);
  if (names.length < 2) throw new ConfigError(`data: ${dataset.name} has samples of a single class (${names.join()}): a classifier needs two or more.`);
  const classes = indicesOf(dataset, 'data');
  const testClasses = test && indicesOf(test, 'test');
  const { tf } = tensorflow;
  const { sampleShape } = dataset;
  const { network, converters } = opened ?? await openNetwork(tensorflow, config, sampleShape, names.length);
  const { beta1, beta2, ema, microBatch } = config.training;
  const learner = createClassifierLearner(tf, network, { sampleShape, attack: config.attack, seed: config.seed, ema, beta1, beta2, microBatch });
  return {
    config, dataset, test, names, classes, testClasses, tensorflow, network, converters, learner,
    async dispose() {
      learner.dispose();
      network.dispose();
      await dataset.close?.();
      await test?.close?.();
    },
  };
}

/** @throws {ConfigError} for data that cannot be learned, before the first iteration */
export async function runClassifier(config: ClassifierConfig, options: IterateOptions<ClassifierMetrics>, checkpoint: Checkpoint | null): Promise<ClassifierResult> {
  const { out, signal, onMessage } = options;
  const runtime = createRuntime();
  const assembly = await assembleClassifier(config, { onMessage, signal });
  const { tensorflow, network, learner, names, test, testClasses } = assembly;
  const attack: Attack = config.evaluation.attack ?? { radius: config.attack?.radius ?? customaryRadius, steps: testSteps };
  let latest: Evaluation | null = null;
  const evaluate = async (iteration: number, record: RunRecord<ClassifierMetrics>): Promise<void> => {
    latest = await learner.withAveragedWeights(async () => test && evaluateClassifier(tensorflow.tf, network, test, testClasses!, names.length, attack, config.evaluation.attacked, signal));
    if (latest) record.figures(iteration, { 'test/accuracy': latest.accuracy, ...(latest.underAttack && { 'test/accuracy_under_attack': latest.underAttack.accuracy }) });
  };
  try {
    if (!checkpoint) await checkRoom(out, config, parametersOf(network), 4 * parametersOf(network));
    for (const warning of tensorflow.warnings) onMessage?.(warning);
    onMessage?.(`Learning: ${tensorflow.description}. ${names.length} classes: ${names.join(', ')}.`);
    if (config.features && !featuresOf(network)) onMessage?.(`classifier.onnx will have no output features: the last layer, ${network.outputs[0]!.sourceLayer.name}, merges ${network.outputs[0]!.inputs.length} inputs. A dense layer at the end would have features.`);
    const record = await iterate({
      config, learner, stepSettings: 'training.learningRate',
      async openLog(from) {
        await writeData(out, assembly.dataset);
        return openRecord(out, from, classifierRecord(assembly, runtime, () => latest));
      },
      train: (from, to, abort, stepFactor) => trainClassifier(assembly, from, to, abort, stepFactor),
      diagnose: (rows) => explosion(rows, Math.log(names.length)),
      showEvery: config.evaluation.every,
      async show(iteration, shown: RunRecord<ClassifierMetrics>) {
        await evaluate(iteration, shown);
        for (const finding of describe(latest)) onMessage?.(`Iteration ${iteration}: ${finding}`);
        await shown.publish(`The run goes on; this is its state after iteration ${iteration}.`);
      },
    }, checkpoint, options);
    const { iterations } = config.training;
    await evaluate(iterations, record);
    const classifier = join(out, 'classifier.onnx');
    await writeFileAtomic(classifier, await exported(assembly, runtime));
    await writeFileAtomic(join(out, 'classifier.json'), `${JSON.stringify({ classNames: names, iterations, evaluation: latest }, null, 2)}\n`);
    await record.publish('The run is complete: classifier.onnx is what was learned, classifier.json its test.');
    return { kind: 'classifier', out, classifier, iterations, evaluation: latest, findings: describe(latest) };
  } finally {
    await assembly.dispose();
  }
}

/** ONNX file of the (averaged) weights of a run's checkpoint. @param data as the run remembers them; undefined: they are opened */
export async function classifierOf(config: ClassifierConfig, checkpoint: Checkpoint, data: Dataset | undefined): Promise<Uint8Array> {
  const assembly = await assembleClassifier(config, { data });
  try {
    restore(assembly.learner, checkpoint);
    return await exported(assembly, createRuntime());
  } finally {
    await assembly.dispose();
  }
}

const exported = ({ config, dataset, names, tensorflow, network, converters, learner }: ClassifierAssembly, reference: Runtime): Promise<Uint8Array> =>
  learner.withAveragedWeights(() => exportClassifier(tensorflow.tf, network, {
    sampleShape: dataset.sampleShape, classNames: names, inputRange: dataset.valueRange, features: config.features, converters, reference,
  }));

/** @throws {ConfigError} for what classifiers are not trained of */
export function asImages(dataset: Dataset, field: 'data' | 'test'): ImageDataset {
  if (!isImageDataset(dataset)) throw new ConfigError(`${field}: ${dataset.name} is no set of images in bytes, of which classifiers are trained: use mnist, cifar10, images, or npy with uint8 [N, C, H, W] and labels.`);
  return dataset;
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
