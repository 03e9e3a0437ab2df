/** Translation from samples that a user names to files. */
import { filmFormat, filmStrip, finiteWarnings, notFinite, outputFormat, refuseInputs, sampleFile, saveFilm, savePng, saveSamples, writeNpy, type PictureOptions } from '@ratioflow/node';
import { ArgumentError, type FloatTensor, type Model } from '@ratioflow/sdk';
import { translate, type TranslationOptions } from '@ratioflow/sdk/applications';
import type { Judge } from './judge.js';
import { partsOf, type SampleSource } from '../data/sample-source.js';

export interface TranslateFilesOptions extends TranslationOptions {
  /** The first so many images. */
  readonly count: number;
  /** `.png` grid, `.npy`, or a folder. */
  readonly out: string;
  /** Also a picture of the first images beside their translations. */
  readonly pairs?: string;
  /** Classifies every translation. */
  readonly judge?: Judge;
  readonly picture: PictureOptions;
}

/** What was written, and on which provider it was made. */
export interface FilesResult {
  readonly files: readonly string[];
  readonly provider: string;
  readonly warnings: readonly string[];
  /** What the judge takes each translation for. */
  readonly verdicts?: readonly number[];
}

/** Images in the picture of pairs. */
const shown = 64;
/** Images read together before the work. */
const checkedTogether = 256;

/**
 * Translates the first images of a source into files. A folder is filled batch by batch; an array or a grid is written whole at the
 * end. The result is the same in any batch.
 * @throws {ArgumentError} before the work, for an output that cannot be or an image that does not fit; when no translation is finite
 */
export async function translateFiles(model: Model, source: SampleSource, { count, out, pairs, judge, picture, ...options }: TranslateFilesOptions): Promise<FilesResult> {
  const { sampleShape } = model.manifest;
  const format = await outputFormat(out, sampleShape);
  if (pairs !== undefined && await outputFormat(pairs, sampleShape) !== 'png') throw new ArgumentError(`The picture of pairs ${pairs} must end in .png.`);
  await refuseInputs([...(format === 'folder' ? Array.from({ length: count }, (_, i) => sampleFile(out, i)) : [out]), ...(pairs === undefined ? [] : [pairs])], 'Translations', source.files);
  // Every image is read once before the work: one that does not fit must not leave a folder half filled.
  for (let first = 0; first < count; first += checkedTogether) await source.read(first, Math.min(checkedTogether, count - first));
  const length = sampleShape.reduce((a, b) => a * b, 1);
  const whole = format === 'folder' ? undefined : new Float32Array(count * length);
  const beside: Float32Array[] = [];
  const files: string[] = [];
  const verdicts: number[] = [];
  const diverged: number[] = [];
  let [provider, warnings]: [string, readonly string[]] = ['', []];
  for await (const { source: images, translated, first, statistics } of translate(model, firstOf(source, count), options)) {
    ({ provider, warnings } = statistics);
    const found = notFinite(translated).map((n) => first + n);
    diverged.push(...found);
    // A batch of which nothing is finite ends the work before it is written.
    finiteWarnings(found, translated.shape[0]!);
    if (judge) verdicts.push(...await judge.classify(translated));
    if (whole) whole.set(translated.data, first * length);
    else files.push(...await saveSamples(out, translated, { ...picture, first }));
    for (let i = 0; i < images.shape[0]! && beside.length < 2 * shown; i++) for (const { data } of [images, translated]) beside.push(data.slice(i * length, (i + 1) * length));
  }
  const tensor = { shape: [count, ...sampleShape], data: whole ?? new Float32Array() };
  if (format === 'npy') await writeNpy(out, tensor);
  if (format === 'png') await savePng(out, tensor, picture);
  if (pairs !== undefined) {
    const data = new Float32Array(beside.length * length);
    beside.forEach((image, i) => data.set(image, i * length));
    // Eight pairs in a row, rules between them.
    await savePng(pairs, { shape: [beside.length, ...sampleShape], data }, { ...picture, columns: 16, rules: [2, 4, 6, 8, 10, 12, 14].filter((rule) => rule <= beside.length) });
  }
  return { files: [...(whole ? [out] : files), ...(pairs === undefined ? [] : [pairs])], provider, warnings: [...warnings, ...finiteWarnings(diverged, count)], ...(judge && { verdicts }) };
}

/** The flow of the first images as a film. @throws as `saveFilm` and `translate` */
export async function filmTranslation(model: Model, source: SampleSource, { count, out, picture, frames, onProgress, ...settings }: Omit<TranslateFilesOptions, 'pairs' | 'judge' | 'batch' | 'onProgress'> & { readonly frames?: number; readonly onProgress?: (step: number, of: number) => void }): Promise<FilesResult> {
  await filmFormat(out, model.manifest.sampleShape);
  await refuseInputs([out], 'The film', source.files);
  if (model.manifest.prior.kind !== 'source') throw new ArgumentError(`${model.manifest.name} starts from its prior (${model.manifest.prior.kind}), not from images.`);
  const film = await filmStrip(model, { ...settings, ...(frames !== undefined && { frames }), x0: await source.read(0, count), ...(onProgress && { onFrame: onProgress }) });
  const warnings = [...film.statistics.warnings, ...finiteWarnings(notFinite(film.strip), count)];
  await saveFilm(out, film, picture);
  return { files: [out], provider: film.statistics.provider, warnings };
}

async function* firstOf(source: SampleSource, count: number): AsyncGenerator<FloatTensor> {
  yield* partsOf({ ...source, size: Math.min(count, source.size) });
}
