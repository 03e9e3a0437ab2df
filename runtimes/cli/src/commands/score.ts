/** `ratioflow score`: log q/p of images. */
import { Command, Option } from 'commander';
import type { Seed } from '@ratioflow/sdk';
import type { ScoreReport } from '@ratioflow/trainer';
import type { Context } from '../context.js';
import { engineOf, withEngineOptions, type EngineFlags } from '../flow-options.js';
import { median } from '../median.js';
import { integerFrom, seed } from '../parsers.js';
import { showProgress } from '../progress.js';
import { table } from '../text.js';

interface Options extends EngineFlags {
  readonly out?: string;
  readonly ranking?: string;
  readonly against?: string;
  readonly roc?: string;
  readonly calibrate?: boolean;
  readonly seed: Seed;
  readonly zoom: number;
}

export const scoreCommand = (context: Context): Command => withEngineOptions(new Command('score')
  .description('log q/p of images: above 0 they look like the model\'s samples, below 0 like its data')
  .argument('<bundle>', 'folder, zip file or https URL of the bundle')
  .argument('<images...>', 'a folder, image files, an array .npy, or a set: mnist:test, or a data block in braces')
  .option('-o, --out <file>', 'log ratios of all: .csv (index, name, label, logRatio, rank), or .json with what else was computed')
  .option('--ranking <file.png>', 'a picture: on the left the 64 most like data, on the right the 64 least')
  .option('--against <data>', 'data that the images are to be told from, named like them: prints how well log q/p does it')
  .option('--roc <file.png>', 'the ROC curve of that')
  .option('--calibrate', 'take the images for data that were not trained on, draw as many samples, and judge the ratio by both')
  .addOption(new Option('--seed <s>', 'of those samples, from 0 to 2^64 - 1').argParser(seed).default(0n, '0'))
  .option('--zoom <n>', 'pixels of the picture per pixel of an image, each way', integerFrom(1), 1))
  .action(async (bundle: string, images: string[], { out, ranking, against, roc, calibrate, ...options }: Options) => {
    const { scoreReport } = await import('@ratioflow/trainer');
    const bar = await showProgress(context, 0, 'images');
    const report = await scoreReport({
      bundle, engine: engineOf(options), images, ...(out !== undefined && { table: out }), ...(ranking !== undefined && { ranking }), ...(against !== undefined && { against }), ...(roc !== undefined && { roc }),
      ...(calibrate && { calibrate: { seed: options.seed } }), picture: { scale: options.zoom }, signal: context.signal, onProgress: (done, of) => bar.update(done, of),
    }).finally(() => bar.stop());
    for (const warning of report.warnings) context.note(`warning: ${warning}`);
    for (const line of describe(report)) context.print(line);
  });

const round = (value: number): string => value.toPrecision(4);

function describe({ name, logRatio, detection, calibration, files }: ScoreReport): string[] {
  const sorted = logRatio.toSorted();
  const rows: [string, string][] = [[`log q/p of ${logRatio.length} ${logRatio.length === 1 ? 'image' : 'images'}`, `mean ${round(logRatio.reduce((a, b) => a + b, 0) / logRatio.length)}, ${round(sorted[0]!)} to ${round(sorted.at(-1)!)}, median ${round(median(sorted))} (${name})`]];
  if (detection) rows.push(['told from data', `AUC ${round(detection.auc)}; ${round(100 * detection.falsePositivesAt95)} % of ${detection.name} called strange where 95 % of the images are`]);
  if (calibration) {
    const { meanRatio, meanRatioError, meanInverse, meanInverseError, test, auc, error } = calibration;
    rows.push(
      ['mean q/p on these data', `${round(meanRatio)} ± ${round(meanRatioError)} (1 for the exact ratio)`], ['mean p/q on samples', `${round(meanInverse)} ± ${round(meanInverseError)} (1 for the exact ratio)`],
      ['two-sample test', `accuracy ${round(test.accuracy)} ± ${round(test.error)}, z ${round(test.z)}, AUC ${round(auc)} (½: samples pass for data)`], ['calibration error', `${round(error)} (mean gap of predicted and observed shares)`],
    );
  }
  return [...table(rows), ...files.map((file) => `written: ${file}`)];
}
