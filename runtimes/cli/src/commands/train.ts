/** `ratioflow train`: starts or goes on with a training run. */
import { Command } from 'commander';
import type { Context } from '../context.js';
import { followTraining } from '../training-progress.js';

interface Options {
  readonly set: string[];
  readonly resume?: string;
  readonly out?: string;
}

const collect = (value: string, list: string[]): string[] => [...list, value];

export const trainCommand = (context: Context): Command => new Command('train')
  .description('train an estimator and export its bundle')
  .argument('[config.yaml]', 'what to train; not with --resume, which has the run\'s own')
  .option('--set <key=value>', 'change a field of the configuration, for example --set training.iterations=2000; may be repeated', collect, [])
  .option('--resume <dir>', 'go on from the latest checkpoint of this run')
  .option('--out <dir>', 'folder of the run, which must be new or empty (default: runs/<name>)')
  .action((config: string | undefined, options: Options, command: Command) => run(config, options, command, context));

async function run(configPath: string | undefined, options: Options, command: Command, context: Context): Promise<void> {
  if ((configPath === undefined) === (options.resume === undefined)) {
    command.error(configPath === undefined ? 'error: give a configuration, or --resume <dir>' : 'error: a resumed run has its own configuration: leave out either the file or --resume');
  }
  if (options.resume !== undefined && options.out !== undefined) command.error('error: a resumed run stays in its folder: leave out --out');
  const { loadConfig, resumeRun, startRun } = await import('@ratioflow/trainer');
  const result = await followTraining(context, async (callbacks) => {
    if (options.resume !== undefined) return resumeRun(options.set, { out: options.resume, ...callbacks });
    const config = await loadConfig(configPath!, options.set);
    return startRun(config, { out: options.out ?? `runs/${config.name}`, ...callbacks });
  });
  context.print(`${result.iterations} iterations done; bundle in ${result.bundle}`);
}
