/** Pictures of the plane: samples over data, a log-ratio field, and several frames of either beside each other. */
import { ArgumentError } from '@ratioflow/sdk';
import type { Extent } from './points.js';
import { render, titleOf } from './render.js';
import type { Picture, PictureOptions, Specification } from './render.js';
import { extentOf, limitOf, sceneSpecification } from './scene.js';
import type { Scene } from './scene.js';
import { colours } from './theme.js';

/** Options shared by the pictures of the plane. */
export interface PlaneOptions extends PictureOptions {
  /** What part of the plane is shown, with equal aspect. @default a square around all points; needed with a field */
  readonly extent?: Extent;
  /** Longer side of each frame in SVG units. @default 440 for one frame, 250 for several */
  readonly side?: number;
  /** Value of the outermost colours of fields. @default within it lie 98 % of the values */
  readonly limit?: number;
}

/** What `scatterPlot` draws. Points are [N, 2]; of more than 4,000 the first ones are drawn. */
export interface ScatterPlot extends PlaneOptions {
  /** Samples of p, grey. */
  readonly data?: Float32Array;
  /** Samples of the model, orange. */
  readonly samples?: Float32Array;
}

/** Draws samples over data. */
export async function scatterPlot({ data, samples, ...options }: ScatterPlot): Promise<Picture> {
  const scene: Scene = { ...(data === undefined ? {} : { data }), ...(samples === undefined ? {} : { particles: samples }) };
  return single(scene, options, null);
}

/** What `fieldPlot` draws: a scene with its field, and the title of the colour bar. */
export interface FieldPlot extends PlaneOptions, Scene {
  /** @default 'log q/p' */
  readonly label?: string;
}

/**
 * Draws a log-ratio field in diverging colours (green: more data than samples; purple: more samples than data), with arrows,
 * particles and a path where given.
 * @throws {ArgumentError} for a field without an extent
 */
export async function fieldPlot({ label = 'log q/p', field, arrows, data, particles, trajectory, ...options }: FieldPlot): Promise<Picture> {
  const parts = { field, arrows, data, particles, trajectory };
  const scene = Object.fromEntries(Object.entries(parts).filter(([, part]) => part !== undefined)) as Scene;
  return single(scene, options, label);
}

async function single(scene: Scene, { extent, side = 440, limit, scale, ...title }: PlaneOptions, fieldLabel: string | null): Promise<Picture> {
  const frame = { extent: extentFor([scene], extent), side, limit: limit ?? limitOf([scene]), fieldLabel, legend: 'top' as const };
  return render({ ...titleOf(title), ...await sceneSpecification(scene, frame) }, scale);
}

/** What `particlePanels` draws. */
export interface ParticlePanels extends PlaneOptions {
  /** In reading order. */
  readonly panels: readonly (Scene & { readonly title: string })[];
  /** Frames in one row. @default all up to 5, else 4 */
  readonly columns?: number;
  /** Title of the colour bar of fields. @default 'log q/p' */
  readonly label?: string;
}

/**
 * Draws frames beside each other, all with one extent and one colour scale, for instance particles at several iterations.
 * @throws {ArgumentError} without panels, or for a field without an extent
 */
export async function particlePanels(options: ParticlePanels): Promise<Picture> {
  const { panels, label = 'log q/p', extent, side = 250, limit, scale, ...title } = options;
  if (panels.length === 0) throw new ArgumentError('Particle panels need at least one panel.');
  const columns = options.columns ?? (panels.length <= 5 ? panels.length : 4);
  const shared = { extent: extentFor(panels, extent), side, limit: limit ?? limitOf(panels) };
  const withField = panels.findLastIndex(({ field }) => field !== undefined);
  const withDots = panels.findIndex((panel, index) => index === Math.min(columns, panels.length) - 1 && panel.particles !== undefined);
  const concat = await Promise.all(panels.map(async (panel, index): Promise<Specification> => ({
    title: { text: panel.title, fontSize: 12, fontWeight: 'normal', anchor: 'middle', offset: 6, color: colours.ink },
    ...await sceneSpecification(panel, { ...shared, fieldLabel: index === withField ? label : null, legend: index === withDots ? 'right' : null }),
  })));
  return render({ ...titleOf(title), columns, concat, spacing: 18 }, scale);
}

function extentFor(scenes: readonly Scene[], extent: Extent | undefined): Extent {
  if (extent !== undefined) return extent;
  if (scenes.some(({ field, arrows }) => field !== undefined || arrows !== undefined)) {
    throw new ArgumentError('A field or arrows need the `extent` of the plane that they cover.');
  }
  return extentOf(scenes);
}
