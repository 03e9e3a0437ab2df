/**
 * Log ratios of samples that a user names: table, ranking, detection of what is no data, and how far the ratio may be believed.
 */
import { checkOutputFile, open, refuseInputs, savePng, writeFileAtomic, type PictureOptions } from '@ratioflow/node';
import { ArgumentError, type Model, type Seed } from '@ratioflow/sdk';
import { rank, score } from '@ratioflow/sdk/applications';
import { auc, ratioCalibration, roc, twoSampleTest, type RatioCalibration, type Roc, type TwoSampleTest } from '../evaluation/two-sample.js';
import { rocChart } from '../pictures/roc-chart.js';
import { cell } from './neighbour-files.js';
import { reliability, type ReliabilityBin } from './reliability.js';
import { openSampleSource, partsOf, type SampleSource } from '../data/sample-source.js';

export interface ScoreReportOptions {
  /** Folder, zip file or URL of the bundle, and how it is opened. */
  readonly bundle: string;
  readonly engine?: Parameters<typeof open>[1];
  /** As `openSampleSource` takes them. */
  readonly images: readonly string[];
  /** Data that detection takes as in order: the ROC curve is that of `images` against them. */
  readonly against?: string;
  /** Compare the images, which must be data that were not trained on, with as many samples of this seed. */
  readonly calibrate?: { readonly seed: Seed };
  /** Files to write: `.csv` or `.json`. */
  readonly table?: string;
  /** `.png`: on the left those most like data, on the right those least. */
  readonly ranking?: string;
  /** `.png` of the ROC curve; needs `against`. */
  readonly roc?: string;
  readonly picture?: PictureOptions;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, of: number) => void;
}

/** How well log q/p alone tells one set from data. */
export interface Detection extends Roc {
  readonly name: string;
  /** Area under the curve: a higher log ratio means less like data. */
  readonly auc: number;
  /** Part of the data that is called strange by the threshold that finds 95 % of the strange. */
  readonly falsePositivesAt95: number;
}

/** Calibration on held-out data and fresh samples. */
export interface ScoreCalibration extends RatioCalibration {
  readonly test: TwoSampleTest;
  /** P(log q/p of a sample > that of a datum). */
  readonly auc: number;
  /** Mean |predicted − observed share of samples| over the bins. */
  readonly error: number;
  readonly bins: readonly ReliabilityBin[];
}

export interface ScoreReport {
  readonly name: string;
  readonly logRatio: Float32Array;
  readonly detection?: Detection;
  readonly calibration?: ScoreCalibration;
  readonly provider: string;
  readonly files: readonly string[];
  readonly warnings: readonly string[];
}

/** Images on each side of the picture of a ranking. */
const [across, down] = [8, 8];

/** @throws {ArgumentError} before anything is computed, for outputs that cannot be; as `openSampleSource` and `open` */
export async function scoreReport(options: ScoreReportOptions): Promise<ScoreReport> {
  const { table, ranking, against, roc: rocFile, calibrate, picture, signal, onProgress } = options;
  const outputs = await checkOutputs(options);
  const model = await open(options.bundle, options.engine ?? {});
  const sources: SampleSource[] = [];
  try {
    const { sampleShape, valueRange, prior, guidance } = model.manifest;
    if (calibrate && prior.kind === 'source') throw new ArgumentError(`${options.bundle} starts from images of another domain, and draws no samples by itself to calibrate with: translate some, and compare the scores of both with against.`);
    if (ranking !== undefined && (sampleShape.length !== 3 || ![1, 3].includes(sampleShape[0]!))) throw new ArgumentError(`Samples of [${sampleShape.join(', ')}] are no images: there is no picture of their ranking.`);
    const opened = async (paths: readonly string[]): Promise<SampleSource> => {
      const source = await openSampleSource(paths, sampleShape, valueRange);
      sources.push(source);
      return source;
    };
    const images = await opened(options.images);
    if (images.size < 2 && (ranking !== undefined || calibrate)) throw new ArgumentError(`${images.name} holds ${images.size} image; ${calibrate ? 'a calibration, whose errors come from the spread of values,' : 'a ranking'} needs at least 2.`);
    const reference = against === undefined ? undefined : await opened([against]);
    await refuseInputs(outputs, 'Scores', sources.flatMap(({ files: read }) => read));
    const total = images.size + (reference?.size ?? 0) + (calibrate ? images.size : 0);
    let before = 0;
    const scoreAll = async (source: SampleSource): Promise<Float32Array> => {
      const values = await score(model, partsOf(source), { ...(signal && { signal }), onProgress: (done) => onProgress?.(before + done, total) });
      before += source.size;
      return values;
    };
    const logRatio = await scoreAll(images);
    const detection = reference && detectionOf(reference.name, logRatio, await scoreAll(reference));
    const calibration = calibrate && calibrationOf(logRatio, await sampleScores(model, calibrate.seed, images.size, signal, (done) => onProgress?.(before + done, total)));
    const files: string[] = [];
    if (ranking !== undefined) files.push(await saveRanking(ranking, images, logRatio, { valueRange: valueRange ?? [-1, 1], ...picture }));
    if (rocFile !== undefined) {
      await writeFileAtomic(rocFile, (await rocChart({ curves: [{ ...detection!, name: images.name }], title: 'Detection by log q/p', subtitle: `against ${detection!.name}` })).png);
      files.push(rocFile);
    }
    const classless = guidance && calibrate ? [`${options.bundle} is guided by a classifier, and its samples to calibrate with are drawn without a class, as if it were not.`] : [];
    const report = { name: images.name, logRatio, ...(detection && { detection }), ...(calibration && { calibration }), provider: model.runtime.name, warnings: [...model.runtime.warnings, ...classless] };
    if (table !== undefined) {
      await writeFileAtomic(table, /\.csv$/i.test(table) ? csvOf(images, logRatio) : jsonOf(model, images, report));
      files.push(table);
    }
    return { ...report, files };
  } finally {
    for (const source of sources) await source.close();
    await model.dispose();
  }
}

/** The files that are to be written. */
async function checkOutputs({ table, ranking, roc: rocFile, against }: ScoreReportOptions): Promise<string[]> {
  const outputs: string[] = [];
  for (const [what, path, endings] of [['The table', table, ['.csv', '.json']], ['The picture of the ranking', ranking, ['.png']], ['The picture of the ROC curve', rocFile, ['.png']]] as const) {
    if (path === undefined) continue;
    await checkOutputFile(path, what, endings, []);
    outputs.push(path);
  }
  if (rocFile !== undefined && against === undefined) throw new ArgumentError('A ROC curve needs data to compare with: name them with against.');
  return outputs;
}

/** Detection of `strange` among `data`: higher log ratios are called strange. */
export function detectionOf(name: string, strange: ArrayLike<number>, data: ArrayLike<number>): Detection {
  const curve = roc(strange, data);
  return { name, ...curve, auc: auc(curve), falsePositivesAt95: curve.falsePositives[curve.truePositives.findIndex((part) => part >= 0.95)]! };
}

/** @param onData log q/p of data that were not trained on @param onSamples of samples of the model */
export function calibrationOf(onData: Float32Array, onSamples: Float32Array): ScoreCalibration {
  const bins = reliability(onData, onSamples);
  const total = onData.length + onSamples.length;
  return {
    ...ratioCalibration(onData, onSamples), test: twoSampleTest(onSamples, onData), auc: auc(roc(onSamples, onData)),
    error: bins.reduce((sum, { predicted, observed, data, samples }) => sum + ((data + samples) / total) * Math.abs(predicted - observed), 0), bins,
  };
}

async function sampleScores(model: Model, seed: Seed, count: number, signal: AbortSignal | undefined, onProgress: (done: number) => void): Promise<Float32Array> {
  const values = new Float32Array(count);
  for (let first = 0; first < count; first += 256) {
    const size = Math.min(256, count - first);
    const { samples } = await model.sample({ seed, first, count: size, ...(signal && { signal }) });
    values.set(await score(model, samples), first);
    onProgress(first + size);
  }
  return values;
}

async function saveRanking(path: string, source: SampleSource, values: Float32Array, picture: PictureOptions): Promise<string> {
  const order = rank(values);
  const side = Math.min(across * down, Math.floor(order.length / 2));
  const [best, worst] = [order.slice(0, side), order.slice(-side).reverse()];
  const columns = Math.min(across, side);
  const rows = Math.floor(side / columns);
  const length = source.sampleShape.reduce((a, b) => a * b, 1);
  const data = new Float32Array(2 * rows * columns * length);
  for (let row = 0; row < rows; row++) {
    for (const [half, part] of [best, worst].entries()) {
      for (let column = 0; column < columns; column++) data.set((await source.read(part[row * columns + column]!, 1)).data, ((row * 2 + half) * columns + column) * length);
    }
  }
  await savePng(path, { shape: [2 * rows * columns, ...source.sampleShape], data }, { ...picture, columns: 2 * columns, rules: [columns] });
  return path;
}

function csvOf(source: SampleSource, values: Float32Array): string {
  const places = new Map(rank(values).map((index, place) => [index, place + 1]));
  const lines = Array.from(values, (value, i) => [i, cell(source.nameOf(i)), source.labels?.[i] ?? '', value, places.get(i)].join(','));
  return `${['index,name,label,logRatio,rank', ...lines].join('\n')}\n`;
}

function jsonOf({ manifest }: Model, source: SampleSource, { logRatio, detection, calibration, provider }: Omit<ScoreReport, 'files'>): string {
  const { ratio } = { ratio: manifest.files['ratio.onnx']?.sha256 };
  const content = {
    bundle: { name: manifest.name, pairing: manifest.pairing, ratio }, runtime: provider, images: source.name, count: source.size,
    ...(detection && { detection: { ...detection, thresholds: undefined, falsePositives: undefined, truePositives: undefined } }), ...(calibration && { calibration }),
    scores: Array.from(logRatio, (value, index) => ({ index, name: source.nameOf(index), ...(source.labels && { label: source.labels[index] }), logRatio: value })),
  };
  return `${JSON.stringify(content, null, 1)}\n`;
}
