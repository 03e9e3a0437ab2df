/** From a run to what its report says. */
import sharp from 'sharp';
import { sampleLength } from '../data/dataset.js';
import type { IterationMetrics } from '../loop/train.js';
import type { Assembly } from '../run/assemble.js';
import type { RunReport } from './html-report.js';

export interface RunFacts {
  /** Where the run stands, a sentence. */
  readonly status: string;
  /** One at least. */
  readonly rows: readonly IterationMetrics[];
  readonly charts: RunReport['charts'];
  /** Ascending; some of them are shown. */
  readonly previews: readonly { readonly iteration: number; readonly read: () => Promise<Uint8Array> }[];
  readonly assembly: Pick<Assembly, 'config' | 'dataset' | 'source' | 'network' | 'prior'>;
  readonly versions: Readonly<Record<string, string>>;
}

const mostPreviews = 6;
/** Wider previews are made smaller for the report. */
const widestPreview = 720;

export async function reportOf({ status, rows, charts, previews, assembly, versions }: RunFacts): Promise<RunReport> {
  const { config, dataset, source, network, prior } = assembly;
  const { training, flow } = config;
  const last = rows.at(-1)!;
  const sum = (key: 'milliseconds' | 'flowMilliseconds'): number => rows.reduce((total, row) => total + row[key], 0);
  const median = rows.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b)[rows.length >> 1]!;
  // The mean of a stretch: of single iterations the loss says little.
  const recent = rows.slice(-Math.max(1, Math.ceil(rows.length / 40)));
  const mean = (key: keyof IterationMetrics): string => (recent.reduce((total, row) => total + row[key], 0) / recent.length).toFixed(3);
  const left = training.iterations - last.iteration;
  return {
    title: config.name,
    status,
    figures: [
      { label: 'Iterations', value: String(last.iteration), note: `of ${training.iterations}` },
      { label: 'Loss', value: mean('loss'), note: `mean of the last ${recent.length}` },
      { label: 'Log ratio on data', value: mean('logRatioData') },
      { label: 'Log ratio on samples', value: mean('logRatioSamples') },
      { label: 'Time of training', value: span(sum('milliseconds')), ...(left > 0 && { note: `about ${span(left * median)} left` }) },
      { label: 'An iteration', value: span(median), note: `median; ${Math.round((100 * sum('flowMilliseconds')) / sum('milliseconds'))} % of the time is flow` },
      { label: 'Samples moved', value: Math.round((1000 * training.batch * flow.K) / median).toLocaleString('en'), note: 'through a flow step, a second' },
    ],
    charts,
    previews: await Promise.all(spread(previews, mostPreviews).map(async ({ iteration, read }) => ({ caption: `iteration ${iteration}`, ...(await embedded(await read())) }))),
    sections: [
      {
        title: 'What is trained',
        rows: [
          ['data', `${dataset.name}: ${dataset.size === null ? 'samples' : `${dataset.size.toLocaleString('en')} samples`} of [${dataset.sampleShape.join(', ')}]${dataset.size === null ? ', drawn afresh' : ''}`],
          ...(source ? [['source', `${source.name}, ${source.size?.toLocaleString('en') ?? 'many'} samples`] as const] : []),
          ['estimator', `${config.estimator.name}, ${network.countParams().toLocaleString('en')} parameters`],
          ['prior', prior.state.kind === 'ddp-low-rank' ? `ddp of rank ${prior.state.gains.length} of ${sampleLength(dataset.sampleShape)}` : prior.kind],
        ],
      },
      { title: 'Settings', rows: flatten(config) },
      { title: 'Versions', rows: Object.entries(versions) },
    ],
  };
}

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
