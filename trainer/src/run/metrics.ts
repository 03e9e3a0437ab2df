/** The record of a run: one line per iteration in metrics.csv, and the curve that is drawn from it. */
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import type { Pairing } from '@ratioflow/sdk';
import { TrainingError } from '../errors.js';
import type { IterationMetrics } from '../loop/train.js';
import { balancedLoss } from '../objective/objective.js';
import { trainingCurve } from '../pictures/training-curve.js';

const columns = ['iteration', 'loss', 'logRatioData', 'logRatioSamples', 'learningRate', 'milliseconds', 'flowMilliseconds'] as const satisfies readonly (keyof IterationMetrics)[];
const header = `${columns.join(',')}\n`;

export interface MetricsRecord {
  readonly rows: readonly IterationMetrics[];
  add(metrics: IterationMetrics): void;
  /** Appends what is new to the file. */
  flush(): Promise<void>;
  /** Draws loss and mean log ratios as `curve.png`. */
  draw(pairing: Pairing, title: string): Promise<void>;
}

/** Opens the record of a run; lines after iteration `from` belong to a future that a resumed run does not share. */
export async function openMetrics(run: string, from: number): Promise<MetricsRecord> {
  const path = join(run, 'metrics.csv');
  const rows = from > 0 ? parse(await readFile(path, 'utf8').catch(() => '')).filter((row) => row.iteration <= from) : [];
  await writeFileAtomic(path, header + rows.map(line).join(''));
  let written = rows.length;
  return {
    rows,
    add: (metrics) => rows.push(metrics),
    async flush() {
      const fresh = rows.slice(written).map(line).join('');
      written = rows.length;
      if (fresh) {
        await appendFile(path, fresh).catch((cause: unknown) => {
          throw new TrainingError(`${path} cannot be written: ${(cause as Error).message}. Make room and go on with --resume ${run}.`, { cause });
        });
      }
    },
    async draw(pairing, title) {
      if (rows.length < 2) return;
      const pick = (key: keyof IterationMetrics): number[] => rows.map((row) => row[key]);
      const { png } = await trainingCurve({
        title,
        iterations: pick('iteration'),
        loss: pick('loss'),
        logRatioData: pick('logRatioData'),
        logRatioSamples: pick('logRatioSamples'),
        balancedLoss: balancedLoss(pairing),
      });
      await writeFileAtomic(join(run, 'curve.png'), png);
    },
  };
}

const line = (row: IterationMetrics): string => `${columns.map((key) => (key.toLowerCase().includes('milliseconds') ? row[key].toFixed(1) : String(row[key]))).join(',')}\n`;

function parse(text: string): IterationMetrics[] {
  return text.split('\n').slice(1).flatMap((row) => {
    const values = row.split(',').map(Number);
    if (values.length !== columns.length || values.some(Number.isNaN)) return [];
    return [Object.fromEntries(columns.map((key, index) => [key, values[index]!])) as unknown as IterationMetrics];
  });
}
