/**
 * Interpolations to files.
 */
import type { Interpolation } from '@ratioflow/sdk/applications';
import { saveAnimation } from './animation.js';
import type { AnimationOptions } from './animation.js';
import { filmFormat, framesAt } from './film.js';
import { savePng } from './image.js';
import { writeNpy } from './npy-file.js';

/** Options of `saveInterpolation`. */
export interface InterpolationPictureOptions extends Omit<AnimationOptions, 'columns' | 'rules'> {
  /** Show the prior and x_K beside every sample: both stages of sampling. @default false */
  readonly stages?: boolean;
}

/**
 * Writes paths: `.png`, a row for every path (with `stages` three: prior, end of bridging, sample); `.gif` or `.webp`, all paths
 * at once, there and back; `.npy`, [paths, frames, …sample shape] (with `stages` [3, paths, frames, …]).
 * @throws {ArgumentError} for another ending, or samples that are no images where a picture is asked for
 */
export async function saveInterpolation(path: string, { samples, prior, bridged }: Interpolation, { stages = false, ...picture }: InterpolationPictureOptions = {}): Promise<void> {
  const parts = stages ? [prior, bridged, samples] : [samples];
  const [paths, frames, ...sampleShape] = samples.shape as [number, number, ...number[]];
  const elements = samples.data.length / (paths * frames);
  /** The paths of all parts, path by path: [paths · parts, frames, …]. */
  const rows = (): Float32Array => {
    const out = new Float32Array(parts.length * samples.data.length);
    const row = frames * elements;
    for (let p = 0; p < paths; p++) parts.forEach(({ data }, part) => out.set(data.subarray(p * row, (p + 1) * row), (p * parts.length + part) * row));
    return out;
  };
  const format = await filmFormat(path, sampleShape);
  if (format === 'npy') {
    const data = new Float32Array(parts.length * samples.data.length);
    parts.forEach((part, i) => data.set(part.data, i * samples.data.length));
    await writeNpy(path, { shape: stages ? [3, ...samples.shape] : samples.shape, data });
  } else if (format === 'png') {
    await savePng(path, { shape: [paths * parts.length * frames, ...sampleShape], data: rows() }, { ...picture, columns: frames });
  } else {
    const all = { shape: [paths * parts.length, frames, ...sampleShape], data: rows() };
    const columns = stages ? { columns: 3, rules: [1, 2] } : {};
    await saveAnimation(path, Array.from({ length: frames }, (_, f) => framesAt(all, f)), { rest: 500, back: true, ...picture, ...columns });
  }
}
