/** The record of a run: what the file holds, and what a resumed run makes of it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { iterationColumns, type IterationMetrics } from '../loop/train.js';
import { openMetrics } from './metrics.js';

let run: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'ratioflow-metrics-'));
});
afterEach(() => rm(run, { recursive: true }));

const row = (iteration: number): IterationMetrics => ({ iteration, loss: 1 / iteration, logRatioData: -0.1 * iteration, logRatioSamples: 0.25, learningRate: 1e-4, milliseconds: 12.34, flowMilliseconds: 10 });
const lines = async (): Promise<string[]> => (await readFile(join(run, 'metrics.csv'), 'utf8')).split('\n');

it('writes a header and one line per iteration, each once', async () => {
  const metrics = await openMetrics<IterationMetrics>(run, 0, iterationColumns);
  expect(await lines()).toEqual(['iteration,loss,logRatioData,logRatioSamples,learningRate,milliseconds,flowMilliseconds', '']);
  metrics.add(row(1));
  await metrics.flush();
  metrics.add(row(2));
  metrics.add(row(3));
  await metrics.flush();
  await metrics.flush();
  expect((await lines()).slice(1)).toEqual(['1,1,-0.1,0.25,0.0001,12.3,10.0', '2,0.5,-0.2,0.25,0.0001,12.3,10.0', `3,${1 / 3},${-0.1 * 3},0.25,0.0001,12.3,10.0`, '']);
});

it('forgets what lies after the checkpoint, and half a line', async () => {
  const metrics = await openMetrics<IterationMetrics>(run, 0, iterationColumns);
  for (const iteration of [1, 2, 3, 4]) metrics.add(row(iteration));
  await metrics.flush();
  const path = join(run, 'metrics.csv');
  await writeFile(path, `${await readFile(path, 'utf8')}5,0.2,-0.`);
  const before = await lines();
  const resumed = await openMetrics<IterationMetrics>(run, 2, iterationColumns);
  expect(resumed.rows.map(({ iteration }) => iteration)).toEqual([1, 2]);
  resumed.add(row(3));
  await resumed.flush();
  expect(await lines()).toEqual([...before.slice(0, 4), '']);
});

it('starts anew for a new run, and does without a lost file', async () => {
  await writeFile(join(run, 'metrics.csv'), 'from,another,run\n1,2,3\n');
  expect((await openMetrics(run, 0, iterationColumns)).rows).toEqual([]);
  expect(await lines()).toHaveLength(2);
  await rm(join(run, 'metrics.csv'));
  expect((await openMetrics(run, 7, iterationColumns)).rows).toEqual([]);
});

it('names file and remedy where it cannot write', async () => {
  const metrics = await openMetrics<IterationMetrics>(run, 0, iterationColumns);
  await rm(run, { recursive: true });
  metrics.add(row(1));
  await expect(metrics.flush()).rejects.toThrow(/metrics\.csv cannot be written: ENOENT.*--resume/);
  run = await mkdtemp(join(tmpdir(), 'ratioflow-metrics-'));
});
