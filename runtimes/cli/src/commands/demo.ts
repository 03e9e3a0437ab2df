/** `ratioflow demo`: the paper's toy experiments and the quick start. */
import { relative } from 'node:path';
import { Argument, Command, Option } from 'commander';
import type { DemoOptions, DemoResult } from '@ratioflow/trainer';
import type { Context } from '../context.js';
import { integerFrom, seed } from '../parsers.js';
import { table } from '../text.js';
import { followTraining } from '../training-progress.js';

interface Options {
  readonly out?: string;
  readonly seed?: bigint;
  readonly iterations?: number;
}

interface GuidanceFlags extends Options {
  readonly bundle: string;
  readonly plain?: string;
  readonly robust?: string;
  readonly judge?: string;
  readonly perClass: number;
}

const toys = ['swiss-roll', '8-gaussians', '25-gaussians'] as const;

export function demoCommand(context: Context): Command {
  const demo = new Command('demo').description('see the method at work');
  const add = (name: string, description: string): Command => demo.command(name)
    .description(description)
    .option('--out <dir>', `folder for everything that comes out, new or empty (default: runs/demo-${name})`)
    .option('--iterations <n>', 'training iterations: more take longer and give better results', integerFrom(1))
    .addOption(new Option('--seed <s>', 'integer from 0 to 2^64 - 1').argParser(seed).default(42n, '42'));
  add('digits', 'handwritten digits: train, export, verify, sample (some minutes on two cores)').action((options: Options) => run('digits', options, context, async (settings) => {
    const { digitsDemo } = await import('@ratioflow/trainer');
    return digitsDemo(settings);
  }));
  add('toy', 'a set of points in the plane: samples, log-ratio field and drift (about a minute)')
    .addArgument(new Argument('[set]', 'which set').choices(toys).default(toys[0]))
    .action((name: (typeof toys)[number], options: Options) => run('toy', options, context, async (settings) => {
      const { toyDemo } = await import('@ratioflow/trainer');
      return toyDemo(name, settings);
    }));
  add('chasm', 'why the estimator is trained on its own flow: figures 2 and 4 of the paper (some minutes)').action((options: Options) => run('chasm', options, context, async (settings) => {
    const { chasmDemo } = await import('@ratioflow/trainer');
    return chasmDemo(settings);
  }));
  add('guidance', 'sample each class of an unconditional bundle of digits, guided by a plain and by a robust classifier, and judged by a third (trains those that are not given)')
    .requiredOption('--bundle <dir>', 'bundle of digits, such as quickstart/bundle')
    .option('--plain <classifier.onnx>', 'the plain guide (default: trained)')
    .option('--robust <classifier.onnx>', 'the robust guide (default: trained)')
    .option('--judge <classifier.onnx>', 'the judge (default: trained on other images, from another seed)')
    .option('--per-class <n>', 'samples of each class for every row of the table', integerFrom(1), 40)
    .action((options: GuidanceFlags) => run('guidance', options, context, async (settings) => {
      const { guidanceDemo } = await import('@ratioflow/trainer');
      const { bundle, plain, robust, judge, perClass } = options;
      return guidanceDemo({ ...settings, bundle, plain, robust, judge, perClass });
    }));
  return demo;
}

async function run(name: string, options: Options, context: Context, demo: (settings: DemoOptions) => Promise<DemoResult>): Promise<void> {
  const out = options.out ?? `runs/demo-${name}`;
  const { files, findings } = await followTraining(context, (callbacks) => demo({
    out, ...callbacks, ...(options.seed !== undefined && { seed: String(options.seed) }), ...(options.iterations !== undefined && { iterations: options.iterations }),
  }));
  for (const finding of findings) context.print(finding);
  context.print('');
  const shown = (path: string): string => relative('', path) || '.';
  for (const line of table(files.map(({ path, about }) => [shown(path), about]))) context.print(line);
  const bundle = files.find(({ about }) => about === 'the bundle');
  if (!bundle) return;
  const [imported, use] = name === 'digits' ? ['open, savePng', 'await savePng(\'mine.png\', samples);'] : ['open', 'console.log(samples.data);'];
  context.print(['', 'From code:', '', `  import { ${imported} } from '@ratioflow/node';`, '', `  const model = await open('${shown(bundle.path)}');`,
    `  const { samples } = await model.sample({ count: 16, seed: 7 });`, `  ${use}`, '  await model.dispose();'].join('\n'));
}
