/**
 * What a run leaves for people while it goes on: metrics.csv, events for TensorBoard, previews, the curve, and report.html.
 * A run that goes on from iteration t has the record of iterations 1 … t and nothing of a later past.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import type { Runtime } from '@ratioflow/sdk';
import { iterationColumns, type IterationMetrics } from '../loop/train.js';
import { balancedLoss } from '../objective/objective.js';
import { lineChart } from '../pictures/line-chart.js';
import { trainingCurve } from '../pictures/training-curve.js';
import { openEventFile } from '../report/event-file.js';
import { htmlReport } from '../report/html-report.js';
import { reportOf } from '../report/run-report.js';
import type { Assembly } from './assemble.js';
import type { RunLog } from './iterate.js';
import { openMetrics } from './metrics.js';
import { versions } from './versions.js';

/** `publish` draws `curve.png` and writes `report.html`. */
export interface RunRecord extends RunLog<IterationMetrics> {
  preview(iteration: number, png: Uint8Array): Promise<void>;
}

const flushInterval = 5000;
const previewFile = (run: string, iteration: number): string => join(run, 'previews', `${String(iteration).padStart(8, '0')}.png`);

/** Opens the record of a run whose iterations up to `from` count. */
export async function openRecord(run: string, from: number, assembly: Assembly, runtime: Runtime): Promise<RunRecord> {
  const metrics = await openMetrics<IterationMetrics>(run, from, iterationColumns);
  const events = await openEventFile(run, from);
  for (const iteration of await previewsOf(run)) if (iteration > from) await rm(previewFile(run, iteration), { force: true });
  const { rows } = metrics;
  let flushed = performance.now();
  const flush = async (): Promise<void> => {
    flushed = performance.now();
    await metrics.flush();
    await events.flush();
  };
  return {
    rows,
    async add(row) {
      metrics.add(row);
      events.add({ step: row.iteration, scalars: scalarsOf(row) });
      if (performance.now() - flushed > flushInterval) await flush();
    },
    flush,
    async preview(iteration, png) {
      await writeFileAtomic(previewFile(run, iteration), png);
      events.add({ step: iteration, picture: { tag: 'preview', png } });
      await flush();
    },
    async publish(status) {
      if (rows.length < 2) return;
      const pick = (key: keyof IterationMetrics): number[] => rows.map((row) => row[key]);
      const iterations = pick('iteration');
      const { name } = assembly.config;
      const curve = { iterations, loss: pick('loss'), logRatioData: pick('logRatioData'), logRatioSamples: pick('logRatioSamples'), balancedLoss: balancedLoss(assembly.pairing) };
      await writeFileAtomic(join(run, 'curve.png'), (await trainingCurve({ title: name, ...curve })).png);
      const speed = await lineChart({
        panels: [
          { label: 'milliseconds', series: [{ name: 'iteration', x: iterations, y: pick('milliseconds') }, { name: 'of it, the flow', x: iterations, y: pick('flowMilliseconds') }] },
          { label: 'learning rate', series: [{ name: 'learning rate', x: iterations, y: pick('learningRate') }] },
        ],
      });
      const previews = (await previewsOf(run)).map((iteration) => ({ iteration, read: () => readFile(previewFile(run, iteration)) }));
      const charts = [{ title: 'Loss and mean log ratios', svg: (await trainingCurve(curve)).svg }, { title: 'Time of an iteration, step size', svg: speed.svg }];
      const report = await reportOf({ status, rows, charts, previews, assembly, versions: versions(assembly.tensorflow, runtime) });
      await writeFileAtomic(join(run, 'report.html'), htmlReport(report));
    },
  };
}

/** Iterations of the previews of a run, ascending. */
async function previewsOf(run: string): Promise<number[]> {
  const names = await readdir(join(run, 'previews')).catch(() => []);
  return names.flatMap((name) => /^(\d{8})\.png$/.exec(name)?.[1] ?? []).map(Number).sort((a, b) => a - b);
}

/** Names under which TensorBoard groups them. */
const scalarsOf = (row: IterationMetrics): Record<string, number> => ({
  loss: row.loss, 'log_ratio/data': row.logRatioData, 'log_ratio/samples': row.logRatioSamples, learning_rate: row.learningRate,
  'milliseconds/iteration': row.milliseconds, 'milliseconds/flow': row.flowMilliseconds,
});
