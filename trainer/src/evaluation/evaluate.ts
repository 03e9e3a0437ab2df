/** Figures of generated samples against a reference, with a manifest of everything that they depend on. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ProviderName } from '@ratioflow/node';
import { ArgumentError, type Seed } from '@ratioflow/sdk';
import { extract, extractCached, extractRefined, statisticsCache, type ExtractionOptions } from './extract.js';
import { openExtractor, type Extractor } from './extractor.js';
import type { Features } from './features.js';
import { frechetDistance, type FrechetDistance, type Gaussian } from './frechet-distance.js';
import { deviationOf, kernelDistance, meanOf, type KernelDistance } from './kernel-distance.js';
import { manifoldFigures, type ManifoldFigures } from './manifold.js';
import { createMatrixProducts, type MatrixProducts } from './matrix-products.js';
import { openSubject, type FlowSchedule } from './subject.js';
import { readStatistics, writeStatistics, type FeatureStatistics } from './statistics-file.js';

export interface EvaluateOptions {
  /** What is judged: a bundle, which generates, or anything that `openSubject` takes. */
  readonly subject: string;
  /** What it is compared with: statistics (`.npz`), or anything that `openSubject` takes. Without one, `save` only is done. */
  readonly reference?: string | undefined;
  /** A model `.onnx` with its description, a description, `digits` (built in, trained on first use), or `raw`. */
  readonly extractor: string;
  /** Samples in each repetition. @default 10,000 of a bundle, else all */
  readonly count?: number | undefined;
  /** Index of the first sample. @default 0 */
  readonly first?: number | undefined;
  /** Repetition r takes the samples `first + r · count …`: each figure then comes with mean and deviation. @default 1 */
  readonly repeats?: number | undefined;
  /** Of a bundle's samples. @default 0 */
  readonly seed?: Seed | undefined;
  /** Schedule of the subject's flow, which must be a bundle's then. @default the bundle's */
  readonly flow?: FlowSchedule | undefined;
  /** Samples of the reference that are used, from its first. @default all; 50,000 of one without end */
  readonly referenceCount?: number | undefined;
  /** Of the kernel distance. @default 100 subsets of 1,000 */
  readonly subsets?: number | undefined;
  readonly subsetSize?: number | undefined;
  /** k of precision and recall. @default 3 */
  readonly neighbours?: number | undefined;
  /** Most features of each set that precision, recall, density and coverage look at, from the first, as many of both: their cost grows with the square. @default 10,000 */
  readonly manifoldSamples?: number | undefined;
  /** Extractor (torchvision's Inception) of a second Fréchet distance by the official code's protocol: values not rounded to bytes. */
  readonly fdrlCompat?: string | undefined;
  /** Its reference, where `reference` is statistics of the other extractor. @default reference */
  readonly fdrlReference?: string | undefined;
  /** Statistics of the first repetition are written here, as `.npz`. */
  readonly save?: string | undefined;
  readonly providers?: readonly ProviderName[] | undefined;
  readonly threads?: number | undefined;
  /** Folder of statistics that have been computed; false keeps none. @default `evaluation` in the cache folder */
  readonly cache?: string | false | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Samples whose features are done, of how many where that is known. */
  readonly onProgress?: ((done: number, total: number | null) => void) | undefined;
  readonly onMessage?: ((message: string) => void) | undefined;
}

/** Mean of a figure over the repetitions, and its standard deviation (divisor n − 1; null for one). */
export interface Figure {
  readonly mean: number;
  readonly deviation: number | null;
  readonly values: readonly number[];
}

/** What one range of samples gives. */
export interface RangeFigures {
  readonly first: number;
  readonly count: number;
  /** SHA-256 of the samples' values. */
  readonly samples: string;
  readonly frechet: FrechetDistance;
  /** null against statistics without features. */
  readonly kernel: KernelDistance | null;
  readonly manifold: ManifoldFigures | null;
  /** Of the protocol `fdrl-compat`, on request. */
  readonly fdrlCompat: FrechetDistance | null;
}

export interface Evaluation {
  /** `frechetDistance`, `kernelDistance`, `precision`, `recall`, `density`, `coverage`, `fdrl-compat`, as far as there are. */
  readonly figures: Readonly<Record<string, Figure>>;
  readonly ranges: readonly RangeFigures[];
  readonly warnings: readonly string[];
  /** Everything that the figures depend on, as JSON. */
  readonly manifest: Readonly<Record<string, unknown>>;
}

const defaultBundleCount = 10_000;
const defaultComputedCount = 50_000;
/** With fewer the covariance of Inception's 2,048 features lacks rank, and the Fréchet distance is strongly biased. */
const fewSamples = 2048;

/**
 * Evaluates samples.
 * @throws {ArgumentError | ConfigError | FormatError | BundleError} naming both sides of what does not fit; nothing has been written then
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  return (await evaluateEach(options, null))[0]!;
}

/** The evaluation of a bundle's samples after each of these numbers of refinement steps, rising, from one flow; null: of whatever the subject is. */
export async function evaluateEach(options: EvaluateOptions, kappas: readonly number[] | null): Promise<Evaluation[]> {
  const { first = 0, repeats = 1, onProgress } = options;
  for (const [name, value, least] of [['count', options.count, 2], ['first', first, 0], ['repeats', repeats, 1], ['referenceCount', options.referenceCount, 2], ['manifoldSamples', options.manifoldSamples, 2]] as const) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= least)) throw new ArgumentError(`${name} is ${value}; allowed: an integer from ${least}.`);
  }
  if (options.reference === undefined && options.save === undefined) throw new ArgumentError('Without a reference there is nothing to compare with: give one, or a file to save the statistics in.');
  if (options.fdrlCompat !== undefined && options.reference === undefined) throw new ArgumentError('fdrl-compat is a distance from a reference: give one.');
  const opened: (() => Promise<void>)[] = [];
  const keep = <T>(resource: T, close: () => Promise<void>): T => {
    opened.push(close);
    return resource;
  };
  try {
    const products = await createMatrixProducts(options.threads);
    keep(products, () => products.dispose());
    const extractor = await openExtractor(options.extractor, options);
    keep(extractor, () => extractor.dispose());
    const compat = options.fdrlCompat === undefined ? null : await openExtractor(options.fdrlCompat, { ...options, quantise: false });
    if (compat) keep(compat, () => compat.dispose());
    const source = await openSubject(options.subject, { ...options, channels: extractor.channels });
    keep(source, () => source.close());
    if (source.kind !== 'bundle' && (kappas || Object.keys(options.flow ?? {}).length > 0)) throw new ArgumentError(`${options.subject} is no bundle, so it has no flow whose steps could be set.`);
    const count = options.count ?? (source.kind === 'bundle' ? defaultBundleCount : repeats === 1 && source.kind !== 'data set' ? Infinity : source.size === null ? defaultComputedCount : Math.floor((source.size - first) / repeats));
    if (!Number.isFinite(count) && repeats > 1) throw new ArgumentError(`${repeats} repetitions need a count of samples for each.`);
    const extraction: ExtractionOptions = { products, signal: options.signal, onMessage: options.onMessage };
    const [reference, compatReference] = [await referenceOf(options.reference, extractor, options, extraction), compat && await referenceOf(options.fdrlReference ?? options.reference, compat, options, extraction)];
    const total = Number.isFinite(count) ? count * repeats : source.size;
    const extractors = compat ? [extractor, compat] : [extractor];
    const ranges = (kappas ?? [null]).map((): RangeFigures[] => []);
    let toSave: FeatureStatistics | undefined;
    for (let range = 0; range < repeats; range++) {
      // The count may be infinite: all that there are.
      const done = range === 0 ? 0 : range * count;
      const progress = { ...extraction, onProgress: (n: number) => onProgress?.(done + n, total) };
      const stages = kappas ? await extractRefined(source, kappas, extractors, first + done, count, progress) : [await extract(source, extractors, first + done, count, progress)];
      if (range === 0) toSave = stages[0]![0];
      for (const [stage, [own, ownCompat]] of stages.entries()) {
        if (reference) ranges[stage]!.push(await figuresOf(products, own!, reference, ownCompat, compatReference, options));
      }
    }
    if (toSave && options.save !== undefined) await writeStatistics(options.save, toSave);
    return ranges.map((list, stage) => summary(options, list, extractor, compat, reference, compatReference, { kind: source.kind, name: source.name, ...source.facts, ...(kappas && { kappa: kappas[stage] }) }));
  } finally {
    for (const close of opened.reverse()) await close();
  }
}

async function referenceOf(text: string | undefined, extractor: Extractor, { referenceCount, cache = statisticsCache(), seed, providers, threads, onMessage }: EvaluateOptions, extraction: ExtractionOptions): Promise<FeatureStatistics | null> {
  if (text === undefined) return null;
  if (/\.npz$/i.test(text)) {
    const statistics = await readStatistics(text);
    if (statistics.about && statistics.about.extractor !== extractor.sha256) {
      throw new ArgumentError(`${text} was made with another extractor (hash ${statistics.about.extractor.slice(0, 12)}) than ${extractor.name} (${extractor.sha256.slice(0, 12)}): use that one, or make the statistics anew.`);
    }
    return statistics;
  }
  const source = await openSubject(text, { seed, providers, threads, onMessage, channels: extractor.channels });
  try {
    const count = referenceCount ?? (source.kind === 'bundle' ? defaultBundleCount : source.size ?? (source.kind === 'data set' ? defaultComputedCount : Infinity));
    return await extractCached(source, extractor, 0, count, cache, extraction);
  } finally {
    await source.close();
  }
}

async function figuresOf(products: MatrixProducts, own: FeatureStatistics, reference: FeatureStatistics, ownCompat: FeatureStatistics | undefined, compatReference: FeatureStatistics | null, options: EvaluateOptions): Promise<RangeFigures> {
  const { manifoldSamples = 10_000, subsets, subsetSize, neighbours } = options;
  const [mine, theirs] = [own.gaussian.mean.length, reference.gaussian.mean.length];
  if (mine !== theirs) throw new ArgumentError(`The extractor ${options.extractor} makes ${mine} features, the reference ${options.reference!} has ${theirs}: use the extractor that it was made with.`);
  const features = own.features!;
  const frechet = await frechetDistance(products, own.gaussian, reference.gaussian, [options.subject, options.reference!]);
  const fdrlCompat = ownCompat && compatReference ? await frechetDistance(products, ownCompat.gaussian, compatReference.gaussian, [options.subject, options.fdrlReference ?? options.reference!]) : null;
  const base = { first: Number(own.about!.source['first']), count: own.about!.count, samples: own.about!.samples, frechet, fdrlCompat };
  if (!reference.features) return { ...base, kernel: null, manifold: null };
  // As many of both: coverage, for one, has no meaning for sets of other sizes.
  const most = Math.min(features.count, reference.features.count, manifoldSamples);
  const head = (all: Features): Features => ({ ...all, count: most, rows: all.rows.subarray(0, most * all.dimension) });
  return {
    ...base,
    kernel: await kernelDistance(products, reference.features, features, { subsets, subsetSize }),
    manifold: most < 6 ? null : await manifoldFigures(products, head(reference.features), head(features), { neighbours }),
  };
}

/** SHA-256 of mean and covariance in double: names statistics whoever wrote them. */
const hashOf = ({ mean, covariance }: Gaussian): string => createHash('sha256').update(new Uint8Array(mean.buffer, mean.byteOffset, mean.byteLength)).update(new Uint8Array(covariance.data.buffer, covariance.data.byteOffset, covariance.data.byteLength)).digest('hex');

const own = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };

function summary(options: EvaluateOptions, ranges: readonly RangeFigures[], extractor: Extractor, compat: Extractor | null, reference: FeatureStatistics | null, compatReference: FeatureStatistics | null, subject: Readonly<Record<string, unknown>>): Evaluation {
  const figures: Record<string, Figure> = {};
  const add = (name: string, value: (range: RangeFigures) => number | undefined): void => {
    const values = ranges.map(value);
    if (values.length === 0 || values.includes(undefined)) return;
    figures[name] = { mean: meanOf(values as number[]), deviation: values.length > 1 ? deviationOf(values as number[]) : null, values: values as number[] };
  };
  add('frechetDistance', ({ frechet }) => frechet.distance);
  add('kernelDistance', ({ kernel }) => kernel?.distance);
  for (const name of ['precision', 'recall', 'density', 'coverage'] as const) add(name, ({ manifold }) => manifold?.[name]);
  add('fdrl-compat', ({ fdrlCompat }) => fdrlCompat?.distance);
  const few = [...ranges.map(({ count }) => ['samples', count] as const), ['samples of the reference', reference?.about?.count ?? Infinity] as const].find(([, count]) => count < fewSamples);
  const warnings = [
    ...(few ? [`${few[1]} ${few[0]}: below ${fewSamples} the Fréchet distance is strongly biased upwards; compare only figures of equal counts.`] : []),
    ...(reference && !reference.features ? ['The reference holds no features, only mu and sigma: no kernel distance, precision or recall.'] : []),
    ...(reference && !reference.about ? ['The reference does not say which extractor made it; only its dimension could be checked.'] : []),
    ...extractor.warnings, ...(subject['warnings'] as readonly string[] | undefined ?? []),
  ];
  const aboutOf = (name: string | undefined, statistics: FeatureStatistics | null): unknown =>
    statistics && { name, dimension: statistics.gaussian.mean.length, gaussian: hashOf(statistics.gaussian), ...(statistics.about ?? { extractor: 'unknown' }) };
  const describe = ({ name, sha256, description, facts, provider, runtime }: Extractor): unknown => ({ name, sha256, ...facts, description, provider, runtime });
  return {
    figures, ranges, warnings: [...new Set(warnings)],
    manifest: {
      subject: { ...subject, ranges: ranges.map(({ first, count, samples }) => ({ first, count, samples })) },
      reference: aboutOf(options.reference, reference),
      extractor: describe(extractor),
      settings: {
        kernel: ranges[0]?.kernel ? { degree: 3, subsets: ranges[0].kernel.subsets, subsetSize: ranges[0].kernel.subsetSize } : null,
        neighbours: options.neighbours ?? 3, densityNeighbours: 5, manifoldSamples: options.manifoldSamples ?? 10_000, covarianceDivisor: 'n - 1',
      },
      ...(compat && { fdrlCompat: { protocol: 'values not rounded to bytes, reference not mirrored', extractor: describe(compat), reference: aboutOf(options.fdrlReference ?? options.reference, compatReference) } }),
      versions: { ratioflow: own.version, node: process.versions.node, matrices: 'float64, onnxruntime' },
    },
  };
}
