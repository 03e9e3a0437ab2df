/** A vector field as arrows. */
import { ArgumentError } from '@ratioflow/sdk';
import { rowsOf } from './points.js';
import type { Extent, Row } from './points.js';
import type { Specification } from './render.js';

/** Vectors at points; both [N, 2]. */
export interface Arrows {
  readonly positions: Float32Array;
  readonly vectors: Float32Array;
}

/** An arrow in the units of the plane, its middle on the point. `angle` is clockwise from upwards, in degrees. */
interface Arrow extends Row {
  readonly x2: number;
  readonly y2: number;
  readonly angle: number;
  readonly head: number;
}

/**
 * Arrows whose lengths grow with the square root of the vectors', so that weak ones stay visible beside strong ones; the
 * strongest nearly reach the next arrow. Vectors that are zero or not finite are left out.
 */
export function arrowsOf({ positions, vectors }: Arrows, extent: Extent): Arrow[] {
  if (positions.length !== vectors.length || positions.length % 2 !== 0) {
    throw new ArgumentError(`Arrows need as many vectors as positions, both [N, 2]; got ${vectors.length} and ${positions.length} numbers.`);
  }
  const count = positions.length / 2;
  const sizes = Array.from({ length: count }, (_, i) => Math.hypot(vectors[2 * i]!, vectors[2 * i + 1]!));
  const largest = Math.max(...sizes.filter(Number.isFinite));
  const spacing = Math.sqrt(((extent.x[1] - extent.x[0]) * (extent.y[1] - extent.y[0])) / count);
  const arrows: Arrow[] = [];
  for (let i = 0; i < count; i++) {
    const size = sizes[i]!;
    if (!(size > 0 && Number.isFinite(size))) continue;
    const half = 0.45 * spacing * Math.sqrt(size / largest);
    const [dx, dy] = [(vectors[2 * i]! / size) * half, (vectors[2 * i + 1]! / size) * half];
    const [x, y] = [positions[2 * i]!, positions[2 * i + 1]!];
    arrows.push({ x: x - dx, y: y - dy, x2: x + dx, y2: y + dy, angle: (Math.atan2(dx, dy) * 180) / Math.PI, head: 18 + 42 * (half / (0.45 * spacing)) });
  }
  return arrows;
}

/** Layers of shafts and heads. */
export function arrowLayers(arrows: Arrows, extent: Extent, encoding: Specification): Specification[] {
  if (rowsOf(arrows.positions, 1).length === 0) return [];
  const rows = arrowsOf(arrows, extent);
  const style = { color: '#2b3138', opacity: 0.75, clip: true };
  const tip = { x: { ...(encoding['x'] as Specification), field: 'x2' }, y: { ...(encoding['y'] as Specification), field: 'y2' } };
  return [
    { data: { values: rows }, mark: { type: 'rule', strokeWidth: 1, ...style }, encoding: { ...encoding, x2: { field: 'x2' }, y2: { field: 'y2' } } },
    {
      data: { values: rows },
      mark: { type: 'point', shape: 'M0,-1 L0.62,0.75 L0,0.4 L-0.62,0.75 Z', filled: true, strokeWidth: 0, ...style },
      encoding: {
        ...tip,
        angle: { field: 'angle', type: 'quantitative', scale: null },
        size: { field: 'head', type: 'quantitative', scale: null, legend: null },
      },
    },
  ];
}
