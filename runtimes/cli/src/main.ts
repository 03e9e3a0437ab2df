/** The process around the command line: signals, broken pipes, exit code. */
import { run } from './run.js';

const controller = new AbortController();
const interrupt = (): void => {
  // The second Ctrl-C does not wait for anything.
  if (controller.signal.aborted) process.exit(130);
  controller.abort(new Error('interrupted'));
};
process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);
// `ratioflow inspect … | head` closes the pipe: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await run(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr, signal: controller.signal });
