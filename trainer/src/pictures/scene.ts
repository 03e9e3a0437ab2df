/** Everything that one frame of the plane can show, as plot layers: field, arrows, data, particles, a path. */
import { ArgumentError } from '@ratioflow/sdk';
import { arrowLayers } from './arrows.js';
import type { Arrows } from './arrows.js';
import { colourLimit, heatMap } from './heat-map.js';
import type { Grid } from './heat-map.js';
import { dots, frame, position, rowsOf, squareAround } from './points.js';
import type { Extent } from './points.js';
import type { Specification } from './render.js';
import { colours, diverging } from './theme.js';

/** What one frame shows; drawn in this order, each part on top of the one before. Points are [N, 2]. */
export interface Scene {
  /** Log ratios on a grid whose outermost points lie on the edges of the extent. */
  readonly field?: Grid;
  /** Vectors of a gradient field or drift. */
  readonly arrows?: Arrows;
  /** Samples of p, grey. Of more than 4,000 points the first ones are drawn. */
  readonly data?: Float32Array;
  /** Samples of the model, orange. Of more than 4,000 points the first ones are drawn. */
  readonly particles?: Float32Array;
  /** A path, for instance of the particles' mean: black, from the ring to the dot. */
  readonly trajectory?: Float32Array;
}

/** How a scene is framed. */
export interface Frame {
  readonly extent: Extent;
  /** Longer side in SVG units. */
  readonly side: number;
  /** Value of the outermost colours of the field. */
  readonly limit: number;
  /** Title of the field's colour bar; null for none. */
  readonly fieldLabel: string | null;
  /** Where the dots' colours are explained, if they are. */
  readonly legend: 'top' | 'right' | null;
}

/** The square around all points of some scenes. */
export function extentOf(scenes: readonly Scene[]): Extent {
  return squareAround(...scenes.flatMap(({ data, particles, trajectory }) => [data, particles, trajectory].filter((set) => set !== undefined)));
}

/** A colour limit that suits all fields of some scenes. */
export function limitOf(scenes: readonly Scene[]): number {
  const limits = scenes.flatMap(({ field }) => (field === undefined ? [] : [colourLimit(field)]));
  return limits.length === 0 ? 1 : Math.max(...limits);
}

/** The plot of a scene. */
export async function sceneSpecification(scene: Scene, { extent, side, limit, fieldLabel, legend }: Frame): Promise<Specification> {
  const size = frame(extent, side);
  const encoding = position(extent);
  const layer: Specification[] = [];
  if (scene.field !== undefined) layer.push(...await fieldLayers(scene.field, { ...size, limit, label: fieldLabel, encoding }));
  if (scene.arrows !== undefined) layer.push(...arrowLayers(scene.arrows, extent, encoding));
  layer.push(...dotLayers(scene, encoding, legend, scene.field !== undefined));
  if (scene.trajectory !== undefined) layer.push(...pathLayers(scene.trajectory, encoding));
  if (layer.length === 0) throw new ArgumentError('A scene needs a field, arrows, data, particles or a trajectory to show.');
  return { ...size, view: { stroke: scene.field === undefined ? '#c9ced5' : null }, layer, resolve: { scale: { color: 'independent' }, legend: { color: 'independent' } } };
}

interface FieldFrame {
  readonly width: number;
  readonly height: number;
  readonly limit: number;
  readonly label: string | null;
  readonly encoding: Specification;
}

async function fieldLayers(field: Grid, { width, height, limit, label, encoding }: FieldFrame): Promise<Specification[]> {
  const url = `data:image/png;base64,${Buffer.from(await heatMap(field, limit, width, height)).toString('base64')}`;
  const picture = {
    data: { values: [{}] },
    mark: { type: 'image', url, width, height, aspect: false, align: 'left', baseline: 'top', x: 0, y: 0 },
  };
  if (label === null) return [picture];
  // The colour bar hangs on dots that can't be seen: the picture itself has no scale.
  const domain = diverging.map((_, i) => ((2 * i) / (diverging.length - 1) - 1) * limit);
  const color = {
    field: 'v',
    type: 'quantitative',
    scale: { domain, range: diverging, interpolate: 'rgb', clamp: true },
    legend: { title: label, gradientLength: Math.min(200, height * 0.6), gradientThickness: 12, gradientOpacity: 1, tickCount: 5, offset: 14 },
  };
  return [picture, { data: { values: [{ x: NaN, y: NaN, v: 0 }] }, mark: { type: 'point', opacity: 0 }, encoding: { ...encoding, color } }];
}

function dotLayers({ data, particles }: Scene, encoding: Specification, legend: Frame['legend'], onField: boolean): Specification[] {
  const groups = [
    { name: 'data', points: data, colour: onField ? '#1b1f24' : colours.data, opacity: onField ? 0.8 : 0.55 },
    { name: 'samples', points: particles, colour: colours.samples, opacity: onField ? 0.9 : 0.6 },
  ].filter(({ points }) => points !== undefined);
  const color = {
    field: 'name',
    type: 'nominal',
    scale: { domain: groups.map(({ name }) => name), range: groups.map(({ colour }) => colour) },
    legend: legend !== null && groups.length > 1 ? { orient: legend, title: null, symbolSize: 60, symbolStrokeWidth: 0, offset: legend === 'top' ? 6 : 14 } : null,
  };
  // One layer with all dots: its two colours then share one legend.
  const rows = groups.flatMap(({ name, points, opacity }) => rowsOf(points!).map((row) => ({ ...row, name, opacity })));
  if (groups.length === 0) return [];
  const size = rows.length > 2500 ? 7 : onField ? 18 : 13;
  return [dots(rows, size, onField, { ...encoding, color, opacity: { field: 'opacity', type: 'quantitative', scale: null, legend: null } })];
}

function pathLayers(trajectory: Float32Array, encoding: Specification): Specification[] {
  const rows = rowsOf(trajectory, Infinity).map((row, order) => ({ ...row, order }));
  const path = { ...encoding, order: { field: 'order' } };
  const line = (color: string, strokeWidth: number): Specification => ({
    data: { values: rows },
    mark: { type: 'line', color, strokeWidth, clip: true, strokeJoin: 'round' },
    encoding: path,
  });
  const end = (row: unknown, filled: boolean): Specification => ({
    data: { values: row === undefined ? [] : [row] },
    mark: { type: 'point', shape: 'circle', size: 62, clip: true, stroke: colours.path, strokeWidth: 1.8, fill: filled ? colours.path : 'white', opacity: 1 },
    encoding,
  });
  return [line('white', 4), line(colours.path, 1.8), end(rows[0], false), end(rows.at(-1), true)];
}
