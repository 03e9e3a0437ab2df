/** `ratioflow translate`: images of the source domain to the target domain. */
import { Command, Option } from 'commander';
import { ArgumentError, type Seed } from '@ratioflow/sdk';
import type { Context } from '../context.js';
import { engineOf, scheduleOf, withFlowOptions, zoomOf, type FlowFlags } from '../flow-options.js';
import { integerFrom, seed } from '../parsers.js';
import { showProgress } from '../progress.js';

interface Options extends FlowFlags {
  readonly out: string;
  readonly seed: Seed;
  readonly limit?: number;
  readonly film?: boolean;
  readonly frames?: number;
  readonly pairs?: string;
  readonly judge?: string;
  readonly judgeOutput?: string;
  readonly batch?: number;
  readonly zoom?: number;
}

export const translateCommand = (context: Context): Command => withFlowOptions(new Command('translate')
  .description('unpaired image-to-image translation with a bundle that was trained from a source domain')
  .argument('<bundle>', 'folder, zip file or https URL of the bundle')
  .argument('<images...>', 'a folder, image files, an array .npy, or a set: mnist:test, or a data block in braces')
  .requiredOption('-o, --out <path>', 'where to: folder/ for one PNG per image, named by index; array.npy; grid.png; with --film also film.gif or film.webp')
  .addOption(new Option('--seed <s>', 'seed of the noise, from 0 to 2^64 - 1; image i gets that of sample i').argParser(seed).default(0n, '0'))
  .option('--limit <n>', 'the first n images only', integerFrom(1))
  .addOption(new Option('--pairs <grid.png>', 'also a picture of the first 64 images, each beside its translation').conflicts('film'))
  .addOption(new Option('--judge <classifier>', 'print what an independent classifier takes the translations for: classifier.onnx, or digits, the built-in one').conflicts('film'))
  .option('--judge-output <name>', 'output of that classifier, logits or probabilities (default: what its metadata say, or the only one)')
  .option('--film', 'a film of the first images instead (8, or --limit): from each image to its translation')
  .option('--frames <n>', 'frames of the film at most (default: 12)', integerFrom(2))
  .addOption(new Option('--batch <n>', 'images that go through the network together (default: 64)').argParser(integerFrom(1)).conflicts('film'))
  .option('--zoom <n>', 'pixels of a picture per pixel of an image, each way (default: images of about 64 pixels; 1 in a folder)', integerFrom(1)))
  .action((bundle: string, images: string[], options: Options) => run(bundle, images, options, context));

async function run(bundle: string, images: string[], options: Options, context: Context): Promise<void> {
  if (options.judgeOutput !== undefined && options.judge === undefined) throw new ArgumentError('--judge-output names an output of the judge: give --judge classifier.onnx, too.');
  if (options.frames !== undefined && !options.film) throw new ArgumentError('--frames are those of a film: give --film, too.');
  const [node, trainer] = await Promise.all([import('@ratioflow/node'), import('@ratioflow/trainer')]);
  const model = await node.open(bundle, engineOf(options));
  try {
    const { sampleShape, valueRange } = model.manifest;
    const picture = { valueRange: valueRange ?? [-1, 1] as const, scale: zoomOf(options.zoom, model) };
    const settings = { ...scheduleOf(options, model), seed: options.seed, signal: context.signal };
    const source = await trainer.openSampleSource(images, sampleShape, valueRange);
    const count = Math.min(source.size, options.limit ?? (options.film ? 8 : Infinity));
    try {
      const judge = options.judge === undefined ? undefined : await trainer.openJudge(options.judge, { sampleShape, valueRange, output: options.judgeOutput, signal: context.signal, onMessage: (message) => context.note(message) });
      const bar = await showProgress(context, count, options.film ? 'steps' : 'images');
      try {
        const made = options.film
          ? await trainer.filmTranslation(model, source, { ...settings, count, out: options.out, picture, ...(options.frames !== undefined && { frames: options.frames }), onProgress: (step, of) => bar.update(step, of) })
          : await trainer.translateFiles(model, source, { ...settings, ...(options.batch !== undefined && { batch: options.batch }), count, out: options.out, picture: options.zoom === undefined && await node.outputFormat(options.out, sampleShape) === 'folder' ? { ...picture, scale: 1 } : picture, ...(options.pairs !== undefined && { pairs: options.pairs }), ...(judge && { judge }), onProgress: (done) => bar.update(done) });
        for (const warning of made.warnings) context.note(`warning: ${warning}`);
        context.print(`${count} ${count === 1 ? 'image' : 'images'} of ${source.name} in ${made.files.length === 1 ? made.files[0]! : `${options.out} (${made.files.length} files)`}, on ${made.provider}`);
        if (judge && 'verdicts' in made) context.print(`judged by ${judge.name}: ${trainer.verdictShares(judge, made.verdicts)}`);
      } finally {
        bar.stop();
        await judge?.dispose();
      }
    } finally {
      await source.close();
    }
  } finally {
    await model.dispose();
  }
}
