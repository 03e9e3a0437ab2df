/** ROC curves: true against false positives, with the areas under them. */
import { ArgumentError } from '@ratioflow/sdk';
import { render, titleOf } from './render.js';
import type { Picture, PictureOptions } from './render.js';
import { thin } from './series.js';
import { categories, colours } from './theme.js';

/** One curve, from (0, 0) to (1, 1). */
export interface RocSeries {
  readonly name: string;
  readonly auc: number;
  readonly falsePositives: ArrayLike<number>;
  readonly truePositives: ArrayLike<number>;
}

/** Draws curves over the diagonal of guessing. @throws {ArgumentError} without a curve */
export async function rocChart({ curves, scale, ...title }: PictureOptions & { readonly curves: readonly RocSeries[] }): Promise<Picture> {
  if (curves.length === 0) throw new ArgumentError('A ROC chart needs at least one curve.');
  const names = curves.map(({ name, auc }) => `AUC ${auc.toFixed(3)}: ${name}`);
  const axis = (text: string): Record<string, unknown> => ({ type: 'quantitative', axis: { title: text, tickCount: 5 }, scale: { domain: [0, 1] } });
  const [x, y] = [{ field: 'x', ...axis('false positives') }, { field: 'y', ...axis('true positives') }];
  const color = { field: 'name', type: 'nominal', scale: { domain: names, range: names.map((_, i) => categories[i % categories.length]) }, legend: { orient: 'top', direction: 'vertical', title: null, symbolType: 'stroke', offset: 4, labelLimit: 400 } };
  return render({
    ...titleOf(title), width: 360, height: 360,
    layer: [
      { data: { values: [{ x: 0, y: 0 }, { x: 1, y: 1 }] }, mark: { type: 'line', color: colours.muted, strokeDash: [4, 4], strokeWidth: 1 }, encoding: { x, y } },
      { data: { values: curves.flatMap((curve, i) => thin(curve.falsePositives, curve.truePositives, 800).map((point, order) => ({ ...point, order, name: names[i] }))) }, mark: { type: 'line', strokeWidth: 2, strokeJoin: 'round' }, encoding: { x, y, color, order: { field: 'order' } } },
    ],
  }, scale);
}
