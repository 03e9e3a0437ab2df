/** For tests: `ratioflow` with its output in strings. */
import { Writable } from 'node:stream';
import { run } from '../run.js';

/** What a command did. */
export interface Result { readonly code: number; readonly out: string; readonly err: string }

/** Runs `ratioflow` with these arguments. */
export async function ratioflow(args: readonly string[], signal = new AbortController().signal, isTTY = false): Promise<Result> {
  const texts = { out: '', err: '' };
  const stream = (name: 'out' | 'err'): Writable => new Writable({ write: (chunk: Buffer, _, done) => { texts[name] += chunk.toString(); done(); } });
  const code = await run(args, { stdout: stream('out'), stderr: Object.assign(stream('err'), { isTTY }), signal });
  return { code, ...texts };
}
