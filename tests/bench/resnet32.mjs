/**
 * One training iteration of resnet32 (CIFAR-10's network, batch 64, K = 100) against the same iteration in eager PyTorch, on
 * the CPU: iterations of 2 and of 6 flow steps are timed in turns, and time(100) = time(2) + 98 · (time(6) − time(2)) / 4.
 * Data are random bytes: their values do not matter to the time. Also the largest resident size of both processes.
 * `npx tsc -b && node tests/bench/resnet32.mjs --python <python with torch> [--rounds 3] [--dry]`; writes docs/benchmarks.md.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRuntime } from '../../runtimes/node/dist/index.js';
import { encodeNpy } from '../../sdk/dist/npy.js';
import { loadConfig } from '../../trainer/dist/config/load.js';
import { flowRuntime } from '../../trainer/dist/bridge/flow-runtime.js';
import { train } from '../../trainer/dist/loop/train.js';
import { assemble } from '../../trainer/dist/run/assemble.js';
import { largestResident, machine, options, quiet, ratio, startPytorch, summary, table, writeSection } from './side-by-side.mjs';

const [few, more, wanted] = [2, 6, 100];
const { python, rounds, dry } = options(3);
const pytorch = await startPytorch(python);
if (!pytorch) {
  console.error(`${python} has no torch: give a Python that has, with --python or RATIOFLOW_PYTHON.`);
  process.exit(1);
}
const folder = mkdtempSync(join(tmpdir(), 'ratioflow-resnet32-'));
const path = join(folder, 'images.npy');
const data = new Uint8Array(256 * 3072);
for (let at = 0; at < data.length; at += 65_536) crypto.getRandomValues(data.subarray(at, at + 65_536));
writeFileSync(path, encodeNpy({ shape: [256, 3, 32, 32], data }));
const config = await loadConfig(join(import.meta.dirname, '../../trainer/configs/cifar10-lr-kl.yaml'), [`data={ name: npy, path: ${JSON.stringify(path)}, flip: true }`, 'prior=uniform']);
const run = await assemble(config, createRuntime(), { flowRuntime: flowRuntime('cpu') });

const ours = async (K) => {
  const { value } = await train({ ...run, config: { ...config, flow: { ...config.flow, K } } }, 0, 1).next();
  return value.milliseconds;
};
const theirs = async (K) => (await pytorch.ask({ do: 'train', case: 'resnet32', steps: K })).milliseconds;
const sides = [ours, theirs];
const whole = async (side, order) => {
  const times = {};
  for (const K of order) {
    await quiet();
    times[K] = await sides[side](K);
  }
  return { step: (times[more] - times[few]) / (more - few), iteration: times[few] + ((wanted - few) * (times[more] - times[few])) / (more - few), rest: times[few] };
};
for (const side of sides) await side(few);
const results = [[], []];
for (let round = 0; round < rounds; round++) for (const side of round % 2 === 0 ? [0, 1] : [1, 0]) {
  results[side].push(await whole(side, round % 2 === 0 ? [few, more] : [more, few]));
  console.log(side === 0 ? 'ours' : 'PyTorch', results[side].at(-1));
}
const median = (side, key) => (summary(results[side].map((result) => result[key])).median / 1000).toFixed(2);
const ratios = (key) => ratio(summary(results[0].map((result, i) => result[key] / results[1][i][key])));
const memory = [largestResident(), (await pytorch.ask({ do: 'memory' })).bytes].map((bytes) => bytes / 1e9);
pytorch.close();
const text = `${table(['resnet32, batch 64', 'ours', 'PyTorch', 'ratio min / median / max'], [
  ['a flow step, s', median(0, 'step'), median(1, 'step'), ratios('step')],
  [`an iteration of ${few} steps, s`, median(0, 'rest'), median(1, 'rest'), ratios('rest')],
  [`an iteration of ${wanted} steps (computed from these), s`, median(0, 'iteration'), median(1, 'iteration'), ratios('iteration')],
  ['largest resident size, GB', memory[0].toFixed(2), memory[1].toFixed(2), `**${(memory[0] / memory[1]).toFixed(2)}**`],
])}

${rounds} interleaved rounds. ${machine(pytorch, `learning: ${run.tensorflow.description}`)}.`;
console.log(`\n${text}`);
if (!dry) await writeSection('resnet32', text);
await run.dispose();
rmSync(folder, { recursive: true });
process.exit(0);
