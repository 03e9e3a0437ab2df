/**
 * The same cases on every runtime that is here: noise bit for bit, samples within tolerance. With RATIOFLOW_TABLE=write
 * the measured differences go into docs/conformance.md.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeFileAtomic } from '@ratioflow/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drivers } from './drivers/index.js';
import { expectedOf } from './expected.js';
import type { Expected } from './expected.js';
import { writeJobs } from './jobs.js';
import type { Job } from './jobs.js';

/** Rounding of eleven steps adds up: this many times the tolerance that verification grants one evaluation. */
const steps = 10;

let folder: string;
let jobs: Job[];
let expected: Expected[];
const rows: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-conformance-'));
  jobs = await writeJobs(folder);
  expected = [];
  for (const job of jobs) expected.push(await expectedOf(folder, job));
  // Flows that stand still, or samples that all sit on a bound, would let anything pass.
  for (const [i, { samples }] of expected.entries()) expect(new Set(samples).size, jobs[i]!.name).toBeGreaterThan(samples.length / 4);
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  if (process.env['RATIOFLOW_TABLE'] !== 'write') return;
  // Half a table would take the place of a whole one.
  if (rows.length < drivers.length) throw new Error(`The table was not written: ${drivers.length - rows.length} of ${drivers.length} runtimes failed, or were left out of this run.`);
  await writeTable();
});

describe.each(drivers)('$name', (driver) => {
  it('conforms', { timeout: 300_000 }, async ({ skip }) => {
    const reason = await driver.absent(join(folder, jobs[0]!.bundle));
    if (reason !== undefined) {
      console.log(`skipped: ${driver.name}: ${reason}`);
      rows.push(`| ${driver.name} | – | not run: ${reason} | | |`);
      skip(reason);
    }
    const taken = jobs.map((job, i) => ({ job, wanted: expected[i]! })).filter(({ job }) => driver.takes?.(job) ?? true);
    const { engine, outcomes } = await driver.run(folder, taken.map(({ job }) => job));
    expect(outcomes).toHaveLength(taken.length);
    expect(taken).not.toHaveLength(0);
    let [largest, share] = [0, 0];
    for (const [i, { samples, noise }] of outcomes.entries()) {
      const { job: { name }, wanted } = taken[i]!;
      expect(new Int32Array(noise.slice().buffer), `${name}: noise`).toEqual(new Int32Array(wanted.noise.slice().buffer));
      expect(samples, name).toHaveLength(wanted.samples.length);
      const { absolute, relative } = wanted.tolerances[driver.tolerance] ?? wanted.tolerances['default']!;
      const allowed = steps * (absolute + relative * wanted.samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
      const error = samples.reduce((most, value, at) => { const e = Math.abs(value - wanted.samples[at]!); return e <= most ? most : e; }, 0);
      expect(error, name).toBeLessThanOrEqual(allowed);
      [largest, share] = [Math.max(largest, error), Math.max(share, error / allowed)];
    }
    rows.push(`| ${driver.name} | ${engine} | ${taken.length} of ${jobs.length} cases, noise bit-identical | ${largest.toExponential(1)} | ${(100 * share).toFixed(share < 0.01 ? 2 : 1)} % |`);
  });
});

async function writeTable(): Promise<void> {
  const path = fileURLToPath(new URL('../../docs/conformance.md', import.meta.url));
  const page = await readFile(path, 'utf8');
  const table = ['| runtime | engine | result | largest difference of a sample | of what is allowed |', '|---|---|---|---|---|', ...rows].join('\n');
  const [head, rest] = page.split('<!-- table -->\n');
  await writeFileAtomic(path, `${head}<!-- table -->\n${table}\n<!-- end of table -->${rest!.split('<!-- end of table -->')[1]}`);
}
