/**
 * Reference statistics as `.npz`: `mu` and `sigma` as pytorch-fid writes and reads them, and beside them, which others ignore,
 * the features (`features`, float32; float64 is rounded) and what they were made of (`about`, JSON as bytes).
 */
import { FormatError, type Tensor } from '@ratioflow/sdk';
import type { Features } from './features.js';
import type { Gaussian } from './frechet-distance.js';
import { readNpz, writeNpz } from './npz.js';

/** What a figure compares with. */
export interface FeatureStatistics {
  readonly gaussian: Gaussian;
  /** null where the file has none: then there is a Fréchet distance only. */
  readonly features: Features | null;
  /** null in files of others. */
  readonly about: StatisticsRecord | null;
}

/** Where statistics come from. */
export interface StatisticsRecord {
  readonly count: number;
  /** Hash of the extractor. */
  readonly extractor: string;
  /** Hash of the samples' values. */
  readonly samples: string;
  readonly source: Readonly<Record<string, unknown>>;
}

/** Features beyond this many bytes stay out of the file. */
const mostFeatureBytes = 2 ** 31;

/** @throws {ArgumentError} when it cannot be read; {FormatError} when it lacks `mu` or `sigma`, or they do not fit */
export async function readStatistics(path: string): Promise<FeatureStatistics> {
  const arrays = await readNpz(path, ['mu', 'sigma', 'features'], ['about']);
  const [mu, sigma] = [arrays.get('mu'), arrays.get('sigma')];
  const fail = (problem: string): never => {
    throw new FormatError(`${path} holds no statistics: ${problem}.`);
  };
  if (!mu || !sigma) return fail(`it lacks ${[!mu && 'mu', !sigma && 'sigma'].filter(Boolean).join(' and ')}, which pytorch-fid's files have`);
  const d = mu.data.length;
  if (mu.shape.length !== 1 || sigma.shape.length !== 2 || sigma.shape[0] !== d || sigma.shape[1] !== d) fail(`mu has the shape [${mu.shape.join(', ')}], sigma [${sigma.shape.join(', ')}]; expected [D] and [D, D]`);
  const [mean, covariance] = [Float64Array.from(mu.data as ArrayLike<number>, Number), Float64Array.from(sigma.data as ArrayLike<number>, Number)];
  if (!mean.every(Number.isFinite) || !covariance.every(Number.isFinite)) fail('they hold values that are not finite');
  const largest = covariance.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let i = 0; i < d; i++) for (let j = 0; j < i; j++) if (Math.abs(covariance[i * d + j]! - covariance[j * d + i]!) > 1e-5 * largest) fail(`sigma is not symmetric at ${i}, ${j}`);
  return {
    gaussian: { mean, covariance: { rows: d, columns: d, data: covariance } },
    features: featuresOf(path, arrays.get('features'), d),
    about: recordOf(arrays.get('about')),
  };
}

function featuresOf(path: string, features: Tensor | undefined, dimension: number): Features | null {
  if (!features) return null;
  const { shape, data } = features;
  const fail = (problem: string): never => {
    throw new FormatError(`${path}: ${problem}. Correct its array features, or leave it out: then there is a Fréchet distance only.`);
  };
  if (!(data instanceof Float32Array || data instanceof Float64Array)) return fail('the features are integers, expected floating-point numbers');
  if (shape.length !== 2 || shape[1] !== dimension || shape[0]! < 2) fail(`the features have the shape [${shape.join(', ')}], expected [N, ${dimension}] with N from 2`);
  const wrong = data.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) fail(`feature ${wrong % dimension} of sample ${Math.floor(wrong / dimension)} is ${data[wrong]!}`);
  return { count: shape[0]!, dimension, rows: data instanceof Float32Array ? data : Float32Array.from(data) };
}

function recordOf(about: Tensor | undefined): StatisticsRecord | null {
  if (!(about?.data instanceof Uint8Array)) return null;
  try {
    const record = JSON.parse(new TextDecoder().decode(about.data)) as Partial<StatisticsRecord>;
    return typeof record.extractor === 'string' && typeof record.count === 'number' ? record as StatisticsRecord : null;
  } catch {
    return null;
  }
}

/** Writes statistics, complete or not at all. */
export async function writeStatistics(path: string, { gaussian: { mean, covariance }, features, about }: FeatureStatistics): Promise<void> {
  const d = mean.length;
  const kept = features && features.rows.byteLength <= mostFeatureBytes ? features : null;
  const text = new TextEncoder().encode(JSON.stringify(about));
  await writeNpz(path, new Map<string, Tensor>([
    ['mu', { shape: [d], data: mean }],
    ['sigma', { shape: [d, d], data: covariance.data }],
    ...(kept ? [['features', { shape: [kept.count, d], data: kept.rows }] as const] : []),
    ['about', { shape: [text.length], data: text }],
  ]));
}
