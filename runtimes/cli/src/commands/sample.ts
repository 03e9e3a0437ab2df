/** `ratioflow sample`: draws samples from a bundle into files. */
import { Command, Option } from 'commander';
import { ArgumentError } from '@ratioflow/sdk';
import type { Model, SampleOptions, Seed, Statistics, Tensor } from '@ratioflow/sdk';
import type { SelectionOptions } from '@ratioflow/sdk/applications';
import type { PictureOptions } from '@ratioflow/node';
import type { Context } from '../context.js';
import { engineOf, scheduleOf, withFlowOptions, zoomOf, type FlowFlags } from '../flow-options.js';
import { guideOf, withGuideOptions, type GuideFlags } from '../guide-options.js';
import { classList, integerFrom, partOfOne, seed } from '../parsers.js';
import { showProgress } from '../progress.js';
import { duration } from '../text.js';

interface Options extends GuideFlags, FlowFlags {
  readonly class?: number[];
  readonly out: string;
  readonly count?: number;
  readonly seed: Seed;
  readonly first: number;
  readonly x0?: string;
  readonly noise?: string;
  readonly batch?: number;
  readonly film?: boolean;
  readonly keep?: number;
  readonly reject?: number;
  readonly frames?: number;
  readonly columns?: number;
  readonly zoom?: number;
}

export const sampleCommand = (context: Context): Command => withGuideOptions(withFlowOptions(new Command('sample')
  .description('draw samples from a bundle')
  .argument('<bundle>', 'folder, zip file or https URL of the bundle')
  .requiredOption('-o, --out <path>', 'where to: grid.png (a scatter plot for points of the plane), array.npy (float32, [count, C, H, W] or [count, D]), or folder/ for one PNG per image, named by index; with --film also film.gif or film.webp')
  .option('--count <n>', 'number of samples (default: those in --x0, else 64; with --film 8)', integerFrom(1))
  .addOption(new Option('--seed <s>', 'integer from 0 to 2^64 - 1; a seed means the same samples on every device and in every language').argParser(seed).default(0n, '0'))
  .option('--first <i>', 'index of the first sample: --first 100 --count 50 makes samples 100 to 149 of the seed, on any machine', integerFrom(0), 0)
  .option('--x0 <file.npy>', 'start from these, float32 [count, C, H, W] or [count, D], instead of the prior')
  .option('--noise <file.npy>', 'use this noise, float32 [steps + refine, count, ...], instead of the seed\'s')
  .addOption(new Option('--batch <n>', 'samples that go through the network together; changes speed and memory, never a sample (default: about 65,536 values)').argParser(integerFrom(1)).conflicts('film'))
  .option('--film', 'a film instead: .png, a row for every sample from the prior to the sample, with a white rule between bridging and refinement; .gif or .webp, a grid that moves; .npy, [count, frames, ...]')
  .option('--frames <n>', 'frames of the film at most (default: 12)', integerFrom(2))
  .addOption(new Option('--keep <part>', 'draw count / part samples and keep those with the lowest log q/p: better ones, less variety (0 to 1)').argParser(partOfOne).conflicts('reject'))
  .option('--reject <quantile>', 'rejection sampling by the ratio: accept each sample with probability (p/q) / M, M being this quantile (0 to 1) of p/q among the first 256', partOfOne)
  .option('--columns <n>', 'images side by side in a grid (default: about as many as rows)', integerFrom(1))
  .option('--zoom <n>', 'pixels of the picture per pixel of an image, each way (default: images of about 64 pixels; 1 in a folder)', integerFrom(1))
  .option('--class <list>', 'of a guided bundle or with --guide: a class for all samples, or one for each, with commas; -1 guides nothing', classList)))
  .action((bundle: string, options: Options) => run(bundle, options, context));

async function run(bundle: string, options: Options, context: Context): Promise<void> {
  const node = await import('@ratioflow/node');
  const by = selectionOf(options);
  if (by && (options.film ?? options.x0 ?? options.noise ?? options.class ?? options.guide) !== undefined) throw new ArgumentError('--keep and --reject choose among plain samples of a seed: leave out --film, --x0, --noise, --class and --guide.');
  if (options.frames !== undefined && !options.film) throw new ArgumentError('--frames are those of a film: give --film, too.');
  await node.refuseInputs([options.out], 'Samples', [options.x0, options.noise]);
  const model = await node.open(await guided(bundle, options), engineOf(options));
  try {
    const { sampleShape, valueRange } = model.manifest;
    // Before the work, not after it.
    const format = await (options.film ? node.filmFormat : node.outputFormat)(options.out, sampleShape);
    const isPlane = sampleShape.length === 1 && format === 'png';
    const x0 = options.x0 === undefined ? undefined : await node.readNpy(options.x0);
    const noise = options.noise === undefined ? undefined : await node.readNpy(options.noise);
    const settings: SampleOptions = {
      ...(options.class && { class: options.class.length === 1 ? options.class[0]! : options.class }), ...(options.scale !== undefined && { scale: options.scale }),
      count: options.count ?? x0?.shape[0] ?? (options.class && options.class.length > 1 ? options.class.length : undefined) ?? (options.film ? 8 : 64), seed: options.seed, first: options.first, signal: context.signal,
      ...scheduleOf(options, model), ...(x0 && { x0 }), ...(noise && { noise }),
    };
    const picture: PictureOptions = {
      valueRange: valueRange ?? [-1, 1],
      scale: zoomOf(options.zoom ?? (format === 'folder' ? 1 : undefined), model),
      ...(options.columns !== undefined && { columns: options.columns }),
    };
    const { files, statistics } = options.film ? await makeFilm(model, settings, picture, options, context) : by ? await makeSelection(model, { ...settings, count: settings.count!, by }, picture, isPlane, options, context) : await makeSamples(model, settings, picture, isPlane, options, context);
    for (const warning of statistics.warnings) context.note(`warning: ${warning}`);
    const last = options.first + settings.count! - 1;
    const which = by ? `from ${options.first}` : `${options.first} to ${last}`;
    context.print(`${settings.count} ${settings.count === 1 ? 'sample' : 'samples'} (seed ${options.seed}, ${which}) in ${files.length === 1 ? files[0]! : `${options.out} (${files.length} files)`}`);
    context.print(`${statistics.steps} steps, ${duration(statistics.millisecondsPerStep)} each; ${duration(statistics.milliseconds)} in all, on ${statistics.provider} of ${statistics.runtime}`);
  } finally {
    await model.dispose();
  }
}

/** The bundle, composed in memory with the classifier of --guide. */
async function guided(bundle: string, options: Options): Promise<string | ReadonlyMap<string, Uint8Array>> {
  const guide = await guideOf(options);
  if (!guide) return bundle;
  if (options.class === undefined) throw new ArgumentError('--guide guides to a class, and none is given: add --class, one for all samples or one for each.');
  const [{ compose }, { bundleSource, createRuntime }] = await Promise.all([import('@ratioflow/export'), import('@ratioflow/node')]);
  return (await compose({ bundles: [await bundleSource(bundle)], guide, reference: createRuntime() })).files;
}

interface Made { readonly files: readonly string[]; readonly statistics: Statistics }

async function makeSamples(model: Model, settings: SampleOptions, picture: PictureOptions, isPlane: boolean, { out, first, batch }: Options, context: Context): Promise<Made> {
  const steps = settings.K! + settings.kappa!;
  const bar = await showProgress(context, settings.count! * steps, 'steps');
  let current = 0;
  let before = 0;
  try {
    const { samples, statistics } = await model.sample({
      ...settings, ...(batch !== undefined && { batch }),
      onStep: ({ step, samples: reached }) => {
        if (reached !== current) [before, current] = [current, reached];
        bar.update(before * steps + (current - before) * step);
      },
    });
    const checked = await withFiniteness(statistics, samples, (n) => first + n);
    if (isPlane) return { files: await savePlot(out, model.manifest.name, samples), statistics: checked };
    const { saveSamples } = await import('@ratioflow/node');
    return { files: await saveSamples(out, samples, { ...picture, first, signal: context.signal }), statistics: checked };
  } finally {
    bar.stop();
  }
}

/** With a warning for samples that are not finite. @throws {ArgumentError} before anything is written, when none is */
async function withFiniteness(statistics: Statistics, samples: Tensor, indexOf: (n: number) => number): Promise<Statistics> {
  const { finiteWarnings, notFinite } = await import('@ratioflow/node');
  return { ...statistics, warnings: [...statistics.warnings, ...finiteWarnings(notFinite(samples).map(indexOf), samples.shape[0]!)] };
}

/** Points of the plane as a scatter plot. */
async function savePlot(path: string, title: string, { shape, data }: Tensor): Promise<string[]> {
  const [{ scatterPlot }, { writeFileAtomic }] = await Promise.all([import('@ratioflow/trainer'), import('@ratioflow/node')]);
  await writeFileAtomic(path, (await scatterPlot({ title, subtitle: `${shape[0]} samples`, samples: data as Float32Array })).png);
  return [path];
}

/** What --keep and --reject ask for. */
function selectionOf({ keep, reject }: Options): SelectionOptions['by'] | undefined {
  return keep !== undefined ? { keep } : reject !== undefined ? { reject } : undefined;
}

async function makeSelection(model: Model, settings: SelectionOptions, picture: PictureOptions, isPlane: boolean, { out, batch }: Options, context: Context): Promise<Made> {
  const [{ selectSamples }, { saveSamples }] = await Promise.all([import('@ratioflow/sdk/applications'), import('@ratioflow/node')]);
  const bar = await showProgress(context, settings.count, 'samples');
  try {
    const { samples, indices, drawn, logRatio, statistics } = await selectSamples(model, { ...settings, ...(batch !== undefined && { batch }), onProgress: (_, chosen) => bar.update(chosen) });
    const checked = await withFiniteness(statistics, samples, (n) => indices[n]!);
    context.print(`${indices.length} of ${drawn} samples chosen, log q/p from ${logRatio.reduce((a, b) => Math.min(a, b), Infinity).toFixed(2)} to ${logRatio.reduce((a, b) => Math.max(a, b), -Infinity).toFixed(2)}`);
    return { files: isPlane ? await savePlot(out, model.manifest.name, samples) : await saveSamples(out, samples, { ...picture, indices, signal: context.signal }), statistics: checked };
  } finally {
    bar.stop();
  }
}

async function makeFilm(model: Model, settings: SampleOptions, picture: PictureOptions, { out, first, frames }: Options, context: Context): Promise<Made> {
  const { filmStrip, saveFilm } = await import('@ratioflow/node');
  const bar = await showProgress(context, settings.K! + settings.kappa!, 'steps');
  try {
    const film = await filmStrip(model, { ...settings, ...(frames !== undefined && { frames }), onFrame: (step) => bar.update(step) });
    const statistics = await withFiniteness(film.statistics, film.strip, (n) => first + n);
    await saveFilm(out, film, picture);
    return { files: [out], statistics };
  } finally {
    bar.stop();
  }
}
