/** Distribution of the estimator's log ratios, for instance on data and on samples. */
import { ArgumentError } from '@ratioflow/sdk';
import { render, titleOf } from './render.js';
import type { Picture, PictureOptions, Specification } from './render.js';
import { categories, colours } from './theme.js';

/** A group of values with a name. */
export interface Distribution {
  readonly name: string;
  readonly values: ArrayLike<number>;
}

/** What to draw. */
export interface Histogram extends PictureOptions {
  readonly groups: readonly Distribution[];
  /** @default 'log q/p' */
  readonly label?: string;
  /** Bars over the whole range. @default 60 */
  readonly bins?: number;
}

/** Counts of one group. */
export interface Bins {
  /** Lower end of the first bar and width of each. */
  readonly start: number;
  readonly width: number;
  /** Per group and bar: share of the group's finite values, divided by the width (a density). */
  readonly density: readonly Float64Array[];
}

/** Sorts the finite values of all groups into common bins. @throws {ArgumentError} when there is none */
export function binsOf(groups: readonly Distribution[], bins: number): Bins {
  const finite = groups.map(({ values }) => Array.from(values).filter(Number.isFinite));
  let [low, high] = [Infinity, -Infinity];
  for (const value of finite.flat()) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high || !(bins >= 1)) throw new ArgumentError(`A histogram of ${bins} bars needs at least one bar and one finite value.`);
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const width = (high - low) / bins;
  const density = finite.map((values) => {
    const counts = new Float64Array(bins);
    for (const value of values) counts[Math.min(bins - 1, Math.floor((value - low) / width))]! += 1 / (values.length * width);
    return counts;
  });
  return { start: low, width, density };
}

/** Draws the groups as overlapping steps, each of area 1, with a rule at 0: there the densities are equal. */
export async function histogram({ groups, label = 'log q/p', bins = 60, scale, ...title }: Histogram): Promise<Picture> {
  const { start, width, density } = binsOf(groups, bins);
  const values = groups.flatMap(({ name }, group) =>
    // Steps from zero to zero, so that the outline closes.
    Array.from({ length: bins + 2 }, (_, i) => ({ name, x: start + (i - 1) * width, y: density[group]![i - 1] ?? 0 })),
  );
  const names = groups.map(({ name }) => name);
  const color = {
    field: 'name',
    type: 'nominal',
    scale: { domain: names, range: names.map((_, i) => categories[i % categories.length]) },
    legend: names.length > 1 ? { orient: 'top', title: null, symbolType: 'square', offset: 4 } : null,
  };
  const x = { field: 'x', type: 'quantitative', axis: { title: label, grid: false, tickCount: 8 }, scale: { zero: false, nice: false } };
  const y = { field: 'y', type: 'quantitative', stack: null, axis: { title: 'density', tickCount: 5 } };
  const layer: Specification[] = [
    { mark: { type: 'area', interpolate: 'step-after', opacity: 0.35, line: { strokeWidth: 1.6 } }, encoding: { x, y, color } },
  ];
  if (start <= 0 && start + bins * width >= 0) {
    layer.push({ data: { values: [{ x: 0 }] }, mark: { type: 'rule', color: colours.muted, strokeDash: [4, 4] }, encoding: { x: { field: 'x', type: 'quantitative' } } });
  }
  return render({ ...titleOf(title), width: 520, height: 240, data: { values }, layer }, scale);
}
