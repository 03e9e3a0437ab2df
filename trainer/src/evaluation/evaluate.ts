/** Figures of generated samples against a reference, with a manifest of everything that they depend on. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { checkOutputFile, type ProviderName } from '@ratioflow/node';
import { ArgumentError, type Seed } from '@ratioflow/sdk';
import { extract, extractCached, extractRefined, statisticsCache, type ExtractionOptions } from './extract.js';
import { openExtractor, type Extractor } from './extractor.js';
import type { Features } from './features.js';
import { frechetDistance, type FrechetDistance, type Gaussian } from './frechet-distance.js';
import { deviationOf, kernelDistance, meanOf, type KernelDistance } from './kernel-distance.js';
import { manifoldFigures, type ManifoldFigures } from './manifold.js';
import { createMatrixProducts, type MatrixProducts } from './matrix-products.js';
import { semidefiniteFactor } from './semidefinite-factor.js';
import { openSubject, type FlowSchedule, type Subject } from './subject.js';
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
  /** Likewise; each of its figures is null where there are too few samples for its neighbours. */
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
/** k of precision and recall, and of density and coverage: as in their papers. */
const [defaultNeighbours, densityNeighbours] = [3, 5];

/**
 * Evaluates samples.
 * @throws {ArgumentError | ConfigError | FormatError | BundleError} naming both sides of what does not fit; nothing has been written then
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  return (await evaluateEach(options, null))[0]!;
}

/** The evaluation of a bundle's samples after each of these numbers of refinement steps, rising, from one flow; null: of whatever the subject is. */
export async function evaluateEach(options: EvaluateOptions, kappas: readonly number[] | null): Promise<Evaluation[]> {
  await checkOptions(options);
  const { first = 0, repeats = 1, onProgress } = options;
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
    checkSize(source, first, count, repeats);
    const extraction: ExtractionOptions = { products, signal: options.signal, onMessage: options.onMessage };
    const extractors = compat ? [extractor, compat] : [extractor];
    // Two samples tell whether the subject fits the extractors, before the time that the others and a reference take.
    const [dimension, compatDimension] = (await extract(source, extractors, first, 2, extraction)).map(({ gaussian }) => gaussian.mean.length);
    const reference = await referenceOf(options.reference, extractor, dimension!, options, extraction);
    const compatReference = compat && await referenceOf(options.fdrlReference ?? options.reference, compat, compatDimension!, options, extraction);
    checkCompared(options, Math.min(count, source.size ?? Infinity), reference);
    const total = Number.isFinite(count) ? count * repeats : source.size;
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

/** Refuses what is wrong whatever the files hold. */
async function checkOptions(options: EvaluateOptions): Promise<void> {
  const { subject, reference, extractor, fdrlCompat, fdrlReference, save } = options;
  const least = { count: 2, first: 0, repeats: 1, referenceCount: 2, subsets: 1, subsetSize: 2, neighbours: 1, manifoldSamples: 2 } as const;
  for (const name of Object.keys(least) as (keyof typeof least)[]) {
    const value = options[name];
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= least[name])) throw new ArgumentError(`${name} is ${value}; allowed: an integer from ${least[name]}.`);
  }
  if (reference === undefined && save === undefined) throw new ArgumentError('Without a reference there is nothing to compare with: give one, or a file to save the statistics in.');
  if (fdrlCompat !== undefined && reference === undefined) throw new ArgumentError('fdrl-compat is a distance from a reference: give one.');
  if (fdrlReference !== undefined && fdrlCompat === undefined) throw new ArgumentError(`${fdrlReference} is the reference of the distance fdrl-compat, which is not asked for: give its extractor (fdrlCompat), or leave the reference out.`);
  const references = [reference, fdrlReference].filter((text) => text !== undefined);
  if (options.referenceCount !== undefined && references.every(isStatistics)) throw new ArgumentError(`referenceCount is ${options.referenceCount}, but ${references.join(' and ') || 'no reference'} ${references.length > 0 ? 'holds statistics that are made already' : 'is given'}: leave it out, or name the samples themselves.`);
  if (save !== undefined) await checkOutputFile(save, 'The statistics', ['.npz'], [subject, reference, fdrlReference, extractor, fdrlCompat]);
}

const isStatistics = (text: string): boolean => /\.npz$/i.test(text);

/** Refuses ranges beyond the end of a source, where that is known. */
function checkSize({ name, size }: Subject, first: number, count: number, repeats: number): void {
  if (size === null || !Number.isFinite(count)) return;
  for (let from = first; from < first + repeats * count; from += count) {
    if (from + count > size) throw new ArgumentError(`${name} has ${Math.max(0, size - from)} samples from number ${from} on, ${count} were asked for.`);
  }
}

/** Samples of each side that precision, recall, density and coverage look at: as many of both, since coverage, for one, has no meaning for sets of other sizes. */
const compared = (options: EvaluateOptions, count: number, { features }: FeatureStatistics): number => Math.min(count, features!.count, options.manifoldSamples ?? 10_000);

/** Refuses subsets and neighbours for which there are too few samples. @param count samples; infinite where that is not known before they are read */
function checkCompared(options: EvaluateOptions, count: number, reference: FeatureStatistics | null): void {
  const { subsetSize, neighbours } = options;
  if (!reference?.features) return;
  const [smaller, most] = [Math.min(count, reference.features.count), compared(options, count, reference)];
  if (subsetSize !== undefined && subsetSize > smaller) throw new ArgumentError(`Subsets of ${subsetSize} samples were asked for; allowed: 2 to ${smaller}, the samples of the smaller set.`);
  if (neighbours !== undefined && neighbours >= most) throw new ArgumentError(`${neighbours} neighbours were asked for; allowed: 1 to ${most - 1}, one less than the samples of the smaller set.`);
}

/** @param dimension that the extractor's features have */
async function referenceOf(text: string | undefined, extractor: Extractor, dimension: number, options: EvaluateOptions, extraction: ExtractionOptions): Promise<FeatureStatistics | null> {
  if (text === undefined) return null;
  const statistics = await statisticsOf(text, extractor, options, extraction);
  const own = statistics.gaussian.mean.length;
  if (own !== dimension) throw new ArgumentError(`The extractor ${extractor.name} makes ${dimension} features, the reference ${text} has ${own}: use the extractor that it was made with.`);
  return statistics;
}

async function statisticsOf(text: string, extractor: Extractor, { referenceCount, cache = statisticsCache(), seed, providers, threads, onMessage }: EvaluateOptions, extraction: ExtractionOptions): Promise<FeatureStatistics> {
  if (isStatistics(text)) {
    const statistics = await readStatistics(text);
    // Found now with the file's name, and not once samples have been made to compare with it.
    await semidefiniteFactor(extraction.products, statistics.gaussian.covariance, `sigma of ${text}`);
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
  const { subsets, subsetSize } = options;
  const features = own.features!;
  const frechet = await frechetDistance(products, own.gaussian, reference.gaussian);
  const fdrlCompat = ownCompat && compatReference ? await frechetDistance(products, ownCompat.gaussian, compatReference.gaussian) : null;
  const base = { first: Number(own.about!.source['first']), count: own.about!.count, samples: own.about!.samples, frechet, fdrlCompat };
  if (!reference.features) return { ...base, kernel: null, manifold: null };
  const most = compared(options, features.count, reference);
  const head = (all: Features): Features => ({ ...all, count: most, rows: all.rows.subarray(0, most * all.dimension) });
  return {
    ...base,
    kernel: await kernelDistance(products, reference.features, features, { subsets, subsetSize }),
    manifold: await manifoldFigures(products, head(reference.features), head(features), { neighbours: options.neighbours ?? (most > defaultNeighbours ? defaultNeighbours : null), densityNeighbours: most > densityNeighbours ? densityNeighbours : null }),
  };
}

/** Why figures are missing that need neighbours. */
function tooFew({ count, manifold }: RangeFigures, options: EvaluateOptions, reference: FeatureStatistics | null): string[] {
  if (!manifold) return [];
  const most = compared(options, count, reference!);
  const missing = (figures: string, k: number): string => `No ${figures}: their ${k} neighbours need more than ${k} samples of each side, ${most} are compared.`;
  return [
    ...(manifold.precision === null ? [`${missing('precision and recall', defaultNeighbours)} Take more samples, or fewer neighbours.`] : []),
    ...(manifold.density === null ? [`${missing('density and coverage', densityNeighbours)} Take more samples.`] : []),
  ];
}

/** SHA-256 of mean and covariance in double: names statistics whoever wrote them. */
const hashOf = ({ mean, covariance }: Gaussian): string => createHash('sha256').update(new Uint8Array(mean.buffer, mean.byteOffset, mean.byteLength)).update(new Uint8Array(covariance.data.buffer, covariance.data.byteOffset, covariance.data.byteLength)).digest('hex');

const own = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };

function summary(options: EvaluateOptions, ranges: readonly RangeFigures[], extractor: Extractor, compat: Extractor | null, reference: FeatureStatistics | null, compatReference: FeatureStatistics | null, subject: Readonly<Record<string, unknown>>): Evaluation {
  const figures: Record<string, Figure> = {};
  const add = (name: string, value: (range: RangeFigures) => number | null | undefined): void => {
    const values = ranges.map(value);
    if (values.length === 0 || !values.every((one) => typeof one === 'number')) return;
    figures[name] = { mean: meanOf(values), deviation: values.length > 1 ? deviationOf(values) : null, values };
  };
  add('frechetDistance', ({ frechet }) => frechet.distance);
  add('kernelDistance', ({ kernel }) => kernel?.distance);
  for (const name of ['precision', 'recall', 'density', 'coverage'] as const) add(name, ({ manifold }) => manifold?.[name]);
  add('fdrl-compat', ({ fdrlCompat }) => fdrlCompat?.distance);
  const few = [...ranges.map(({ count }) => ['samples', count] as const), ...[reference, compatReference].map((one) => ['samples of the reference', one?.about?.count ?? Infinity] as const)].find(([, count]) => count < fewSamples);
  const [name, compatName] = [options.reference, options.fdrlReference ?? options.reference];
  const unknown = (file: string, by: Extractor): string => `${file} does not say which extractor made it; only its dimension could be checked against ${by.name}.`;
  const warnings = [
    ...(few ? [`${few[1]} ${few[0]}: below ${fewSamples} the Fréchet distance is strongly biased upwards; compare only figures of equal counts.`] : []),
    ...(reference && !reference.features ? [`${name!} holds no features, only mu and sigma: no kernel distance, precision or recall.`] : []),
    ...ranges.flatMap((range) => tooFew(range, options, reference)),
    ...(reference && !reference.about ? [unknown(name!, extractor)] : []),
    ...(compat && compatReference && !compatReference.about ? [unknown(compatName!, compat)] : []),
    ...extractor.warnings, ...(compat?.warnings ?? []), ...(subject['warnings'] as readonly string[] | undefined ?? []),
  ];
  const aboutOf = (name: string | undefined, statistics: FeatureStatistics | null): unknown =>
    statistics && { name, dimension: statistics.gaussian.mean.length, gaussian: hashOf(statistics.gaussian), ...(statistics.about ?? { extractor: 'unknown' }) };
  const describe = ({ name, sha256, description, facts, provider, runtime }: Extractor): unknown => ({ name, sha256, ...facts, description, provider, runtime });
  return {
    figures, ranges, warnings: [...new Set(warnings)],
    manifest: {
      subject: { ...subject, ranges: ranges.map(({ first, count, samples }) => ({ first, count, samples })) },
      reference: aboutOf(name, reference),
      extractor: describe(extractor),
      settings: {
        kernel: ranges[0]?.kernel ? { degree: 3, subsets: ranges[0].kernel.subsets, subsetSize: ranges[0].kernel.subsetSize } : null,
        neighbours: options.neighbours ?? defaultNeighbours, densityNeighbours, manifoldSamples: options.manifoldSamples ?? 10_000, covarianceDivisor: 'n - 1',
      },
      ...(compat && { fdrlCompat: { protocol: 'values not rounded to bytes, reference not mirrored', extractor: describe(compat), reference: aboutOf(compatName, compatReference) } }),
      versions: { ratioflow: own.version, node: process.versions.node, matrices: 'float64, onnxruntime' },
    },
  };
}
