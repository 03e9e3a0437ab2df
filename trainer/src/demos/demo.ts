/** What all demos share. */
import type { RunOptions } from '../run/run-training.js';

export interface DemoOptions extends RunOptions {
  /** Everything random follows from it. @default 42 */
  readonly seed?: string | undefined;
  /** Training iterations. @default the demo's own */
  readonly iterations?: number | undefined;
}

export interface DemoResult {
  /** Files worth looking at, with a line on each. */
  readonly files: readonly { readonly path: string; readonly about: string }[];
  /** Sentences with the figures that came out. */
  readonly findings: readonly string[];
}
