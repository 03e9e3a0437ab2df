/** `ratioflow train`: starts or goes on with a training run. */
import { Command } from 'commander';
import type { Context } from '../context.js';
import { integerFrom } from '../parsers.js';
import { withSettings } from '../set-option.js';
import { followTraining } from '../training-progress.js';

interface Options {
  readonly set: string[];
  readonly resume?: string;
  readonly from?: number;
  readonly out?: string;
}

export const trainCommand = (context: Context): Command => withSettings(new Command('train'))
  .description('train an estimator and export its bundle, or a classifier and export it for guidance')
  .argument('[config.yaml]', 'what to train; not with --resume, which has the run\'s own')
  .option('--resume <dir>', 'go on from the latest checkpoint of this run')
  .option('--from <iteration>', 'with --resume: go on from the checkpoint of this iteration; later ones are set aside', integerFrom(1))
  .option('--out <dir>', 'folder of the run, which must be new or empty (default: runs/<name>)')
  .action((config: string | undefined, options: Options, command: Command) => run(config, options, command, context));

async function run(configPath: string | undefined, options: Options, command: Command, context: Context): Promise<void> {
  if ((configPath === undefined) === (options.resume === undefined)) {
    command.error(configPath === undefined ? 'error: give a configuration, or --resume <dir>' : 'error: a resumed run has its own configuration: leave out either the file or --resume');
  }
  if (options.from !== undefined && options.resume === undefined) command.error('error: --from belongs to --resume <dir>');
  if (options.resume !== undefined && options.out !== undefined) command.error('error: a resumed run stays in its folder: leave out --out');
  const { loadRunConfig, resumeRun, startRun } = await import('@ratioflow/trainer');
  const result = await followTraining(context, async (callbacks) => {
    if (options.resume !== undefined) return resumeRun(options.set, { out: options.resume, from: options.from, ...callbacks });
    const config = await loadRunConfig(configPath!, options.set);
    return startRun(config, { out: options.out ?? `runs/${config.name}`, ...callbacks });
  });
  if (result.kind === 'estimator') {
    context.print(`${result.iterations} iterations done; bundle in ${result.bundle}`);
  } else {
    for (const line of result.findings) context.print(line);
    context.print(`${result.iterations} iterations done; classifier in ${result.classifier}`);
  }
}
