/** What the side-by-side benchmarks share: the PyTorch process, interleaved rounds, ratios, and the sections of docs/benchmarks.md. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { writeFileAtomic } from '../../runtimes/node/dist/index.js';

const root = join(import.meta.dirname, '../..');

/** Options of every benchmark: `--python` (else RATIOFLOW_PYTHON, else python3), `--rounds`, `--dry` (write no document), `--only` (of some, one of their cases). */
export function options(rounds) {
  const { values } = parseArgs({ options: { python: { type: 'string' }, rounds: { type: 'string', default: String(rounds) }, dry: { type: 'boolean', default: false }, only: { type: 'string' } } });
  return { python: values.python ?? process.env.RATIOFLOW_PYTHON ?? 'python3', rounds: Number(values.rounds), dry: values.dry, only: values.only };
}

/**
 * Starts the PyTorch side; it stays alive, so that only its work is timed, by its own clock.
 * @returns `ask(request)` → reply, both JSON; `close()`; null where Python has no torch
 */
export async function startPytorch(python) {
  if (spawnSync(python, ['-c', 'import torch, numpy']).status !== 0) return null;
  const child = spawn(python, [join(import.meta.dirname, 'pytorch_side.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (request) => {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error(`The PyTorch process ended at ${JSON.stringify(request)}.`);
    return JSON.parse(value);
  };
  return { ask, close: () => child.stdin.end(), facts: await ask({ do: 'facts' }) };
}

/** Threads of one engine that wait actively would slow the other down: a moment of quiet before each turn. */
export const quiet = () => new Promise((resolve) => setTimeout(resolve, 300));

/** Wall time of an asynchronous piece of work in milliseconds. */
export async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Processor time of this process, all threads, in milliseconds: what work costs, whatever else the machine does. */
export async function charged(work) {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Largest resident size of this process in bytes, on Linux. */
export const largestResident = () => 1024 * Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]);

/**
 * Rounds of A, B, B, A, A, B …: both sides see the same machine. A turn is as many units as take about 0.3 seconds, at most 20.
 * @param sides two functions that return the milliseconds of one unit of work
 */
export async function interleave(rounds, [a, b]) {
  let shortest = Infinity;
  for (const side of [a, b]) for (let warm = 0; warm < 2; warm++) shortest = Math.min(shortest, await side());
  const units = Math.min(20, Math.max(1, Math.ceil(300 / shortest)));
  const times = [[], []];
  for (let round = 0; round < rounds; round++) {
    for (const side of round % 2 === 0 ? [0, 1] : [1, 0]) {
      await quiet();
      let sum = 0;
      for (let unit = 0; unit < units; unit++) sum += await [a, b][side]();
      times[side].push(sum / units);
    }
  }
  return { a: summary(times[0]), b: summary(times[1]), ratio: summary(times[0].map((time, i) => time / times[1][i])) };
}

/**
 * Two ways of doing the same in one process, in turns of one unit each: A, B, B, A, A, B …, so that a machine whose speed
 * changes from moment to moment is the same for both. A round's ratio is that of the least disturbed, shortest units.
 * @param sides two functions that return the milliseconds of one unit of work
 */
export async function alternate(rounds, sides) {
  let longest = 0;
  for (const side of sides) for (let warm = 0; warm < 3; warm++) longest = Math.max(longest, await side());
  const units = Math.min(100, Math.max(5, Math.ceil(2000 / longest)));
  const [a, b, ratios] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    const times = [[], []];
    for (let unit = 0; unit < units; unit++) for (const side of unit % 2 === 0 ? [0, 1] : [1, 0]) times[side].push(await sides[side]());
    const [x, y] = times.map((values) => summary(values).min);
    a.push(x);
    b.push(y);
    ratios.push(x / y);
  }
  return { a: summary(a), b: summary(b), ratio: summary(ratios) };
}

/** Least, middle and largest. */
export function summary(values) {
  const sorted = [...values].sort((x, y) => x - y);
  return { min: sorted[0], median: (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2, max: sorted.at(-1) };
}

export const ratio = ({ min, median, max }) => `${min.toFixed(2)} / **${median.toFixed(2)}** / ${max.toFixed(2)}`;
export const percent = ({ min, median, max }) => [min, median, max].map((value) => `${((value - 1) * 100).toFixed(1)} %`).join(' / ');
export const milliseconds = ({ median }) => (median < 10 ? median.toFixed(2) : median.toFixed(0));

/** What the figures depend on; no names of machines or paths. */
export function machine(pytorch, ...more) {
  const { version } = JSON.parse(readFileSync(join(root, 'node_modules/onnxruntime-node/package.json'), 'utf8'));
  return [
    `${cpus().length} cores (${cpus()[0].model.trim()}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${process.platform}-${process.arch}`,
    `Node ${process.versions.node}, onnxruntime-node ${version}`,
    pytorch ? `PyTorch ${pytorch.facts.torch} (${pytorch.facts.threads} threads, eager)` : 'no PyTorch here',
    ...more,
  ].join('; ');
}

/** A Markdown table. */
export const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

/** Puts a benchmark's text between its two marks in docs/benchmarks.md. */
export async function writeSection(name, text) {
  const path = join(root, 'docs/benchmarks.md');
  const [begin, end] = [`<!-- ${name}: written by tests/bench/${name}.mjs -->`, `<!-- end of ${name} -->`];
  const document = await readFile(path, 'utf8');
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/benchmarks.md lacks the marks ${begin} and ${end}.`);
  await writeFileAtomic(path, `${document.slice(0, from + begin.length)}\n${text}\n${document.slice(to)}`);
}
