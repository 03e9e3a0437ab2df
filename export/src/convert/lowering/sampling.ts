/** Which elements of an axis TensorFlow's kernels pick, computed in float32 as they do. */
import { UnsupportedError } from '../../errors.js';

const f = Math.fround;

/** Where output position i of a resized axis samples: i · in/out, i · (in − 1)/(out − 1), or (i + ½) · in/out − ½. */
export type Grid = 'asymmetric' | 'align-corners' | 'half-pixel';

/** Indices that nearest-neighbour resizing picks. */
export function nearestIndices(extent: number, size: number, grid: Grid, where: string): number[] {
  if (size < 1 || size > 2 ** 20) throw new UnsupportedError(`${where}: resizing ${extent} to ${size} is not supported.`);
  const aligned = grid === 'align-corners' && size > 1;
  const scale = f(aligned ? (extent - 1) / (size - 1) : extent / size);
  return Array.from({ length: size }, (_, index) => {
    const position = f((grid === 'half-pixel' ? index + 0.5 : index) * scale);
    return Math.min(extent - 1, grid === 'align-corners' ? Math.round(position) : Math.floor(position));
  });
}

/**
 * Indices that `cropAndResize` picks with method `nearest`: the box [margin, margin + size] / extent is spread over the
 * positions 0 … extent − 1, and rounded.
 */
export function croppedIndices(extent: number, size: number, margin: number, where: string): number[] {
  const [low, high] = [f(margin / extent), f((size + margin) / extent)];
  const scale = size > 1 ? f(f(f(high - low) * (extent - 1)) / (size - 1)) : 0;
  return Array.from({ length: size }, (_, index) => {
    const position = size > 1 ? f(f(low * (extent - 1)) + f(index * scale)) : f(0.5 * f(f(low + high) * (extent - 1)));
    // The kernels leave positions outside the image black.
    if (position < 0 || position > extent - 1) throw new UnsupportedError(`${where}: cropping ${extent} to ${size} reaches outside the image, which is not supported.`);
    return Math.round(position);
  });
}
