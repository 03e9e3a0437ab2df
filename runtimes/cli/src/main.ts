/** The process around the command line: signals, broken pipes, exit code. */
import { run } from './run.js';

const controller = new AbortController();
/** What a shell tells of a program that a signal has ended. */
const codes = { SIGINT: 130, SIGTERM: 143 } as const;
let interrupted: number | undefined;
const interrupt = (signal: keyof typeof codes): void => {
  // The second one does not wait for anything.
  if (interrupted !== undefined) process.exit(codes[signal]);
  interrupted = codes[signal];
  controller.abort(new Error('interrupted'));
};
process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);
// `ratioflow inspect … | head` closes the pipe: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

const code = await run(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr, signal: controller.signal });
process.exitCode = code === codes.SIGINT ? interrupted ?? code : code;
