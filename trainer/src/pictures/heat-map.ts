/** A grid of signed values as a PNG of the diverging colours: sharper and smaller than thousands of rectangles in an SVG. */
import { encodePng } from '@ratioflow/node';
import { ArgumentError } from '@ratioflow/sdk';
import { divergingColour } from './theme.js';

/** Values on a regular grid. */
export interface Grid {
  /** Row after row, the first row at the lower end of y, the first column at the lower end of x. */
  readonly values: ArrayLike<number>;
  readonly columns: number;
  readonly rows: number;
}

/** Value at a fractional grid position, bilinear between the four neighbours. */
export function interpolate({ values, columns, rows }: Grid, column: number, row: number): number {
  const [c, r] = [Math.min(Math.max(column, 0), columns - 1), Math.min(Math.max(row, 0), rows - 1)];
  const [c0, r0] = [Math.min(Math.floor(c), Math.max(columns - 2, 0)), Math.min(Math.floor(r), Math.max(rows - 2, 0))];
  const [c1, r1] = [Math.min(c0 + 1, columns - 1), Math.min(r0 + 1, rows - 1)];
  const lower = values[r0 * columns + c0]! + (c - c0) * (values[r0 * columns + c1]! - values[r0 * columns + c0]!);
  const upper = values[r1 * columns + c0]! + (c - c0) * (values[r1 * columns + c1]! - values[r1 * columns + c0]!);
  return lower + (r - r0) * (upper - lower);
}

/** A limit for the colours of a grid: all but the 2 % of values farthest from 0 lie within it; 1 for a grid of zeros. */
export function colourLimit({ values }: Grid): number {
  const sizes = Float64Array.from(values, Math.abs).filter(Number.isFinite).sort();
  const limit = sizes[Math.floor(0.98 * (sizes.length - 1))] ?? 0;
  return limit > 0 ? limit : 1;
}

/**
 * Draws a grid into a picture of the given size; grid points lie on its edges.
 * @param limit value of the outermost colours; beyond it the colour stays
 */
export async function heatMap(grid: Grid, limit: number, width: number, height: number): Promise<Uint8Array> {
  if (grid.values.length !== grid.columns * grid.rows || grid.values.length === 0) {
    throw new ArgumentError(`A grid of ${grid.columns} × ${grid.rows} needs as many values, got ${grid.values.length}.`);
  }
  const pixels = new Uint8Array(3 * width * height);
  const area = width * height;
  const shades = Array.from({ length: 513 }, (_, i) => divergingColour(i / 256 - 1));
  const missing = divergingColour(NaN);
  for (let y = 0; y < height; y++) {
    const row = (1 - (y + 0.5) / height) * (grid.rows - 1);
    for (let x = 0; x < width; x++) {
      const value = interpolate(grid, ((x + 0.5) / width) * (grid.columns - 1), row);
      const shade = shades[Math.round(Math.min(1, Math.max(-1, value / limit)) * 256) + 256] ?? missing;
      shade.forEach((level, channel) => {
        pixels[channel * area + y * width + x] = level;
      });
    }
  }
  return encodePng({ shape: [1, 3, height, width], data: pixels }, { valueRange: [0, 255] });
}
