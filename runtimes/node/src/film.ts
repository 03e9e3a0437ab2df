/**
 * Films: the same samples at several moments of the flow, side by side or one after the other.
 */
import { ArgumentError } from '@ratioflow/sdk';
import type { FlowSettings, Model, Statistics, Tensor } from '@ratioflow/sdk';
import { animationFormat, saveAnimation } from './animation.js';
import type { AnimationFormat, AnimationOptions } from './animation.js';
import { savePng } from './image.js';
import { writeNpy } from './npy-file.js';
import { outputFormat } from './save-samples.js';

/** Options of `filmStrip`. */
export interface FilmOptions extends FlowSettings {
  /** Frames at most, the prior and the samples among them, evenly spaced. @default 12 */
  readonly frames?: number;
  /** Called after every frame with the steps done. */
  readonly onFrame?: (step: number, of: number) => void;
}

/** A film strip. */
export interface Film {
  /** A row for every sample, from its prior to the sample itself: [count, frames, …sample shape]. */
  readonly strip: Tensor;
  /** Steps done at each frame. */
  readonly steps: readonly number[];
  /** Frames up to the end of bridging, the prior and x_K among them; those after it are refinement. 0: no frame at the end of bridging. */
  readonly bridged: number;
  readonly statistics: Statistics;
}

/**
 * Follows samples from the prior to the end. Frames are evenly spaced within each stage, and the end of bridging is one.
 * @throws as `Model.flow`
 */
export async function filmStrip(model: Model, { frames = 12, onFrame, ...settings }: FilmOptions = {}): Promise<Film> {
  if (!Number.isSafeInteger(frames) || frames < 2) throw new ArgumentError(`frames is ${frames}; allowed: an integer from 2.`);
  const K = settings.K ?? model.manifest.K;
  const of = K + (settings.kappa ?? model.manifest.kappa);
  const wanted = framesOf(K, of, frames);
  const flow = model.flow({ ...settings, every: Math.max(1, wanted.reduce(greatestDivisor)) });
  const steps: number[] = [];
  const moments: Float32Array[] = [];
  for (let next = await flow.next(); ; next = await flow.next()) {
    if (next.done === true) return { strip: transpose(moments, model.manifest.sampleShape), steps, bridged: steps.indexOf(K) + 1, statistics: next.value };
    if (!wanted.includes(next.value.step)) continue;
    steps.push(next.value.step);
    moments.push(next.value.x.data);
    onFrame?.(next.value.step, of);
  }
}

const greatestDivisor = (a: number, b: number): number => (b === 0 ? a : greatestDivisor(b, a % b));

/** Steps of at most `frames` frames: 0, K and `of` among them where there are three, both stages cut into equal parts. */
function framesOf(K: number, of: number, frames: number): number[] {
  const intervals = Math.min(frames - 1, of);
  const first = K === 0 || K === of || intervals < 2 ? (K === 0 ? 0 : intervals) : Math.min(intervals - 1, Math.max(1, Math.round((intervals * K) / of)));
  const end = first === intervals ? of : K;
  const steps = [0];
  for (let i = 1; i <= first; i++) steps.push(Math.round((i * end) / first));
  for (let i = 1; i <= intervals - first; i++) steps.push(end + Math.round((i * (of - end)) / (intervals - first)));
  return steps;
}

/**
 * What the path of a film or an interpolation asks for: one file of frames, by the end of its name in any case.
 * @throws {ArgumentError} for another ending, or a picture of samples that are no images
 */
export async function filmFormat(path: string, sampleShape: readonly number[]): Promise<'png' | 'npy' | AnimationFormat> {
  const moving = animationFormat(path);
  const format = moving ?? (/\.(png|npy)$/i.test(path) ? await outputFormat(path, sampleShape) : undefined);
  const isImage = sampleShape.length === 3;
  if (format === undefined || format === 'folder' || (format !== 'npy' && !isImage)) {
    throw new ArgumentError(`Frames of samples [${sampleShape.join(', ')}] are one file; the output ${path} must end in ${isImage ? '.png, .gif, .webp or ' : ''}.npy.`);
  }
  return format;
}

/**
 * Writes a film: `.png`, a row for every sample and a white rule between bridging and refinement; `.gif` or `.webp`, a grid
 * that moves; `.npy`, the strip [count, frames, …sample shape]. Complete or not at all.
 * @throws {ArgumentError} for another ending, or samples that are no images where a picture is asked for
 */
export async function saveFilm(path: string, { strip, steps, bridged }: Film, picture: AnimationOptions = {}): Promise<void> {
  const [count, frames, ...sampleShape] = strip.shape as [number, number, ...number[]];
  const format = await filmFormat(path, sampleShape);
  if (format === 'npy') await writeNpy(path, strip);
  else if (format === 'png') await savePng(path, { shape: [count * frames, ...sampleShape], data: strip.data }, { ...picture, columns: frames, rules: bridged > 0 ? [bridged] : [] });
  else await saveAnimation(path, steps.map((_, f) => framesAt(strip, f)), { milliseconds: 120, rest: 1200, ...picture });
}

/** Frame f of every row: [rows, frames, …shape] to [rows, …shape]. */
export function framesAt({ shape, data }: Tensor, f: number): Tensor {
  const [rows, frames, ...rest] = shape as [number, number, ...number[]];
  const elements = data.length / (rows * frames);
  const out = new Float32Array(rows * elements);
  for (let n = 0; n < rows; n++) out.set((data as Float32Array).subarray((n * frames + f) * elements, (n * frames + f + 1) * elements), n * elements);
  return { shape: [rows, ...rest], data: out };
}

/** Frames of all samples to samples of all frames. */
function transpose(moments: readonly Float32Array[], sampleShape: readonly number[]): Tensor {
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  const count = moments[0]!.length / elements;
  const data = new Float32Array(count * moments.length * elements);
  for (let n = 0; n < count; n++) {
    for (const [f, moment] of moments.entries()) data.set(moment.subarray(n * elements, (n + 1) * elements), (n * moments.length + f) * elements);
  }
  return { shape: [count, moments.length, ...sampleShape], data };
}
