/**
 * The built-in extractor `digits`: features of a small classifier of handwritten digits that our own trainer makes, from a fixed
 * configuration and seed, the first time it is asked for. It is kept outside the project, in the cache folder; figures carry its hash.
 */
import { createHash, randomBytes } from 'node:crypto';
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultCacheFolder, writeFileAtomic } from '@ratioflow/node';
import { loadRunConfig } from '../config/load.js';
import { ConfigError } from '../errors.js';
import { startRun } from '../run/run-training.js';

/** The name that stands for it wherever an extractor is asked for. */
export const digitsName = 'digits';

export interface DigitsExtractorOptions {
  /** Folder of the extractors that were made. @default `extractors` in the cache folder */
  readonly folder?: string | undefined;
  /** Changes of the configuration, `key=value` each; another configuration is another extractor. @default none */
  readonly overrides?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onMessage?: ((message: string) => void) | undefined;
}

/** What is known of one that was made. */
export interface DigitsExtractor {
  /** Its ONNX file, with the description beside it. */
  readonly model: string;
  /** Hash of the configuration, iterations, and accuracy on the test set. */
  readonly facts: Readonly<Record<string, unknown>>;
}

const configuration = fileURLToPath(new URL('../../configs/digits-extractor.yaml', import.meta.url));

const description = `# Features of a classifier of digits (${digitsName}): the means over places that its last layer sees.
input: x
output: features
size: 28
channels: 1
range: [-1, 1]
batch: 128
`;

/** Iterations between two messages. */
const messageEvery = 100;

/**
 * Finds the extractor, or trains it (minutes, once). Two processes that train it at the same time do no harm: the first one's is kept.
 * @throws {ConfigError | TrainingError} from the training; nothing is kept then
 */
export async function digitsExtractor({ folder = join(dirname(defaultCacheFolder()), 'extractors'), overrides = [], signal, onMessage }: DigitsExtractorOptions = {}): Promise<DigitsExtractor> {
  const config = await loadRunConfig(configuration, overrides);
  if (config.kind !== 'classifier') throw new ConfigError(`${configuration} is of no classifier.`);
  // Of the text, not of the parsed configuration: a field that the schema gains does not make another extractor.
  const configSha256 = createHash('sha256').update(JSON.stringify([await readFile(configuration, 'utf8'), overrides, description])).digest('hex');
  const place = join(folder, `${digitsName}-${configSha256.slice(0, 16)}`);
  const model = join(place, 'classifier.onnx');
  if (!await there(model)) {
    onMessage?.(`The extractor "${digitsName}" is trained now, once: ${config.training.iterations} iterations, some minutes on two cores. It is kept in ${place}.`);
    await mkdir(folder, { recursive: true });
    const out = `${place}.${randomBytes(4).toString('hex')}.tmp`;
    try {
      const { findings } = await startRun(config, {
        out, signal, onMessage,
        onProgress: ({ iteration, of, ...progress }) => {
          if (iteration % messageEvery === 0 && 'accuracy' in progress) onMessage?.(`Extractor: iteration ${iteration} of ${of}, ${(100 * progress.accuracy).toFixed(1)} % of the batch right.`);
        },
      });
      for (const finding of findings) onMessage?.(finding);
      await rm(join(out, 'checkpoints'), { recursive: true });
      await writeFileAtomic(join(out, 'classifier.yaml'), description);
      await rename(out, place).catch(async (error: unknown) => {
        if (!await there(model)) throw error;
      });
    } finally {
      await rm(out, { recursive: true, force: true });
    }
  }
  const { iterations, evaluation } = JSON.parse(await readFile(join(place, 'classifier.json'), 'utf8')) as { iterations: number; evaluation: { accuracy: number; count: number } };
  return { model, facts: { configuration: configSha256, iterations, accuracy: evaluation.accuracy, testImages: evaluation.count } };
}

const there = (path: string): Promise<boolean> => access(path).then(() => true, () => false);
