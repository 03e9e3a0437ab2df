/** Ranges of the values of images: of data sets, image files and extractors always [−1, 1], of an imported bundle any. */
import type { FloatTensor } from '@ratioflow/sdk';

/** What black and white are. */
export type ValueRange = readonly [low: number, high: number];

/** Of everything but bundles. */
export const symmetricRange: ValueRange = [-1, 1];

/** Images [N, C, H, W] in another range, computed in double and rounded once. Points, and images where both ranges are equal, are returned as they are. */
export function rescale(samples: FloatTensor, [fromLow, fromHigh]: ValueRange, [low, high]: ValueRange): FloatTensor {
  if (samples.shape.length !== 4 || (fromLow === low && fromHigh === high)) return samples;
  return { shape: samples.shape, data: samples.data.map((value) => (value - fromLow) / (fromHigh - fromLow) * (high - low) + low) };
}
