/** From a run to what its report says. */
import sharp from 'sharp';
import type { RunMetrics } from '../run/metrics.js';
import type { RunReport } from './html-report.js';

/** What the report says of a run beside what every run has, in the words of what is trained. */
export interface ReportSubject<M extends RunMetrics> {
  readonly config: { readonly name: string; readonly training: { readonly iterations: number } };
  /** Names and values of the parts that it was made of. */
  readonly facts: readonly (readonly [string, string])[];
  readonly versions: Readonly<Record<string, string>>;
  /** What a reader looks for beside loss and time. @param rows one at least */
  figures(rows: readonly M[]): RunReport['figures'];
}

export interface RunFacts<M extends RunMetrics> {
  readonly subject: ReportSubject<M>;
  /** Where the run stands, a sentence. */
  readonly status: string;
  /** One at least. */
  readonly rows: readonly M[];
  readonly charts: RunReport['charts'];
  /** Ascending; some of them are shown. */
  readonly previews: readonly { readonly iteration: number; readonly read: () => Promise<Uint8Array> }[];
}

const mostPreviews = 6;
/** Wider previews are made smaller for the report. */
const widestPreview = 720;

export async function reportOf<M extends RunMetrics>({ subject, status, rows, charts, previews }: RunFacts<M>): Promise<RunReport> {
  const { config, facts, versions } = subject;
  const { iterations } = config.training;
  const last = rows.at(-1)!;
  const recent = recentRows(rows);
  const median = medianTime(rows);
  const left = iterations - last.iteration;
  return {
    title: config.name,
    status,
    figures: [
      { label: 'Iterations', value: String(last.iteration), note: `of ${iterations}` },
      { label: 'Loss', value: mean(recent, ({ loss }) => loss).toFixed(3), note: `mean of the last ${recent.length}` },
      { label: 'Time of training', value: span(rows.reduce((total, row) => total + row.milliseconds, 0)), ...(left > 0 && { note: `about ${span(left * median)} left` }) },
      { label: 'An iteration', value: span(median), note: 'median' },
      ...subject.figures(rows),
    ],
    charts,
    previews: await Promise.all(spread(previews, mostPreviews).map(async ({ iteration, read }) => ({ caption: `iteration ${iteration}`, ...(await embedded(await read())) }))),
    sections: [
      { title: 'What is trained', rows: facts },
      { title: 'Settings', rows: flatten(config) },
      { title: 'Versions', rows: Object.entries(versions) },
    ],
  };
}

/** A stretch at the end: single iterations say little. */
export const recentRows = <M>(rows: readonly M[]): readonly M[] => rows.slice(-Math.max(1, Math.ceil(rows.length / 40)));
export const mean = <M>(rows: readonly M[], value: (row: M) => number): number => rows.reduce((total, row) => total + value(row), 0) / rows.length;
/** Milliseconds of an iteration. */
export const medianTime = (rows: readonly RunMetrics[]): number => rows.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b)[rows.length >> 1]!;

/** At most `count` of a list, evenly spaced, the first and the last among them. */
export function spread<T>(list: readonly T[], count: number): T[] {
  if (list.length <= count) return [...list];
  return Array.from({ length: count }, (_, i) => list[Math.round((i * (list.length - 1)) / (count - 1))]!);
}

async function embedded(png: Uint8Array): Promise<{ source: string; width: number; height: number }> {
  const { width, height } = await sharp(png).metadata();
  if (width <= widestPreview) return { source: dataUrl('png', png), width, height };
  const { data, info } = await sharp(png).resize(widestPreview).webp({ quality: 85 }).toBuffer({ resolveWithObject: true });
  return { source: dataUrl('webp', data), width: info.width, height: info.height };
}

const dataUrl = (type: string, bytes: Uint8Array): string => `data:image/${type};base64,${Buffer.from(bytes).toString('base64')}`;

/** `flow: { K: 3 }` → `flow.K`, `3`. */
function flatten(tree: object, path = ''): [string, string][] {
  return Object.entries(tree).flatMap(([key, value]): [string, string][] => {
    if (value === undefined) return [];
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return flatten(value as object, `${path}${key}.`);
    return [[`${path}${key}`, Array.isArray(value) ? `[${value.join(', ')}]` : String(value)]];
  });
}

function span(milliseconds: number): string {
  const [unit, size] = ([['h', 3_600_000], ['min', 60_000], ['s', 1000]] as const).find(([, one]) => milliseconds >= one) ?? ['ms', 1];
  return `${(milliseconds / size).toPrecision(3).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '')} ${unit}`;
}
