/** The process around the command line: signals, broken pipes, exit code. */
import { isatty } from 'node:tty';
import { run } from './run.js';

const controller = new AbortController();
/** What a shell tells of a program that a signal has ended. */
const codes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
let interrupted: number | undefined;
const interrupt = (signal: keyof typeof codes): void => {
  // The second one does not wait for anything; but a terminal that closes may say so twice.
  if (interrupted !== undefined && signal !== 'SIGHUP') process.exit(codes[signal]);
  interrupted ??= codes[signal];
  controller.abort(new Error('interrupted'));
};
process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);
// Node forgets that nohup had this signal ignored: a process without a terminal has none whose end would concern it.
const hasTerminal = [0, 1, 2].some(isatty);
process.on('SIGHUP', (signal) => {
  if (hasTerminal) interrupt(signal as 'SIGHUP');
});
// `ratioflow inspect … | head` closes the pipe: that is no error. Nor is a terminal that is gone while the work is brought to an end.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (interrupted === undefined) process.exit(error.code === 'EPIPE' ? 0 : 1);
});
process.stderr.on('error', () => undefined);

const code = await run(process.argv.slice(2), { stdout: process.stdout, stderr: process.stderr, signal: controller.signal });
process.exitCode = code === codes.SIGINT ? interrupted ?? code : code;
if (interrupted === codes.SIGHUP) {
  // By the signal itself: on its usual way out Node sets the terminal back, and aborts where that is gone.
  process.removeAllListeners('SIGHUP');
  process.kill(process.pid, 'SIGHUP');
}
