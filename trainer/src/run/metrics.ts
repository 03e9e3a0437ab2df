/** The metrics of a run: one line per iteration in metrics.csv. */
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { TrainingError } from '../errors.js';
import type { IterationMetrics } from '../loop/train.js';

const columns = ['iteration', 'loss', 'logRatioData', 'logRatioSamples', 'learningRate', 'milliseconds', 'flowMilliseconds'] as const satisfies readonly (keyof IterationMetrics)[];
const header = `${columns.join(',')}\n`;

export interface MetricsFile {
  readonly rows: readonly IterationMetrics[];
  add(metrics: IterationMetrics): void;
  /** Appends what is new to the file. */
  flush(): Promise<void>;
}

/** Opens the metrics of a run; lines after iteration `from` belong to a future that a resumed run does not share. */
export async function openMetrics(run: string, from: number): Promise<MetricsFile> {
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
