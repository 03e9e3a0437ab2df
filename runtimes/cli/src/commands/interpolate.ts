/** `ratioflow interpolate`: paths between samples of a bundle. */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Seed } from '@ratioflow/sdk';
import type { InterpolationOptions, SampleIndex } from '@ratioflow/sdk/applications';
import type { Context } from '../context.js';
import { engineOf, scheduleOf, withFlowOptions, zoomOf, type FlowFlags } from '../flow-options.js';
import { integerFrom, seed } from '../parsers.js';
import { showProgress } from '../progress.js';

interface Options extends FlowFlags {
  readonly out: string;
  readonly pairs: readonly (readonly [End, End])[];
  readonly seed: Seed;
  readonly frames: number;
  readonly noise: NonNullable<InterpolationOptions['noise']>;
  readonly stages?: boolean;
  readonly batch?: number;
  readonly zoom?: number;
  readonly milliseconds?: number;
}

type End = Omit<SampleIndex, 'seed'> & { readonly seed: Seed | undefined };

/** [SEED/]INDEX:[SEED/]INDEX, with commas between pairs. */
function pairList(text: string): [End, End][] {
  return text.split(',').map((pair) => {
    const ends = pair.split(':').map((end) => {
      const [, from, index] = /^(?:(\d+)\/)?(\d+)$/.exec(end.trim()) ?? [];
      if (index === undefined) throw new InvalidArgumentError('Allowed: index:index or seed/index:seed/index, or several with commas, such as 0:1,7/3:8/0.');
      return { seed: from === undefined ? undefined : seed(from), index: Number(index) };
    });
    if (ends.length !== 2) throw new InvalidArgumentError(`${pair} has ${ends.length} ${ends.length === 1 ? 'end' : 'ends'}; allowed: two, such as 0:1.`);
    return ends as [End, End];
  });
}

export const interpolateCommand = (context: Context): Command => withFlowOptions(new Command('interpolate')
  .description('paths between samples: spherical in the prior, with the same noise')
  .argument('<bundle>', 'folder, zip file or https URL of the bundle')
  .requiredOption('-o, --out <path>', 'where to: grid.png, a row for every path; paths.gif or paths.webp, an animation there and back; paths.npy, float32 [paths, frames, ...]')
  .addOption(new Option('--pairs <list>', 'ends of the paths: index:index under --seed, or seed/index:seed/index, with commas between paths').argParser(pairList).default(pairList('0:1,2:3,4:5,6:7,8:9'), '0:1,2:3,4:5,6:7,8:9'))
  .addOption(new Option('--seed <s>', 'seed of the ends that name none, from 0 to 2^64 - 1').argParser(seed).default(0n, '0'))
  .option('--frames <n>', 'points of a path, both ends among them', integerFrom(2), 9)
  .addOption(new Option('--noise <how>', 'same: every point has the noise of the first end, as in the paper; spherical: the noise moves with the prior, and both ends are exactly the samples').choices(['same', 'spherical']).default('same'))
  .option('--stages', 'show three rows (in an animation columns) for each path: prior, end of bridging, sample; .npy then is [3, paths, frames, ...]')
  .option('--batch <n>', 'points that go through the network together (default: 16)', integerFrom(1))
  .option('--zoom <n>', 'pixels of the picture per pixel of an image, each way (default: images of about 64 pixels)', integerFrom(1))
  .option('--milliseconds <n>', 'time of a frame of an animation (default: 80)', integerFrom(10, 65_535)))
  .action((bundle: string, options: Options) => run(bundle, options, context));

async function run(bundle: string, options: Options, context: Context): Promise<void> {
  const [{ filmFormat, finiteWarnings, notFinite, open, saveInterpolation }, { interpolate }] = await Promise.all([import('@ratioflow/node'), import('@ratioflow/sdk/applications')]);
  const model = await open(bundle, engineOf(options));
  const { out, frames, noise, batch, milliseconds, stages = false } = options;
  const pairs = options.pairs.map((pair) => pair.map((end) => ({ ...end, seed: end.seed ?? options.seed })) as [SampleIndex, SampleIndex]);
  try {
    const { sampleShape, valueRange } = model.manifest;
    // Before the work, not after it.
    await filmFormat(out, sampleShape);
    const bar = await showProgress(context, pairs.length * frames, 'points');
    const made = await interpolate(model, { ...scheduleOf(options, model), pairs, frames, noise, ...(batch !== undefined && { batch }), signal: context.signal, onProgress: (done) => bar.update(done) }).finally(() => bar.stop());
    const { samples, warnings } = made;
    const diverged = finiteWarnings(notFinite({ ...samples, shape: [pairs.length * frames, ...sampleShape] }), pairs.length * frames);
    await saveInterpolation(out, made, { stages, valueRange: valueRange ?? [-1, 1], scale: zoomOf(options.zoom, model), ...(milliseconds !== undefined && { milliseconds }) });
    for (const warning of [...warnings, ...diverged]) context.note(`warning: ${warning}`);
    context.print(`${pairs.length} ${pairs.length === 1 ? 'path' : 'paths'} of ${frames} points in ${out}, on ${made.provider}`);
  } finally {
    await model.dispose();
  }
}
