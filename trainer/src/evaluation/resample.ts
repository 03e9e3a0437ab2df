/** Resizing of images by separable kernels, as PyTorch's `interpolate` (align_corners = False) and Pillow do it. */
import { ArgumentError } from '@ratioflow/sdk';

/** Kernels of extractors' descriptions. `bicubic` has a = −½ with `antialias`, as Pillow, and −¾ without, as PyTorch. */
export const resizeMethods = ['nearest', 'bilinear', 'bicubic', 'lanczos3'] as const;
export type ResizeMethod = (typeof resizeMethods)[number];

/** For each place of the result, where its window begins, and the weights inside. */
type Taps = readonly { readonly start: number; readonly weights: readonly number[] }[];

export interface Resizer {
  /** @param planes [planes, from height, from width] @returns [planes, to height, to width] */
  (planes: Float32Array): Float32Array;
}

/** Sums in double, rounded once. @param antialias widens the kernel to the pixels that become one, where images are made smaller */
export function resizer([height, width]: readonly [number, number], [toHeight, toWidth]: readonly [number, number], method: ResizeMethod, antialias: boolean): Resizer {
  if (height === toHeight && width === toWidth) return (planes) => planes;
  const [rows, columns] = [tapsOf(height, toHeight, method, antialias), tapsOf(width, toWidth, method, antialias)];
  return (planes) => {
    const count = planes.length / (height * width);
    if (!Number.isInteger(count)) throw new ArgumentError(`${planes.length} values are no images of ${height} × ${width}.`);
    const [result, wide] = [new Float32Array(count * toHeight * toWidth), new Float64Array(height * toWidth)];
    for (let plane = 0; plane < count; plane++) {
      const from = plane * height * width;
      for (let y = 0; y < height; y++) {
        columns.forEach(({ start, weights }, x) => {
          let sum = 0;
          for (let i = 0; i < weights.length; i++) sum += weights[i]! * planes[from + y * width + start + i]!;
          wide[y * toWidth + x] = sum;
        });
      }
      rows.forEach(({ start, weights }, y) => {
        for (let x = 0; x < toWidth; x++) {
          let sum = 0;
          for (let i = 0; i < weights.length; i++) sum += weights[i]! * wide[(start + i) * toWidth + x]!;
          result[(plane * toHeight + y) * toWidth + x] = sum;
        }
      });
    }
    return result;
  };
}

function tapsOf(from: number, to: number, method: ResizeMethod, antialias: boolean): Taps {
  const ratio = from / to;
  return Array.from({ length: to }, (_, place) => {
    if (method === 'nearest') return { start: Math.min(from - 1, Math.floor(place * ratio)), weights: [1] };
    const { reach, kernel } = kernels[method];
    const scale = antialias ? Math.max(1, ratio) : 1;
    const centre = (place + 0.5) * ratio;
    const [first, last] = [Math.ceil(centre - reach * scale - 0.5), Math.floor(centre + reach * scale - 0.5)];
    const weightAt = (pixel: number): number => kernel((pixel + 0.5 - centre) / scale, antialias ? -0.5 : -0.75);
    const [start, end] = [Math.max(0, first), Math.min(from - 1, last)];
    const weights = Array.from({ length: end - start + 1 }, (_value, i) => weightAt(start + i));
    if (!antialias) {
      // PyTorch repeats the edge; Pillow and antialias cut the kernel off there and weigh the rest up.
      for (let pixel = first; pixel < start; pixel++) weights[0]! += weightAt(pixel);
      for (let pixel = end + 1; pixel <= last; pixel++) weights[weights.length - 1]! += weightAt(pixel);
    }
    const total = weights.reduce((a, b) => a + b, 0);
    return { start, weights: weights.map((weight) => weight / total) };
  });
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

const kernels: Readonly<Record<Exclude<ResizeMethod, 'nearest'>, { readonly reach: number; readonly kernel: (x: number, a: number) => number }>> = {
  bilinear: { reach: 1, kernel: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    reach: 2,
    kernel: (x, a) => {
      const t = Math.abs(x);
      return t < 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
    },
  },
  lanczos3: { reach: 3, kernel: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
};
