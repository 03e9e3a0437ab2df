/** Class-conditional sampling: one unconditional bundle, guided by classifiers, and what an independent classifier makes of the samples. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compose, readModelFile } from '@ratioflow/export';
import { bundleSource, createRuntime, open, savePng, writeFileAtomic } from '@ratioflow/node';
import { ArgumentError, type Model } from '@ratioflow/sdk';
import { openJudge } from '../applications/judge.js';
import { loadRunConfig } from '../config/load.js';
import { startRun } from '../run/run-training.js';
import { makeFolder } from '../run/run-folder.js';
import type { DemoOptions, DemoResult } from './demo.js';

export interface GuidanceOptions extends DemoOptions {
  /** Folder of an unconditional bundle of digits, such as the quick start's. */
  readonly bundle: string;
  /** Classifiers that were trained before, by `ratioflow train`; what is left out is trained. */
  readonly plain?: string | undefined;
  readonly robust?: string | undefined;
  /** Judges the samples; it must not be one of the guides. */
  readonly judge?: string | undefined;
  /** Samples of each class for every row of the table. @default 40 */
  readonly perClass?: number | undefined;
}

/** A row of the table: how many of the samples the judge takes for what they should be. */
export interface GuidanceRow {
  readonly classifier: 'plain' | 'robust';
  readonly scale: number;
  readonly kappa: number;
  readonly accuracy: number;
}

const scales = [0.03, 0.1, 0.3, 1, 3] as const;
const kappas = [10, 40] as const;
const seed = 2303;
const digitShape = [1, 28, 28] as const;
/** Images that the judge learns; the guides learn the others. */
const half = 30_000;

/** Samples every class under guidance by a plain and by a robust classifier, and lets a third one judge. */
export async function guidanceDemo(options: GuidanceOptions): Promise<DemoResult> {
  const { out, bundle, perClass = 40, signal, onMessage } = options;
  await makeFolder(out);
  const guides = {
    plain: options.plain ?? (await train('digits-classifier', 'plain', [`data.range=[0, ${half}]`], options)),
    robust: options.robust ?? (await train('digits-classifier-robust', 'robust', [`data.range=[0, ${half}]`], options)),
  };
  const judgeFile = options.judge ?? (await train('digits-classifier', 'judge', ['seed=7', 'network.width=0.75', `data.range=[${half}, ${2 * half}]`], options));
  const judge = await openJudge(judgeFile, { sampleShape: digitShape, valueRange: [-1, 1] });
  const models = new Map<GuidanceRow['classifier'], Model>();
  const rows: GuidanceRow[] = [];
  try {
    for (const classifier of ['plain', 'robust'] as const) {
      const model = await guided(bundle, guides[classifier]);
      models.set(classifier, model);
      for (const kappa of kappas) {
        for (const scale of scales) {
          const classes = Array.from({ length: 10 * perClass }, (_, i) => i % 10);
          const { samples } = await model.sample({ count: classes.length, seed, class: classes, scale, kappa, ...(signal && { signal }) });
          const verdicts = await judge.classify(samples);
          const row = { classifier, scale, kappa, accuracy: classes.filter((one, n) => verdicts[n] === one).length / classes.length };
          rows.push(row);
          onMessage?.(sentence(row));
        }
      }
    }
    const row = rows.reduce((best, one) => (one.accuracy > best.accuracy ? one : best));
    const model = models.get(row.classifier)!;
    const classes = Array.from({ length: 100 }, (_, i) => Math.floor(i / 10));
    const { samples } = await model.sample({ count: 100, seed, class: classes, scale: row.scale, kappa: row.kappa, ...(signal && { signal }) });
    const files = { grid: join(out, 'classes.png'), table: join(out, 'guidance.csv') };
    await savePng(files.grid, samples, { columns: 10, scale: 2 });
    await writeFileAtomic(files.table, `classifier,phi,kappa,accuracy\n${rows.map((one) => `${one.classifier},${one.scale},${one.kappa},${one.accuracy}\n`).join('')}`);
    return {
      findings: [`Best: ${sentence(row)}.`],
      files: [{ path: files.grid, about: `a row of ten for each class: ${row.classifier} classifier, phi = ${row.scale}, kappa = ${row.kappa}` }, { path: files.table, about: 'accuracy of the judge by phi, kappa and robustness' }],
    };
  } finally {
    for (const model of models.values()) await model.dispose();
    await judge.dispose();
  }
}

const sentence = ({ classifier, scale, kappa, accuracy }: GuidanceRow): string => `${classifier} classifier, phi = ${scale}, kappa = ${kappa}: the judge agrees on ${(100 * accuracy).toFixed(1)} %`;

/** Trains a classifier of `trainer/configs` in a folder of its own; the path of its file. */
async function train(config: string, name: string, overrides: readonly string[], { out, signal, onMessage, onProgress, iterations }: GuidanceOptions): Promise<string> {
  const parsed = await loadRunConfig(fileURLToPath(new URL(`../../configs/${config}.yaml`, import.meta.url)), [`name=${name}`, ...overrides, ...(iterations === undefined ? [] : [`training.iterations=${iterations}`])]);
  if (parsed.kind !== 'classifier') throw new ArgumentError(`trainer/configs/${config}.yaml is of no classifier.`);
  onMessage?.(`The ${name} classifier:`);
  const { classifier, findings } = await startRun(parsed, { out: join(out, name), signal, onMessage, onProgress });
  for (const finding of findings) onMessage?.(finding);
  return classifier;
}

async function guided(bundle: string, classifier: string): Promise<Model> {
  const { files } = await compose({ bundles: [await bundleSource(bundle)], guide: { model: await readModelFile(classifier) }, reference: createRuntime() });
  return open(files);
}
