/** Curves over iterations: raw values faint, their moving average on top, one panel per quantity. */
import { ArgumentError } from '@ratioflow/sdk';
import { render, titleOf } from './render.js';
import type { Picture, PictureOptions, Specification } from './render.js';
import { movingAverage, thin } from './series.js';
import { categories, colours } from './theme.js';

/** One line. Values that are not finite leave a gap. */
export interface Series {
  readonly name: string;
  /** `#rrggbb`. @default the next of the palette */
  readonly colour?: string;
  readonly x: ArrayLike<number>;
  /** As many as `x`. */
  readonly y: ArrayLike<number>;
}

/** One quantity, with its own vertical axis. */
export interface Panel {
  readonly label: string;
  readonly series: readonly Series[];
  /** A horizontal line to compare with, for example log 2 or 0. */
  readonly reference?: { readonly value: number; readonly label: string };
  /** Vertical axis in powers of ten; all values must be positive. @default false */
  readonly logarithmic?: boolean;
}

/** What to draw. */
export interface LineChart extends PictureOptions {
  /** From top to bottom, one at least. */
  readonly panels: readonly Panel[];
  /** @default 'iteration' */
  readonly xLabel?: string;
  /** Points in the moving average; 1 draws the raw values alone. @default a fortieth of the series */
  readonly window?: number;
}

/**
 * Draws the panels under each other over one horizontal axis.
 * @throws {ArgumentError} without panels, or when a series' coordinates differ in number
 */
export async function lineChart({ panels, xLabel = 'iteration', window, scale, ...title }: LineChart): Promise<Picture> {
  if (panels.length === 0) throw new ArgumentError('A line chart needs at least one panel.');
  const all = panels.flatMap(({ series }) => series);
  for (const { name, x, y } of all) {
    if (x.length !== y.length) throw new ArgumentError(`Series ${JSON.stringify(name)}: ${x.length} abscissas for ${y.length} values.`);
  }
  const abscissas = all.flatMap(({ x }) => (x.length === 0 ? [] : [x[0]!, x[x.length - 1]!]));
  const domain = abscissas.length === 0 ? [0, 1] : [Math.min(...abscissas), Math.max(...abscissas)];
  return render(
    {
      ...titleOf(title),
      vconcat: panels.map((panel, index) => panelOf(panel, { domain, label: index === panels.length - 1 ? xLabel : null }, window)),
      spacing: 22,
      resolve: { scale: { color: 'independent' }, legend: { color: 'independent' } },
    },
    scale,
  );
}

function panelOf(panel: Panel, horizontal: { domain: number[]; label: string | null }, window: number | undefined): Specification {
  const names = panel.series.map(({ name }) => name);
  const x = {
    field: 'x',
    type: 'quantitative',
    axis: { title: horizontal.label, grid: false, format: ',~f', tickCount: 7 },
    scale: { domain: horizontal.domain, nice: false, zero: false },
  };
  const y = {
    field: 'y',
    type: 'quantitative',
    axis: { title: panel.label, tickCount: 5, minExtent: 36 },
    scale: panel.logarithmic === true ? { type: 'log' } : { zero: false, nice: true, ...domainIfFlat(panel) },
  };
  const color = {
    field: 'name',
    type: 'nominal',
    scale: { domain: names, range: panel.series.map(({ colour }, i) => colour ?? categories[i % categories.length]) },
    legend: names.length > 1 ? { orient: 'top', title: null, symbolType: 'stroke', offset: 4 } : null,
  };
  const rows = (smooth: boolean): Specification[] =>
    panel.series.flatMap((series) => {
      const span = window ?? Math.ceil(series.y.length / 40);
      const values = smooth ? movingAverage(series.y, span) : series.y;
      return thin(series.x, values, 1200).map((point) => ({ ...point, name: series.name }));
    });
  const smoothed = window !== 1 && panel.series.some(({ y: values }) => values.length > 40);
  const line = (data: Specification[], mark: Specification): Specification => ({
    data: { values: data },
    // A run that has only begun has one value: a line needs two.
    mark: { type: 'line', point: data.length <= names.length, strokeJoin: 'round', invalid: 'break-paths-filter-domains', ...mark },
    encoding: { x, y, color },
  });
  const layer = [line(rows(false), smoothed ? { strokeWidth: 1, opacity: 0.28 } : { strokeWidth: 1.8 })];
  if (smoothed) layer.push(line(rows(true), { strokeWidth: 2.2 }));
  if (panel.reference !== undefined) layer.unshift(...referenceOf(panel.reference));
  return { width: 620, height: 190, layer };
}

/** A vertical domain for a panel whose finite values are all equal, or that has none: vega would give it no extent. */
function domainIfFlat({ series, reference }: Panel): Specification {
  const values = new Set([...series.flatMap(({ y }) => Array.from(y)), reference?.value ?? NaN].filter(Number.isFinite));
  if (values.size > 1) return {};
  const value = [...values][0] ?? 0;
  const half = Math.abs(value) / 2 || 0.5;
  return { domain: [value - half, value + half] };
}

function referenceOf({ value, label }: { readonly value: number; readonly label: string }): Specification[] {
  const data = { values: [{ y: value, label }] };
  const y = { field: 'y', type: 'quantitative' };
  return [
    { data, mark: { type: 'rule', color: colours.muted, strokeDash: [4, 4] }, encoding: { y } },
    {
      data,
      mark: { type: 'text', align: 'left', baseline: 'middle', dx: 6, x: { expr: 'width' }, fontSize: 11, color: colours.muted },
      encoding: { y, text: { field: 'label' } },
    },
  ];
}
