/** The metrics of a run: one line per iteration in metrics.csv. */
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@ratioflow/node';
import { TrainingError } from '../errors.js';

/** What an iteration reports, whatever is trained. */
export interface RunMetrics {
  /** Counted from 1: iterations done. */
  readonly iteration: number;
  readonly loss: number;
  readonly learningRate: number;
  readonly milliseconds: number;
}

/** The columns of metrics.csv, in order; all are numbers. */
export type MetricsColumns<M extends RunMetrics> = readonly (keyof M & string)[];

export interface MetricsFile<M extends RunMetrics> {
  readonly rows: readonly M[];
  add(metrics: M): void;
  /** Appends what is new to the file. */
  flush(): Promise<void>;
}

/** Opens the metrics of a run; lines after iteration `from` belong to a future that a resumed run does not share. */
export async function openMetrics<M extends RunMetrics>(run: string, from: number, columns: MetricsColumns<M>): Promise<MetricsFile<M>> {
  const path = join(run, 'metrics.csv');
  const line = (row: M): string => `${columns.map((key) => (key.toLowerCase().includes('milliseconds') ? (row[key] as number).toFixed(1) : String(row[key]))).join(',')}\n`;
  const rows = from > 0 ? parse(await readFile(path, 'utf8').catch(() => ''), columns).filter((row) => row.iteration <= from) : [];
  await writeFileAtomic(path, `${columns.join(',')}\n${rows.map(line).join('')}`);
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

function parse<M extends RunMetrics>(text: string, columns: MetricsColumns<M>): M[] {
  return text.split('\n').slice(1).flatMap((row) => {
    const values = row.split(',').map(Number);
    if (values.length !== columns.length || values.some(Number.isNaN)) return [];
    return [Object.fromEntries(columns.map((key, index) => [key, values[index]!])) as unknown as M];
  });
}
