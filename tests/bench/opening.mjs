/**
 * From nothing to the first step: a new Node process imports the package, opens a resnet32 bundle, self-tests included, and makes one step.
 * `npx tsc -b && node tests/bench/opening.mjs [--rounds 7] [--dry]`; writes docs/benchmarks.md.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { machine, options, quiet, summary, table, writeSection } from './side-by-side.mjs';
import { writeUntrainedBundle } from './untrained-bundle.mjs';

const { rounds, dry } = options(7);
const folder = await mkdtemp(join(tmpdir(), 'ratioflow-opening-'));
await writeUntrainedBundle(folder, 'resnet32', [3, 32, 32]);
const entry = new URL('../../runtimes/node/dist/index.js', import.meta.url).href;
const program = `
const started = performance.now();
const { open } = await import(${JSON.stringify(entry)});
const imported = performance.now();
const model = await open(${JSON.stringify(folder)}, OPTIONS);
const opened = performance.now();
await model.sample({ count: 1, K: 1, kappa: 0 });
console.log(JSON.stringify([imported - started, opened - imported, performance.now() - opened, performance.now() - started]));
await model.dispose();`;
const rows = [];
for (const [title, given] of [['with the self-test', '{}'], ['`selfTest: false`', '{ selfTest: false }'], ['`worker: true`, with the self-test', '{ worker: true }']]) {
  const times = [];
  for (let round = 0; round < rounds; round++) {
    await quiet();
    times.push(JSON.parse((await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program.replace('OPTIONS', given)])).stdout));
  }
  const [imported, opened, stepped, all] = [0, 1, 2, 3].map((part) => summary(times.map((one) => one[part])));
  rows.push([title, ...[imported, opened, stepped].map(({ median }) => `${median.toFixed(0)}`), [all.min, all.median, all.max].map((time) => time.toFixed(0)).join(' / ')]);
  console.log(rows.at(-1).join(' | '));
}
await rm(folder, { recursive: true });
const text = `${table(['resnet32, 11.4 M parameters', 'import, ms', '`open`, ms', 'graphs loaded and first step, ms', 'all, ms, min / median / max'], rows)}

${rounds} processes each. ${machine(undefined).replace('; no PyTorch here', '')}.`;
if (!dry) await writeSection('opening', text);
process.exit(0);
