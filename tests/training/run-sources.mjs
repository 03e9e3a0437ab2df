/**
 * Starts or resumes a run in a process of its own, on the sources: `node run-sources.mjs <config.yaml> <out> [key=value …]`.
 * Prints one line per iteration, `iteration <n>`; an error as `error <name>: <message>` with exit code 1. SIGINT aborts.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadSources } from '../support/load-sources.mjs';

const { load, close } = await loadSources();
const trainer = await load('trainer/src/index.ts');
const [configFile, out, ...overrides] = process.argv.slice(2);
const controller = new AbortController();
process.once('SIGINT', () => controller.abort(new Error('interrupted')));
const options = {
  out,
  signal: controller.signal,
  onProgress: ({ iteration }) => process.stdout.write(`iteration ${iteration}\n`),
  onMessage: (message) => process.stdout.write(`message ${message}\n`),
};
console.log('ready');
try {
  if (existsSync(join(out, 'checkpoints'))) await trainer.resumeRun(overrides, options);
  else await trainer.startRun(await trainer.loadConfig(configFile, overrides), options);
  console.log('done');
} catch (error) {
  console.log(`error ${error.name}: ${error.message}`);
  process.exitCode = 1;
}
await close();
