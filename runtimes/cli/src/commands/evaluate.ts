/** `ratioflow evaluate`: figures of generated samples, with a manifest. */
import { Command, Option } from 'commander';
import type { EvaluateOptions, Evaluation, Figure, RefinementPoint } from '@ratioflow/trainer';
import type { Seed } from '@ratioflow/sdk';
import type { Context } from '../context.js';
import { engineOf, flowOf, withFlowOptions, type FlowFlags } from '../flow-options.js';
import { classList, finiteNumber, integerFrom, integerList, seed } from '../parsers.js';
import { showProgress } from '../progress.js';
import { table } from '../text.js';

interface Options extends FlowFlags {
  readonly reference?: string;
  readonly extractor: string;
  readonly count?: number;
  readonly first: number;
  readonly seed: Seed;
  readonly repeats: number;
  readonly referenceCount?: number;
  readonly subsets?: number;
  readonly subsetSize?: number;
  readonly neighbours?: number;
  readonly manifoldSamples?: number;
  readonly fdrlCompat?: string;
  readonly fdrlReference?: string;
  readonly save?: string;
  readonly out?: string;
  readonly json?: boolean;
  readonly refineCurve?: number[];
  readonly plot?: string;
  readonly cache: string | boolean;
  readonly class?: number[];
  readonly scale?: number;
}

export const evaluateCommand = (context: Context): Command => withFlowOptions(new Command('evaluate')
  .description('Fréchet distance (FID), kernel distance (KID), precision and recall of samples, with a manifest of all they depend on')
  .argument('<subject>', 'a bundle, which generates; an array .npy; a folder or archive of images; a data set: mnist, mnist:test, or the data block of a configuration in braces')
  .option('--reference <what>', 'statistics .npz (mu and sigma, as pytorch-fid has them), or anything that can be a subject; its statistics are computed once and kept')
  .requiredOption('--extractor <what>', 'feature extractor: digits, built in and trained on first use (minutes), for images of 28 × 28 in grey; model.onnx with its description model.yaml beside it (docs/evaluation.md); or raw: the values themselves')
  .option('--count <n>', 'samples of each repetition (default: 10000 of a bundle, else all)', integerFrom(2))
  .option('--first <i>', 'index of the first sample', integerFrom(0), 0)
  .addOption(new Option('--seed <s>', 'seed of the samples of a bundle, in [0, 2^64)').argParser(seed).default(0n, '0'))
  .option('--class <list>', 'of a guided bundle: a class for all samples, or several that they have in turn, with commas; -1 guides nothing (default: no class)', classList)
  .option('--scale <phi>', 'scale of the guidance (default: the bundle\'s)', finiteNumber)
  .option('--repeats <n>', 'repeat on the next samples, and the next: figures with mean and deviation', integerFrom(1), 1)
  .option('--reference-count <n>', 'samples of the reference (default: all)', integerFrom(2))
  .option('--subsets <n>', 'subsets of the kernel distance (default: 100)', integerFrom(1))
  .option('--subset-size <n>', 'samples in a subset (default: 1000, or all there are)', integerFrom(2))
  .option('--neighbours <k>', 'k of precision and recall (default: 3)', integerFrom(1))
  .option('--manifold-samples <n>', 'samples of each set that precision, recall, density and coverage look at (default: 10000)', integerFrom(2))
  .option('--fdrl-compat <file>', 'extractor of a second Fréchet distance by the protocol of the paper\'s code: torchvision\'s Inception, values not rounded to bytes')
  .option('--fdrl-reference <what>', 'its reference (default: that of --reference)')
  .option('--save <file.npz>', 'write the statistics of the subject; alone, without --reference, nothing else is done')
  .option('-o, --out <file.json>', 'write figures and manifest')
  .option('--json', 'print figures and manifest as JSON')
  .addOption(new Option('--refine-curve <list>', 'the effect of refinement: figures of a bundle for each of these numbers of refinement steps, such as 0,5,10,20').argParser(integerList).conflicts(['refine', 'save']))
  .option('--plot <file.png>', 'picture of that curve')
  .option('--cache <folder>', 'where statistics are kept (default: evaluation in the cache folder)')
  .option('--no-cache', 'compute statistics of references anew, and keep none'))
  .action((subject: string, options: Options) => run(subject, options, context));

async function run(subject: string, { out, json, cache, plot, refineCurve, provider, threads, steps, refine, eta, nu, class: classes, scale, ...rest }: Options, context: Context): Promise<void> {
  const [{ evaluate, refinementCurve, refinementPicture }, { checkOutputFile, writeFileAtomic }, { ArgumentError }] = await Promise.all([import('@ratioflow/trainer'), import('@ratioflow/node'), import('@ratioflow/sdk')]);
  if (plot !== undefined && !refineCurve) throw new ArgumentError('A plot is one of a curve: say which, with --refine-curve 0,5,10,20.');
  const inputs = [subject, rest.reference, rest.fdrlReference, rest.extractor, rest.fdrlCompat];
  if (plot !== undefined) await checkOutputFile(plot, 'The picture of a curve', ['.png'], inputs);
  if (out !== undefined) await checkOutputFile(out, 'Figures and manifest', ['.json'], inputs);
  const flags: FlowFlags = { provider, ...(threads !== undefined && { threads }), ...(steps !== undefined && { steps }), ...(refine !== undefined && { refine }), ...(eta !== undefined && { eta }), ...(nu !== undefined && { nu }) };
  const bar = await showProgress(context, 0, 'samples');
  const options: EvaluateOptions = {
    ...rest, subject, ...engineOf(flags), flow: { ...flowOf(flags), ...(classes && { classes }), ...(scale !== undefined && { scale }) }, ...(cache !== true && { cache }), signal: context.signal,
    onProgress: (done, total) => bar.update(done, total ?? done), onMessage: (message) => context.note(message),
  };
  let result: Evaluation | RefinementPoint[];
  try {
    result = refineCurve ? await refinementCurve(refineCurve, options) : await evaluate(options);
  } finally {
    bar.stop();
  }
  const evaluations = Array.isArray(result) ? result.map(({ evaluation }) => evaluation) : [result];
  for (const warning of new Set(evaluations.flatMap(({ warnings }) => warnings))) context.note(`warning: ${warning}`);
  if (json) context.print(JSON.stringify(result, null, 2));
  else for (const line of Array.isArray(result) ? describeCurve(result) : describe(result)) context.print(line);
  if (rest.save !== undefined) context.print(`statistics in ${rest.save}`);
  // After the figures are shown: a full disk does not lose them.
  if (plot !== undefined) await writeFileAtomic(plot, await refinementPicture(result as RefinementPoint[], `${subject} against ${rest.reference!}, in features of ${rest.extractor}`));
  if (out !== undefined) await writeFileAtomic(out, `${JSON.stringify(result, null, 2)}\n`);
  if (plot !== undefined) context.print(`plot in ${plot}`);
  if (out !== undefined) context.print(`figures and ${refineCurve ? 'manifests' : 'manifest'} in ${out}`);
}

const labels: Readonly<Record<string, string>> = { frechetDistance: 'Fréchet distance', kernelDistance: 'kernel distance' };
const show = (value: number): string => value.toPrecision(6);
const cell = ({ mean, deviation }: Figure): string => `${show(mean)}${deviation === null ? '' : ` ± ${deviation.toPrecision(2)}`}`;

function describe({ figures, ranges }: Evaluation): string[] {
  const [one] = ranges;
  if (!one) return [];
  const interval = ranges.length === 1 && one.kernel?.interval ? `  (95 %: ${one.kernel.interval.map(show).join(' to ')})` : '';
  return [
    `${one.count} samples from number ${one.first}${ranges.length > 1 ? `, ${ranges.length} times: mean ± deviation` : ''}`,
    ...table(Object.entries(figures).map(([name, figure]) => [labels[name] ?? name, `${cell(figure)}${name === 'kernelDistance' ? interval : ''}`]), '  '),
  ];
}

/** A line for each number of steps, a column for each figure. */
function describeCurve(points: readonly RefinementPoint[]): string[] {
  const names = Object.keys(points[0]!.evaluation.figures);
  return table([['refinement steps', ...names.map((name) => labels[name] ?? name)], ...points.map(({ kappa, evaluation: { figures } }) => [String(kappa), ...names.map((name) => cell(figures[name]!))])]);
}
