/** `ratioflow evaluate`: figures of generated samples, with a manifest. */
import { Command, Option } from 'commander';
import type { ProviderName } from '@ratioflow/node';
import type { Evaluation } from '@ratioflow/trainer';
import type { Seed } from '@ratioflow/sdk';
import type { Context } from '../context.js';
import { integerFrom, providerList, seed } from '../parsers.js';
import { showProgress } from '../progress.js';
import { table } from '../text.js';

interface Options {
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
  readonly provider: ProviderName[];
  readonly threads?: number;
  readonly cache: string | boolean;
}

export const evaluateCommand = (context: Context): Command => new Command('evaluate')
  .description('Fréchet distance (FID), kernel distance (KID), precision and recall of samples, with a manifest of all they depend on')
  .argument('<subject>', 'a bundle, which generates; an array .npy; a folder or archive of images; a data set: mnist, mnist:test, or the data block of a configuration in braces')
  .option('--reference <what>', 'statistics .npz (mu and sigma, as pytorch-fid has them), or anything that can be a subject; its statistics are computed once and kept')
  .requiredOption('--extractor <what>', 'feature extractor: digits, built in and trained on first use (minutes), for images of 28 × 28 in grey; model.onnx with its description model.yaml beside it (docs/evaluation.md); or raw: the values themselves')
  .option('--count <n>', 'samples of each repetition (default: 10000 of a bundle, else all)', integerFrom(2))
  .option('--first <i>', 'index of the first sample', integerFrom(0), 0)
  .addOption(new Option('--seed <s>', 'seed of the samples of a bundle, in [0, 2^64)').argParser(seed).default(0n, '0'))
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
  .addOption(new Option('--provider <list>', 'cuda, webgpu, cpu, or several with commas, in order of preference').argParser(providerList).default(['cpu'], 'cpu'))
  .option('--threads <n>', 'threads of the engine (default: all cores)', integerFrom(1))
  .option('--cache <folder>', 'where statistics are kept (default: evaluation in the cache folder)')
  .option('--no-cache', 'compute statistics of references anew, and keep none')
  .action(async (subject: string, { provider, out, json, cache, ...options }: Options) => {
    const [{ evaluate }, { writeFileAtomic }] = await Promise.all([import('@ratioflow/trainer'), import('@ratioflow/node')]);
    const bar = await showProgress(context, options.count === undefined ? 0 : options.count * options.repeats, 'samples');
    let result: Evaluation;
    try {
      result = await evaluate({
        ...options, subject, providers: provider, ...(cache !== true && { cache: cache }), signal: context.signal,
        onProgress: (done, total) => bar.update(done, total ?? done), onMessage: (message) => context.note(message),
      });
    } finally {
      bar.stop();
    }
    if (out !== undefined) await writeFileAtomic(out, `${JSON.stringify(result, null, 2)}\n`);
    for (const warning of result.warnings) context.note(`warning: ${warning}`);
    if (json) context.print(JSON.stringify(result, null, 2));
    else for (const line of describe(result)) context.print(line);
    if (options.save !== undefined) context.print(`statistics in ${options.save}`);
    if (out !== undefined) context.print(`figures and manifest in ${out}`);
  });

const labels: Readonly<Record<string, string>> = { frechetDistance: 'Fréchet distance', kernelDistance: 'kernel distance' };
const show = (value: number): string => value.toPrecision(6);

function describe({ figures, ranges }: Evaluation): string[] {
  const [one] = ranges;
  if (!one) return [];
  const interval = ranges.length === 1 && one.kernel?.interval ? `  (95 %: ${one.kernel.interval.map(show).join(' to ')})` : '';
  return [
    `${one.count} samples from number ${one.first}${ranges.length > 1 ? `, ${ranges.length} times: mean ± deviation` : ''}`,
    ...table(Object.entries(figures).map(([name, { mean, deviation }]) => [labels[name] ?? name, `${show(mean)}${deviation === null ? '' : ` ± ${deviation.toPrecision(2)}`}${name === 'kernelDistance' ? interval : ''}`]), '  '),
  ];
}
