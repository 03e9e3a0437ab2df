/** The log-ratio field on a grid, its bounds, and its contour lines. */
import type { Model, Statistics } from '@ratioflow/sdk';
import { paint, refreshPalette } from './colours.js';
import { trialStart } from './start.js';

/** Cells along each side. */
const side = 160;
/** The field reaches this much further than the samples, so that a wide screen is full of it. */
const reach = 2;

/** log q/p at the centres of side × side cells over [−half, half]², row 0 on top. */
export interface Field {
  readonly half: number;
  /** Samples lie within [−bound, bound]². */
  readonly bound: number;
  readonly values: Float32Array;
  /** Values below and above 0 are shown down to −low and up to high. */
  readonly low: number;
  readonly high: number;
}

/** How far out the samples of a model and what they start from lie, with room around them. */
export async function boundOf(model: Model): Promise<{ bound: number; statistics: Statistics }> {
  const start = trialStart(model.manifest, 256);
  const [{ data: prior }, { samples, statistics }] = await Promise.all([start.x0 ?? model.prior({ count: 512 }), model.sample(start)]);
  const furthest = (data: Float32Array, share: number): number => {
    const sizes = Float32Array.from(data, Math.abs).sort();
    return sizes[Math.floor(share * (sizes.length - 1))]!;
  };
  return { bound: 1.12 * Math.max(furthest(samples.data, 1), furthest(prior, 0.995), 1e-3), statistics };
}

export async function computeField(model: Model, bound: number): Promise<Field> {
  const half = reach * bound;
  const x = new Float32Array(2 * side * side);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      x[2 * (row * side + column)] = half * (2 * (column + 0.5) / side - 1);
      x[2 * (row * side + column) + 1] = half * (1 - 2 * (row + 0.5) / side);
    }
  }
  const values = await model.score({ shape: [side * side, 2], data: x });
  const below = values.filter((value) => value < 0).sort();
  // Far out the ratio grows without end; what counts lies where the samples are.
  const above = values.filter((value, i) => value > 0 && Math.abs(x[2 * i]!) < bound && Math.abs(x[2 * i + 1]!) < bound).sort();
  const at = (sorted: Float32Array, share: number): number => Math.max(1e-6, Math.abs(sorted[Math.floor(share * (sorted.length - 1))] ?? 1));
  return { half, bound, values, low: at(below, 0.02), high: at(above, 0.95) };
}

/** The field as a picture of side × side pixels. */
export function fieldPicture({ values, low, high }: Field): HTMLCanvasElement {
  refreshPalette();
  const picture = document.createElement('canvas');
  picture.width = picture.height = side;
  const context = picture.getContext('2d')!;
  const image = context.createImageData(side, side);
  for (let i = 0; i < values.length; i++) paint(image.data, 4 * i, Math.tanh(1.2 * values[i]! / (values[i]! < 0 ? low : high)));
  context.putImageData(image, 0, 0);
  return picture;
}

/** Contour lines at a level by marching squares, in cells from the top left corner. */
export function contour({ values }: Field, level: number): Path2D {
  const path = new Path2D();
  const at = (row: number, column: number): number => values[row * side + column]! - level;
  for (let row = 0; row < side - 1; row++) {
    for (let column = 0; column < side - 1; column++) {
      const corners = [at(row, column), at(row, column + 1), at(row + 1, column + 1), at(row + 1, column)] as const;
      const points: [number, number][] = [];
      for (let edge = 0; edge < 4; edge++) {
        const [a, b] = [corners[edge]!, corners[(edge + 1) % 4]!];
        if (a > 0 === b > 0) continue;
        const t = a / (a - b);
        // Corners run around the cell: top left, top right, bottom right, bottom left.
        points.push(edge === 0 ? [column + t, row] : edge === 1 ? [column + 1, row + t] : edge === 2 ? [column + 1 - t, row + 1] : [column, row + 1 - t]);
      }
      for (let i = 0; i + 1 < points.length; i += 2) {
        path.moveTo(points[i]![0] + 0.5, points[i]![1] + 0.5);
        path.lineTo(points[i + 1]![0] + 0.5, points[i + 1]![1] + 0.5);
      }
    }
  }
  return path;
}

export const cells = side;
