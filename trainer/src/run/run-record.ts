/**
 * What a run leaves for people while it goes on: metrics.csv, events for TensorBoard, previews, the curve, and report.html.
 * A run that goes on from iteration t has the record of iterations 1 … t and nothing of a later past.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { lineChart, type Panel, type Series } from '../pictures/line-chart.js';
import { openEventFile } from '../report/event-file.js';
import { htmlReport } from '../report/html-report.js';
import { reportOf, type ReportSubject } from '../report/run-report.js';
import type { RunLog } from './iterate.js';
import { openMetrics, type MetricsColumns, type RunMetrics } from './metrics.js';

/** What is recorded, and how it is shown. */
export interface RecordSubject<M extends RunMetrics> extends ReportSubject<M> {
  readonly columns: MetricsColumns<M>;
  /** What TensorBoard shows of an iteration beside loss, step size and time; names with a slash are grouped. */
  scalars(row: M): Readonly<Record<string, number>>;
  readonly curve: { readonly title: string; panels(rows: readonly M[]): readonly Panel[] };
  /** Columns of milliseconds that are parts of an iteration's, and how they are called. */
  readonly parts?: Readonly<Partial<Record<keyof M & string, string>>>;
}

/** `publish` draws `curve.png` and writes `report.html`. */
export interface RunRecord<M extends RunMetrics> extends RunLog<M> {
  preview(iteration: number, png: Uint8Array): Promise<void>;
  /** Figures that only some iterations have, for TensorBoard. */
  figures(iteration: number, scalars: Readonly<Record<string, number>>): void;
}

const flushInterval = 5000;
const previewFile = (run: string, iteration: number): string => join(run, 'previews', `${String(iteration).padStart(8, '0')}.png`);

/** Opens the record of a run whose iterations up to `from` count. */
export async function openRecord<M extends RunMetrics>(run: string, from: number, subject: RecordSubject<M>): Promise<RunRecord<M>> {
  const { config, curve, parts = {} } = subject;
  const metrics = await openMetrics<M>(run, from, subject.columns);
  // A run that goes on from its end shows its last iteration anew.
  const events = await openEventFile(run, from, (step, tags) => step < config.training.iterations || tags.includes('loss'));
  for (const iteration of await previewsOf(run)) if (iteration > from) await rm(previewFile(run, iteration), { force: true });
  const { rows } = metrics;
  let flushed = performance.now();
  const flush = async (): Promise<void> => {
    flushed = performance.now();
    await metrics.flush();
    await events.flush();
  };
  const line = (name: string, key: keyof M): Series => ({ name, x: rows.map(({ iteration }) => iteration), y: rows.map((row) => row[key] as number) });
  return {
    rows,
    async add(row) {
      metrics.add(row);
      events.add({ step: row.iteration, scalars: { loss: row.loss, learning_rate: row.learningRate, 'milliseconds/iteration': row.milliseconds, ...subject.scalars(row) } });
      if (performance.now() - flushed > flushInterval) await flush();
    },
    flush,
    async preview(iteration, png) {
      await writeFileAtomic(previewFile(run, iteration), png);
      events.add({ step: iteration, picture: { tag: 'preview', png } });
      await flush();
    },
    figures(iteration, scalars) {
      events.add({ step: iteration, scalars });
    },
    async publish(status) {
      await flush();
      if (rows.length < 2) return;
      const panels = curve.panels(rows);
      await writeFileAtomic(join(run, 'curve.png'), (await lineChart({ title: config.name, panels })).png);
      const speed = await lineChart({
        panels: [
          { label: 'milliseconds', series: [line('iteration', 'milliseconds'), ...Object.entries(parts).map(([key, name]) => line(`of it, ${name as string}`, key as keyof M))] },
          { label: 'learning rate', series: [line('learning rate', 'learningRate')] },
        ],
      });
      const previews = (await previewsOf(run)).map((iteration) => ({ iteration, read: () => readFile(previewFile(run, iteration)) }));
      const charts = [{ title: curve.title, svg: (await lineChart({ panels })).svg }, { title: 'Time of an iteration, step size', svg: speed.svg }];
      await writeFileAtomic(join(run, 'report.html'), htmlReport(await reportOf({ subject, status, rows, charts, previews })));
    },
  };
}

/** Iterations of the previews of a run, ascending. */
async function previewsOf(run: string): Promise<number[]> {
  const names = await readdir(join(run, 'previews')).catch(() => []);
  return names.flatMap((name) => /^(\d{8})\.png$/.exec(name)?.[1] ?? []).map(Number).sort((a, b) => a - b);
}
