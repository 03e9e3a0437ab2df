/** The record of a classifier's run: metrics.csv, and the curve of cross entropy and accuracy. */
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { lineChart } from '../pictures/line-chart.js';
import { colours } from '../pictures/theme.js';
import type { RunLog } from '../run/iterate.js';
import { openMetrics } from '../run/metrics.js';
import { classifierColumns, type ClassifierMetrics } from './train-classifier.js';

/** @param classes their number: the loss of a guess is its logarithm */
export async function openClassifierLog(run: string, from: number, title: string, classes: number): Promise<RunLog<ClassifierMetrics> & { publish(): Promise<void> }> {
  const metrics = await openMetrics<ClassifierMetrics>(run, from, classifierColumns);
  const { rows } = metrics;
  return {
    rows,
    add(row) {
      metrics.add(row);
      return Promise.resolve();
    },
    flush: () => metrics.flush(),
    async publish() {
      if (rows.length < 2) return;
      const pick = (key: keyof ClassifierMetrics): number[] => rows.map((row) => row[key]);
      const x = pick('iteration');
      const { png } = await lineChart({
        title,
        panels: [
          { label: 'cross entropy', series: [{ name: 'cross entropy', colour: '#4a5058', x, y: pick('loss') }], reference: { value: Math.log(classes), label: 'a guess' } },
          { label: 'accuracy', series: [{ name: 'accuracy', colour: colours.line, x, y: pick('accuracy') }], reference: { value: 1, label: '' } },
        ],
      });
      await writeFileAtomic(join(run, 'curve.png'), png);
    },
  };
}
