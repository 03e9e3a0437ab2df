/** `ratioflow sample`: draws samples from a bundle into files. */
import { Command, Option } from 'commander';
import type { Model, SampleOptions, Seed, Tensor } from '@ratioflow/sdk';
import type { PictureOptions, ProviderName } from '@ratioflow/node';
import type { Context } from '../context.js';
import { guideOf, withGuideOptions, type GuideFlags } from '../guide-options.js';
import { integerFrom, numberFrom, providerList, seed } from '../parsers.js';
import { showProgress } from '../progress.js';
import { duration } from '../text.js';

interface Options extends GuideFlags {
  readonly class?: number[];
  readonly out: string;
  readonly count?: number;
  readonly seed: Seed;
  readonly first: number;
  readonly steps?: number;
  readonly refine?: number;
  readonly eta?: number;
  readonly nu?: number;
  readonly x0?: string;
  readonly noise?: string;
  readonly batch?: number;
  readonly provider: ProviderName[];
  readonly threads?: number;
  readonly film?: boolean;
  readonly frames: number;
  readonly columns?: number;
  readonly zoom?: number;
}

export const sampleCommand = (context: Context): Command => withGuideOptions(new Command('sample')
  .description('draw samples from a bundle')
  .argument('<bundle>', 'folder of the bundle')
  .requiredOption('-o, --out <path>', 'where to: grid.png (a scatter plot for points of the plane), array.npy (float32, [count, C, H, W] or [count, D]), or folder/ for one PNG per image, named by index')
  .option('--count <n>', 'number of samples (default: those in --x0, else 64; with --film 8)', integerFrom(1))
  .addOption(new Option('--seed <s>', 'integer from 0 to 2^64 - 1; a seed means the same samples on every device and in every language').argParser(seed).default(0n, '0'))
  .option('--first <i>', 'index of the first sample: --first 100 --count 50 makes samples 100 to 149 of the seed, on any machine', integerFrom(0), 0)
  .option('--steps <K>', 'bridging steps (default: the bundle\'s)', integerFrom(0))
  .option('--refine <k>', 'refinement steps after them (default: the bundle\'s)', integerFrom(0))
  .option('--eta <number>', 'step size of the flow (default: the bundle\'s)', numberFrom(0))
  .option('--nu <number>', 'scale of the noise of every step (default: the bundle\'s)', numberFrom(0))
  .option('--x0 <file.npy>', 'start from these, float32 [count, C, H, W] or [count, D], instead of the prior')
  .option('--noise <file.npy>', 'use this noise, float32 [steps + refine, count, ...], instead of the seed\'s')
  .option('--batch <n>', 'samples that go through the network together; changes speed and memory, never a sample (default: about 65,536 values)', integerFrom(1))
  .addOption(new Option('--provider <list>', 'cuda, webgpu, cpu, or several with commas, in order of preference').argParser(providerList).default(['cpu'], 'cpu'))
  .option('--threads <n>', 'threads of the engine (default: all cores)', integerFrom(1))
  .option('--film', 'a film strip instead: a row for every sample, from the prior to the sample; as .npy [count, frames, ...]')
  .option('--frames <n>', 'frames of the film strip at most', integerFrom(2), 12)
  .option('--columns <n>', 'images side by side in a grid (default: about as many as rows)', integerFrom(1))
  .option('--zoom <n>', 'pixels of the picture per pixel of an image, each way (default: images of about 64 pixels; 1 in a folder)', integerFrom(1))
  .option('--class <list>', 'of a guided bundle or with --guide: a class for all samples, or one for each, with commas; -1 guides nothing', (text: string) => text.split(',').map(Number)))
  .action((bundle: string, options: Options) => run(bundle, options, context));

async function run(bundle: string, options: Options, context: Context): Promise<void> {
  const node = await import('@ratioflow/node');
  const { ArgumentError } = await import('@ratioflow/sdk');
  const model = await node.open(await guided(bundle, options), { providers: options.provider, ...(options.threads !== undefined && { threads: options.threads }) });
  try {
    const { sampleShape, valueRange } = model.manifest;
    // Before the work, not after it.
    const format = await node.outputFormat(options.out, sampleShape);
    const isPlane = sampleShape.length === 1 && format === 'png';
    if (options.film && isPlane) throw new ArgumentError(`A film strip of points has no picture: the output ${options.out} must end in .npy.`);
    if (options.film && format === 'folder') throw new ArgumentError(`A film strip is one file; the output ${options.out} must end in .png or .npy.`);
    const x0 = options.x0 === undefined ? undefined : await node.readNpy(options.x0);
    const noise = options.noise === undefined ? undefined : await node.readNpy(options.noise);
    const settings: SampleOptions = {
      ...(options.class && { class: options.class.length === 1 ? options.class[0]! : options.class }), ...(options.scale !== undefined && { scale: options.scale }),
      count: options.count ?? x0?.shape[0] ?? (options.class && options.class.length > 1 ? options.class.length : undefined) ?? (options.film ? 8 : 64), seed: options.seed, first: options.first, signal: context.signal,
      K: options.steps ?? model.manifest.K, kappa: options.refine ?? model.manifest.kappa,
      eta: options.eta ?? model.manifest.eta, nu: options.nu ?? model.manifest.nu, ...(x0 && { x0 }), ...(noise && { noise }),
    };
    const picture: PictureOptions = {
      valueRange: valueRange ?? [-1, 1],
      scale: options.zoom ?? (format === 'folder' ? 1 : Math.max(1, Math.floor(64 / (sampleShape[2] ?? 64)))),
      ...(options.columns !== undefined && { columns: options.columns }),
    };
    const { tensor, statistics } = options.film ? await makeFilm(model, settings, options, context) : await draw(model, settings, options, context);
    const files = isPlane ? await savePlot(options.out, model.manifest.name, tensor) : options.film ? await saveFilm(options.out, format, tensor, picture) : await node.saveSamples(options.out, tensor, { ...picture, first: options.first, signal: context.signal });
    for (const warning of statistics.warnings) context.note(`warning: ${warning}`);
    const last = options.first + settings.count! - 1;
    context.print(`${settings.count} ${settings.count === 1 ? 'sample' : 'samples'} (seed ${options.seed}, ${options.first} to ${last}) in ${files.length === 1 ? files[0]! : `${options.out} (${files.length} files)`}`);
    context.print(`${statistics.steps} steps, ${duration(statistics.millisecondsPerStep)} each; ${duration(statistics.milliseconds)} in all, on ${statistics.provider} of ${statistics.runtime}`);
  } finally {
    await model.dispose();
  }
}

/** The bundle, composed in memory with the classifier of --guide. */
async function guided(bundle: string, options: Options): Promise<string | ReadonlyMap<string, Uint8Array>> {
  const guide = await guideOf(options);
  if (!guide) return bundle;
  const [{ compose }, { bundleSource, createRuntime }] = await Promise.all([import('@ratioflow/export'), import('@ratioflow/node')]);
  return (await compose({ bundles: [await bundleSource(bundle)], guide, reference: createRuntime() })).files;
}

/** Points of the plane as a scatter plot. */
async function savePlot(path: string, title: string, { shape, data }: Tensor): Promise<string[]> {
  const [{ scatterPlot }, { writeFileAtomic }] = await Promise.all([import('@ratioflow/trainer'), import('@ratioflow/node')]);
  await writeFileAtomic(path, (await scatterPlot({ title, subtitle: `${shape[0]} samples`, samples: data as Float32Array })).png);
  return [path];
}

type Made = { readonly tensor: Tensor; readonly statistics: Awaited<ReturnType<Model['sample']>>['statistics'] };

async function draw(model: Model, settings: SampleOptions, { batch }: Options, context: Context): Promise<Made> {
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
    return { tensor: samples, statistics };
  } finally {
    bar.stop();
  }
}

async function makeFilm(model: Model, settings: SampleOptions, { frames }: Options, context: Context): Promise<Made> {
  const { filmStrip } = await import('@ratioflow/node');
  const bar = await showProgress(context, settings.K! + settings.kappa!, 'steps');
  try {
    const { strip, statistics } = await filmStrip(model, { ...settings, frames, onFrame: (step) => bar.update(step) });
    return { tensor: strip, statistics };
  } finally {
    bar.stop();
  }
}

async function saveFilm(path: string, format: string, strip: Tensor, picture: PictureOptions): Promise<string[]> {
  const { savePng, writeNpy } = await import('@ratioflow/node');
  const [count, frames, ...sampleShape] = strip.shape as [number, number, ...number[]];
  if (format === 'npy') await writeNpy(path, strip);
  else await savePng(path, { shape: [count * frames, ...sampleShape], data: strip.data }, { ...picture, columns: frames });
  return [path];
}
