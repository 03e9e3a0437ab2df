/**
 * What a command may use of the process: its output, whether somebody is watching, and the signal of Ctrl-C.
 */
export interface Context {
  /** One line on standard output: results. */
  readonly print: (line: string) => void;
  /** One line on standard error: warnings, progress. */
  readonly note: (line: string) => void;
  /** Standard error where it is a terminal: progress bars go there, and nowhere else. */
  readonly terminal: NodeJS.WritableStream | undefined;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Ends the process with exit code 1 once the command is done, for a command whose result is bad news. */
  readonly fail: () => void;
}
