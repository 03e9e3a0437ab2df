/** Points on a plane: what the scatter-like pictures share (checks, frames with equal aspect, thinning). */
import { ArgumentError } from '@ratioflow/sdk';
import type { Specification } from './render.js';

/** Extent of a plane: what a picture shows of it. */
export interface Extent {
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
}

/** A row of a plot's table. */
export interface Row {
  readonly x: number;
  readonly y: number;
}

/**
 * Rows of an array of points [N, 2]; of more than `limit` only the first ones, which are as random as any.
 * Points that are not finite are left out: they have no place in a picture.
 */
export function rowsOf(points: Float32Array, limit = 4000): Row[] {
  if (points.length % 2 !== 0) throw new ArgumentError(`${points.length} coordinates are not points of a plane: give [N, 2].`);
  const rows: Row[] = [];
  for (let i = 0; i < points.length && rows.length < limit; i += 2) {
    const row = { x: points[i]!, y: points[i + 1]! };
    if (Number.isFinite(row.x) && Number.isFinite(row.y)) rows.push(row);
  }
  return rows;
}

/** The square that holds all points with a margin of 5 %; [−1, 1]² for none. */
export function squareAround(...sets: readonly Float32Array[]): Extent {
  const low = [Infinity, Infinity];
  const high = [-Infinity, -Infinity];
  for (const points of sets) {
    for (let i = 0; i < points.length; i++) {
      if (!Number.isFinite(points[i])) continue;
      low[i % 2] = Math.min(low[i % 2]!, points[i]!);
      high[i % 2] = Math.max(high[i % 2]!, points[i]!);
    }
  }
  if (low[0]! > high[0]! || low[1]! > high[1]!) return { x: [-1, 1], y: [-1, 1] };
  const half = 0.55 * Math.max(high[0]! - low[0]!, high[1]! - low[1]!, 1e-6);
  const centre = [0, 1].map((axis) => (low[axis]! + high[axis]!) / 2) as [number, number];
  return { x: [centre[0] - half, centre[0] + half], y: [centre[1] - half, centre[1] + half] };
}

/** Width and height in pixels of a frame whose longer side is `side`, with one unit equally long on both axes. */
export function frame({ x, y }: Extent, side: number): { width: number; height: number } {
  const [dx, dy] = [x[1] - x[0], y[1] - y[0]];
  if (!(dx > 0 && dy > 0 && Number.isFinite(dx) && Number.isFinite(dy))) {
    throw new ArgumentError(`Extent x [${x.join(', ')}], y [${y.join(', ')}]: each needs a finite lower end below its upper end.`);
  }
  const unit = side / Math.max(dx, dy);
  return { width: Math.round(dx * unit), height: Math.round(dy * unit) };
}

/** Encodings of x and y over an extent. */
export function position(extent: Extent): Specification {
  const channel = (field: 'x' | 'y'): Specification => ({
    field,
    type: 'quantitative',
    axis: { title: null, tickCount: 5, grid: false, domain: false },
    scale: { domain: extent[field], nice: false, zero: false },
  });
  return { x: channel('x'), y: channel('y') };
}

/** A layer of dots whose colour and opacity are encoded; with a thin white edge where they lie on colours. */
export function dots(rows: readonly Row[], size: number, edge: boolean, encoding: Specification): Specification {
  const outline = edge ? { stroke: 'white', strokeWidth: 0.5 } : { strokeWidth: 0 };
  return { data: { values: rows }, mark: { type: 'point', shape: 'circle', filled: true, size, clip: true, ...outline }, encoding };
}
