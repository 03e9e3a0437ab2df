/**
 * One training iteration of ours against the same iteration in eager PyTorch, side by side in one run on the CPU: the toy
 * set-up (mlp, batch 1024, K = 200) and the digits (resnet28, batch 64, K = 30), from the shipped configurations (the digits at PyTorch's customary batch).
 * `npx tsc -b && node tests/bench/training.mjs --python <python with torch> [--rounds 10] [--dry]`; writes docs/benchmarks.md.
 */
import { join } from 'node:path';
import { createRuntime } from '../../runtimes/node/dist/index.js';
import { loadConfig } from '../../trainer/dist/config/load.js';
import { flowRuntime } from '../../trainer/dist/bridge/flow-runtime.js';
import { train } from '../../trainer/dist/loop/train.js';
import { assemble } from '../../trainer/dist/run/assemble.js';
import { interleave, machine, milliseconds, options, ratio, startPytorch, table, writeSection } from './side-by-side.mjs';

const { python, rounds, dry } = options(10);
const pytorch = await startPytorch(python);
if (!pytorch) {
  console.error(`${python} has no torch: give a Python that has, with --python or RATIOFLOW_PYTHON.`);
  process.exit(1);
}

const cases = [
  { name: 'toy', title: 'toy: mlp, batch 1024, K = 200', config: 'swiss-roll', overrides: [] },
  { name: 'digits', title: 'digits: resnet28, batch 64, K = 30', config: 'digits', overrides: ['training.batch=64'] },
];
const rows = [];
let learning = '';
for (const { name, title, config: file, overrides } of cases) {
  const config = await loadConfig(join(import.meta.dirname, `../../trainer/configs/${file}.yaml`), overrides);
  const run = await assemble(config, createRuntime(), { flowRuntime: flowRuntime('cpu') });
  learning = run.tensorflow.description;
  const iterations = train(run, 0, Infinity);
  let flow = 0;
  const ours = async () => {
    const { value } = await iterations.next();
    flow = value.flowMilliseconds / value.milliseconds;
    return value.milliseconds;
  };
  const theirs = (official) => async () => (await pytorch.ask({ do: 'train', case: name, official })).milliseconds;
  const [lean, kept] = [await interleave(rounds, [ours, theirs(false)]), await interleave(rounds, [ours, theirs(true)])];
  rows.push([title, milliseconds(lean.a), milliseconds(lean.b), ratio(lean.ratio), milliseconds(kept.b), ratio(kept.ratio), `${(flow * 100).toFixed(0)} %`]);
  console.log(rows.at(-1).join(' | '));
  await iterations.return();
  await run.dispose();
}
pytorch.close();
const text = `${table(['one training iteration', 'ours, ms', 'PyTorch, ms', 'ratio min / median / max', 'PyTorch as the official code, ms', 'ratio min / median / max', 'of ours, the flow'], rows)}

${rounds} interleaved rounds. ${machine(pytorch, `learning: ${learning}`)}.`;
console.log(`\n${text}`);
if (!dry) await writeSection('training', text);
process.exit(0);
