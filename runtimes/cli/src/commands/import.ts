/** `ratioflow import`: the bundle of anybody's ONNX estimator. */
import { basename, extname } from 'node:path';
import { Command, Option } from 'commander';
import type { Layout, PriorSource } from '@ratioflow/export';
import { pairingNames, type PairingName } from '@ratioflow/sdk';
import type { Context } from '../context.js';
import { integerFrom, numberFrom, range, rangeOf, shapeList, type RangeFlag } from '../parsers.js';
import { productsOf, withProductOptions, type ProductFlags } from '../product-options.js';
import { showProgress } from '../progress.js';

interface Options extends ProductFlags {
  readonly out: string;
  readonly pairing: PairingName;
  readonly eta: number;
  readonly nu: number;
  readonly steps: number;
  readonly refine: number;
  readonly prior: Exclude<PriorSource['kind'], 'ddp-low-rank'>;
  readonly data?: string;
  readonly deviation?: number;
  readonly name?: string;
  readonly valueRange?: RangeFlag;
  readonly sampleShape?: number[];
  readonly layout?: Layout;
  readonly negate?: boolean;
}

export const importCommand = (context: Context): Command => withProductOptions(new Command('import')
  .description('make a bundle of an ONNX estimator from anywhere: one input [N, C, H, W] or [N, D], one output [N] or [N, 1]')
  .argument('<estimator.onnx>', 'the model; external data lies beside it')
  .requiredOption('-o, --out <bundle>', 'folder of the bundle; an older bundle there is replaced')
  .addOption(new Option('--pairing <name>', 'what its output n is and which divergence the flow descends: n = r for lsif-chi2, n = log r for the others, r = q/p').choices(pairingNames).makeOptionMandatory())
  .requiredOption('--eta <number>', 'step size of the flow, from 0', numberFrom(0))
  .requiredOption('--nu <number>', 'scale of the noise of every step', numberFrom(0))
  .requiredOption('--steps <K>', 'number of bridging steps K', integerFrom(0))
  .option('--refine <k>', 'number of refinement steps after them', integerFrom(0), 0)
  .addOption(new Option('--prior <kind>', 'where samples start: uniform on [-1, 1], gaussian, ddp (the Gaussian of the data\'s mean and covariance), or source (samples of another domain, given as --x0)')
    .choices(['uniform', 'gaussian', 'ddp', 'source']).makeOptionMandatory())
  .option('--data <path>', 'data of the ddp prior: a folder of images of the sample\'s size, or array.npy [count, C, H, W] of uint8, or float32 in [-1, 1]')
  .option('--deviation <number>', 'standard deviation of the gaussian prior (default: 1)', numberFrom(0))
  .option('--name <text>', 'name of the model (default: the file\'s)')
  .option('--value-range <low,high>', 'samples are clamped to it at the end, or none (default: -1,1 for images, none for points)', range)
  .option('--sample-shape <C,H,W>', 'size of a sample, where the model leaves it open', shapeList)
  .addOption(new Option('--layout <order>', 'order of the axes of the model\'s input (default: nchw)').choices(['nchw', 'nhwc']))
  .option('--negate', 'the model gives log p/q, a discriminator\'s logit of "real": turn its sign'))
  .action((path: string, options: Options) => run(path, options, context));

async function run(path: string, options: Options, context: Context): Promise<void> {
  const [{ importBundle, readModelFile, writeBundle }, { createRuntime }, { ArgumentError }] = await Promise.all([import('@ratioflow/export'), import('@ratioflow/node'), import('@ratioflow/sdk')]);
  const { out, pairing, eta, nu, steps, refine, sampleShape, layout, negate } = options;
  if ((options.prior === 'ddp') !== (options.data !== undefined)) throw new ArgumentError(options.data === undefined ? 'The prior ddp needs --data, a folder of images or an array .npy.' : `--data belongs to the prior ddp, not to ${options.prior}.`);
  if (options.deviation !== undefined && options.prior !== 'gaussian') throw new ArgumentError(`--deviation belongs to the prior gaussian, not to ${options.prior}.`);
  const reading = { ...(sampleShape && { sampleShape }), ...(layout && { layout }), ...(negate && { negate }) };
  const { files, notes, sampleShape: found } = await importBundle({
    name: options.name ?? basename(path, extname(path)), read: () => readModelFile(path), pairing, prior: (shape) => priorOf(options, shape, context),
    eta, nu, K: steps, kappa: refine, products: productsOf(options), reference: createRuntime(), ...(options.valueRange !== undefined && { valueRange: rangeOf(options.valueRange) }), ...reading,
  });
  context.signal.throwIfAborted();
  await writeBundle(out, files);
  for (const note of notes) context.note(`note: ${note}`);
  context.print(`bundle of samples [${found.join(', ')}] in ${out}`);
}

async function priorOf({ prior, data, deviation }: Options, sampleShape: readonly number[], context: Context): Promise<PriorSource> {
  if (prior === 'gaussian') return { kind: prior, ...(deviation !== undefined && { deviation }) };
  if (prior !== 'ddp') return { kind: prior };
  const { ddpPriorOfFile, loadTensorFlow } = await import('@ratioflow/trainer');
  const { tf } = await loadTensorFlow();
  const bar = await showProgress(context, 0, 'samples');
  try {
    return await ddpPriorOfFile(data!, sampleShape, { tf, onProgress: (done, total) => { context.signal.throwIfAborted(); bar.update(done, total); } });
  } finally {
    bar.stop();
  }
}
