/** An independent classifier as a judge of samples: what it takes each of them for. */
import { checkClassifier, GraphBuilder, newModel, prepareClassifier, readModelFile, writeModel } from '@ratioflow/export';
import { createRuntime } from '@ratioflow/node';
import { ArgumentError, type FloatTensor } from '@ratioflow/sdk';
import { digitsExtractor, digitsName } from '../evaluation/digits-extractor.js';

/** Whoever opened it disposes of it. */
export interface Judge {
  readonly name: string;
  /** Names of its classes; numbers where the model has none. */
  readonly classNames: readonly string[];
  /** The likeliest class of each sample [N, …]; of equals the first. @throws {ArgumentError} for samples of which the classifier makes NaN */
  classify(samples: FloatTensor): Promise<number[]>;
  dispose(): Promise<void>;
}

export interface JudgeOptions {
  /** Of the samples. */
  readonly sampleShape: readonly number[];
  readonly valueRange: readonly [number, number] | null;
  /** Name of the classifier's output. @default what its metadata say, or the only one */
  readonly output?: string | undefined;
  /** While the built-in one is trained. */
  readonly signal?: AbortSignal | undefined;
  readonly onMessage?: ((message: string) => void) | undefined;
}

/**
 * @param path a classifier `.onnx` of logits or probabilities (its metadata say how it is fed), or `digits`: the classifier of the built-in extractor
 * @throws {GraphError | UnsupportedError} saying what does not fit the samples, or that it classifies no sample by itself
 */
export async function openJudge(path: string, { sampleShape, valueRange, output, ...options }: JudgeOptions): Promise<Judge> {
  const file = path === digitsName ? (await digitsExtractor(options)).model : path;
  const runtime = createRuntime();
  const classifier = prepareClassifier(await readModelFile(file), { sampleShape, valueRange }, output === undefined ? {} : { output }, 'judge');
  await checkClassifier(classifier, { sampleShape, valueRange }, runtime);
  const { classes, classNames, logits } = classifier;
  const builder = new GraphBuilder('judge');
  builder.output('scores', logits(builder, builder.input('x', 'float32', ['N', ...sampleShape])));
  const session = await runtime.load({ name: path, model: writeModel(newModel(builder.graph)) });
  return {
    name: path,
    classNames: classNames ?? Array.from({ length: classes }, (_, i) => String(i)),
    async classify(samples) {
      const { data } = (await session.run({ x: samples }))['scores']!;
      return Array.from({ length: samples.shape[0]! }, (_, n) => {
        let best = 0;
        for (let i = 0; i < classes; i++) if (Number.isNaN(data[n * classes + i])) throw new ArgumentError(`The judge ${path} gives NaN for a sample: look whether the sample is finite, and at the classifier's weights.`);
        for (let i = 1; i < classes; i++) if (Number(data[n * classes + i]) > Number(data[n * classes + best])) best = i;
        return best;
      });
    },
    dispose: () => session.dispose(),
  };
}

/** Parts of the verdicts by class, the commonest first, as text: `7 95.1 %, 1 3.2 %`. */
export function verdictShares({ classNames }: Judge, verdicts: readonly number[]): string {
  const counts = new Map<number, number>();
  for (const verdict of verdicts) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  return [...counts].sort(([a, n], [b, m]) => m - n || a - b).map(([one, n]) => `${classNames[one]!} ${(100 * n / verdicts.length).toFixed(1)} %`).join(', ');
}
