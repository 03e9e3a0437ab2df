/** `--set key=value`, as the commands take it that read a configuration. */
import { Option } from 'commander';
import type { Command } from 'commander';
import { collect } from './parsers.js';

/** Adds the option; a second `key=value` after one `--set` is refused with how it is written. */
export const withSettings = (command: Command): Command => command
  .addOption(new Option('--set <key=value>', 'change a field of the configuration, for example --set training.iterations=2000; null takes it out; may be repeated').argParser(collect(String)).default([], 'none'))
  .allowExcessArguments()
  .hook('preAction', (_, { args }) => {
    const stray = args.find((arg, index) => index > 0 || (/^[\w.]+=/.test(arg) && !/\.ya?ml$/.test(arg)));
    if (stray !== undefined) command.error(`error: nothing takes the argument ${stray}: give one configuration, and each change as a --set key=value of its own`);
  });
