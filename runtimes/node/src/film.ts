/**
 * Film strips: the same samples at several moments of the flow.
 */
import { ArgumentError } from '@ratioflow/sdk';
import type { FlowSettings, Model, Statistics, Tensor } from '@ratioflow/sdk';

/** Options of `filmStrip`. */
export interface FilmOptions extends FlowSettings {
  /** Frames at most, the prior and the samples among them, evenly spaced. @default 12 */
  readonly frames?: number;
  /** Called after every frame with the steps done. */
  readonly onFrame?: (step: number, of: number) => void;
}

/** A film strip. */
export interface Film {
  /** [count, frames, …sample shape]: a row for every sample, from its prior to the sample itself. */
  readonly strip: Tensor;
  /** Steps done at each frame. */
  readonly steps: readonly number[];
  readonly statistics: Statistics;
}

/** Follows samples from the prior to the end. @throws as `Model.flow` */
export async function filmStrip(model: Model, { frames = 12, onFrame, ...settings }: FilmOptions = {}): Promise<Film> {
  if (!Number.isSafeInteger(frames) || frames < 2) throw new ArgumentError(`frames is ${frames}; allowed: an integer from 2.`);
  const of = (settings.K ?? model.manifest.K) + (settings.kappa ?? model.manifest.kappa);
  const flow = model.flow({ ...settings, every: Math.max(1, Math.ceil(of / (frames - 1))) });
  const steps: number[] = [];
  const moments: Float32Array[] = [];
  for (let next = await flow.next(); ; next = await flow.next()) {
    if (next.done === true) return { strip: transpose(moments, model.manifest.sampleShape), steps, statistics: next.value };
    steps.push(next.value.step);
    moments.push(next.value.x.data);
    onFrame?.(next.value.step, of);
  }
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
