/** `ratioflow neighbours`: the training images nearest to samples. */
import { Command, Option } from 'commander';
import { ArgumentError, type FloatTensor, type Seed } from '@ratioflow/sdk';
import type { Context } from '../context.js';
import { engineOf, withFlowOptions, scheduleOf, zoomOf, type FlowFlags } from '../flow-options.js';
import { median } from '../median.js';
import { integerFrom, seed } from '../parsers.js';
import { showProgress } from '../progress.js';

interface Options extends FlowFlags {
  readonly out: string[];
  readonly data: string;
  readonly count: number;
  readonly seed: Seed;
  readonly first: number;
  readonly k: number;
  readonly extractor?: string;
  readonly images?: string[];
  readonly zoom?: number;
}

export const neighboursCommand = (context: Context): Command => withFlowOptions(new Command('neighbours')
  .description('the images of a set that are nearest to samples, in pixels or in the features of a network')
  .argument('<bundle>', 'folder, zip file or https URL of the bundle')
  .requiredOption('-o, --out <paths...>', 'grid.png, a row for every sample with its neighbours behind a white rule, and/or table.csv')
  .requiredOption('--data <set>', 'where to look: a folder, an array .npy, or a set: mnist, mnist:test, or a data block in braces')
  .option('--count <n>', 'samples to draw from the bundle', integerFrom(1), 8)
  .addOption(new Option('--seed <s>', 'their seed, from 0 to 2^64 - 1').argParser(seed).default(0n, '0'))
  .option('--first <i>', 'index of the first', integerFrom(0), 0)
  .addOption(new Option('--images <paths...>', 'take these images instead of samples: a folder, image files or an array .npy').conflicts(['count', 'seed', 'first', 'steps', 'refine', 'eta', 'nu']))
  .option('-k <n>', 'neighbours of each sample', integerFrom(1), 10)
  .option('--extractor <what>', 'compare features: digits, built in and trained on first use (minutes), or model.onnx with its description model.yaml beside it (default: pixels)')
  .option('--zoom <n>', 'pixels of the picture per pixel of an image, each way (default: images of about 64 pixels)', integerFrom(1)))
  .action((bundle: string, options: Options) => run(bundle, options, context));

async function run(bundle: string, options: Options, context: Context): Promise<void> {
  const [node, trainer] = await Promise.all([import('@ratioflow/node'), import('@ratioflow/trainer')]);
  const { out, data, count, first, k, extractor, images } = options;
  const model = await node.open(bundle, engineOf(options));
  const { sampleShape, valueRange, prior, guidance } = model.manifest;
  if (prior.kind === 'source' && !images) {
    await model.dispose();
    throw new ArgumentError(`${bundle} starts from images of another domain, and draws no samples by itself: give what it made of some with --images.`);
  }
  if (guidance && !images) context.note(`note: ${bundle} is guided by a classifier, and its samples are drawn without a class, as if it were not; give those that sample --class makes with --images.`);
  const space = extractor === undefined ? undefined : await trainer.openExtractor(extractor, { ...engineOf(options), signal: context.signal, onMessage: (message) => context.note(message) });
  const set = await trainer.openSampleSource([data], sampleShape, valueRange).catch(async (error: unknown) => {
    await Promise.all([model.dispose(), space?.dispose()]);
    throw error;
  });
  const given = images && await trainer.openSampleSource(images, sampleShape, valueRange);
  const bar = await showProgress(context, set.size, 'images');
  try {
    const queries = async (): Promise<FloatTensor> => (given ? given.read(0, given.size) : (await model.sample({ ...scheduleOf(options, model), count, seed: options.seed, first, signal: context.signal })).samples);
    const found = await trainer.neighbourFiles(queries, set, {
      k, out, ...(given && { inputs: given.files }), valueRange, picture: { scale: zoomOf(options.zoom, model) }, nameOf: (i) => (given ? given.nameOf(i) : String(first + i)), ...(space && { space }), signal: context.signal, onProgress: (done) => bar.update(done),
    });
    const nearest = found.distances.map(([distance]) => distance!).sort((a, b) => a - b);
    context.print(`${found.indices.length} ${given ? 'images' : `samples (seed ${options.seed})`} and their ${k} nearest of ${found.searched} in ${out.join(' and ')}`);
    context.print(`distance to the nearest, in ${extractor ?? 'pixels from -1 to 1'}: ${nearest[0]!.toPrecision(4)} to ${nearest.at(-1)!.toPrecision(4)}, median ${median(nearest).toPrecision(4)}`);
  } finally {
    bar.stop();
    await Promise.all([set.close(), given?.close(), space?.dispose(), model.dispose()]);
  }
}
