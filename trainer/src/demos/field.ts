/** Log ratio and drift of a model on a grid of the plane, for pictures. */
import type { Model } from '@ratioflow/sdk';
import type { Arrows } from '../pictures/arrows.js';
import type { Grid } from '../pictures/heat-map.js';
import type { Extent } from '../pictures/points.js';

/** Points of a grid whose outermost ones lie on the edges, [rows · columns, 2]. */
function gridPoints({ x, y }: Extent, columns: number, rows: number): Float32Array {
  const points = new Float32Array(2 * columns * rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = 2 * (row * columns + column);
      points[at] = x[0] + ((x[1] - x[0]) * column) / (columns - 1);
      points[at + 1] = y[0] + ((y[1] - y[0]) * row) / (rows - 1);
    }
  }
  return points;
}

/** The log-ratio field, and the drift as arrows. */
export async function fieldOf(model: Model, extent: Extent, columns = 121, arrowColumns = 17): Promise<{ field: Grid; arrows: Arrows }> {
  const fine = gridPoints(extent, columns, columns);
  const coarse = gridPoints(extent, arrowColumns, arrowColumns);
  const values = await model.score({ shape: [columns * columns, 2], data: fine });
  const { drift } = await model.gradient({ shape: [arrowColumns ** 2, 2], data: coarse });
  return { field: { values, columns, rows: columns }, arrows: { positions: coarse, vectors: drift.data } };
}
