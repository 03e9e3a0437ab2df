/**
 * The command line as a function: arguments in, exit code out. 0: done; 1: it failed, with one line of why; 2: it was
 * called wrongly; 130: Ctrl-C (143, in main.ts: SIGTERM).
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { commands } from './commands/registry.js';
import type { Context } from './context.js';

/** The streams and the signal of one run; a test brings its own. */
export interface Surroundings {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly signal: AbortSignal;
}

/** Runs `ratioflow` with these arguments. Never throws. */
export async function run(args: readonly string[], { stdout, stderr, signal }: Surroundings): Promise<number> {
  const outcome = { failed: false };
  const context: Context = {
    print: (line) => stdout.write(`${line}\n`),
    note: (line) => stderr.write(`${line}\n`),
    terminal: stderr.isTTY === true ? stderr : undefined,
    signal,
    fail: () => { outcome.failed = true; },
  };
  const program = new Command('ratioflow')
    .description('Train, export and sample density-ratio generative models.')
    .version((JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version)
    .option('--debug', 'show where an error comes from');
  for (const make of commands) program.addCommand(make(context));
  for (const command of [program, ...program.commands]) {
    command.exitOverride().showHelpAfterError(`(${command === program ? 'ratioflow' : `ratioflow ${command.name()}`} --help explains every option)`);
    command.configureOutput({ writeOut: (text) => stdout.write(text), writeErr: (text) => stderr.write(text) });
  }
  try {
    await program.parseAsync(args, { from: 'user' });
    return outcome.failed ? 1 : 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (signal.aborted && error === signal.reason) {
      context.note('interrupted');
      return 130;
    }
    context.note(`error: ${error instanceof Error ? error.message : String(error)}`);
    if (program.opts<{ debug?: boolean }>().debug === true) context.note(stackOf(error));
    return 1;
  }
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const own = error.stack ?? '';
  return error.cause instanceof Error ? `${own}\ncaused by ${stackOf(error.cause)}` : own;
}
