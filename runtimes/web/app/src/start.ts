/**
 * Where a flow starts and with which noise: the options of `Model.flow` for each mode of the page.
 */
import { normals, purposes } from '@ratioflow/sdk';
import type { FloatTensor, FlowOptions, Manifest, Model } from '@ratioflow/sdk';
import { dialNames } from './dials.js';
import type { DialName } from './dials.js';
import { classOptions, samplesPerClasses } from './guidance.js';
import type { ClassChoice, Settings } from './settings.js';

/** Settings in which nothing is left open. */
export interface FullSettings extends Settings, Record<DialName, number> {
  class: ClassChoice;
  count: number;
  K: number;
  kappa: number;
  eta: number;
  nu: number;
  scale: number;
}

/** What the dials show where nobody turned them. */
export function trainedOf(manifest: Manifest, mode: Settings['mode']): Record<DialName, number> {
  const { sampleShape, K, kappa, eta, nu, guidance } = manifest;
  const isPoints = sampleShape.length === 1;
  const images = sampleShape[1]! > 40 ? 4 : samplesPerClasses(manifest) ?? 16;
  return {
    count: !isPoints ? images : mode === 'interpolate' ? 256 : 1024, eta, nu, scale: guidance?.scale ?? 0,
    // A drawing is no draw from the prior: all steps refine it.
    ...(mode === 'draw' ? { K: 0, kappa: K + kappa } : { K, kappa }),
  };
}

/** Completes settings for a bundle. */
export function completed(settings: Settings, manifest: Manifest): FullSettings {
  const trained = trainedOf(manifest, settings.mode);
  const full = Object.fromEntries(dialNames.map((name) => [name, settings[name] ?? trained[name]])) as Record<DialName, number>;
  if (settings.mode === 'draw') full.K = 0;
  // A path between two seeds needs both ends.
  if (settings.mode === 'interpolate') full.count = Math.max(2, full.count);
  return { ...settings, ...full, class: settings.class ?? (settings.mode === 'prior' ? 'each' : 'none') };
}

/** Spherical interpolation of two draws at a share t of the way from a to b. */
function between(a: Float32Array, b: Float32Array, t: number): Float32Array {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  const angle = Math.acos(Math.max(-1, Math.min(1, dot / Math.sqrt(aa * bb) || 0)));
  // Draws on one ray leave nothing to turn: a straight line then.
  const [wa, wb] = Math.sin(angle) < 1e-6 ? [1 - t, t] : [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
  return a.map((value, i) => wa * value + wb * b[i]!);
}

/**
 * From the draws of one seed to those of another, on `paths` paths: x₀, [count, …shape], and the noise, [steps, count,
 * …shape], which is the same all along a path.
 */
async function interpolation(model: Model, { seed, seedB, count, K, kappa }: FullSettings, paths: number): Promise<Pick<FlowOptions, 'x0' | 'noise'>> {
  const { sampleShape } = model.manifest;
  const [a, b] = await Promise.all([seed, seedB].map((end) => model.prior({ seed: end, count: paths })));
  const elements = a!.data.length / paths;
  const places = Math.ceil(count / paths);
  const path = (n: number): number => Math.floor(n / places);
  const draw = ({ data }: FloatTensor, p: number): Float32Array => data.subarray(p * elements, (p + 1) * elements);
  const x0 = new Float32Array(count * elements);
  for (let n = 0; n < count; n++) {
    // The last path may be shorter.
    const last = Math.min(places, count - path(n) * places) - 1;
    x0.set(between(draw(a!, path(n)), draw(b!, path(n)), last === 0 ? 0 : (n % places) / last), n * elements);
  }
  const steps = K + kappa;
  const noise = new Float32Array(steps * x0.length);
  for (let k = 0; k < steps; k++) {
    const xi = normals({ seed, purpose: purposes.flow, step: k, count: paths, elements });
    for (let n = 0; n < count; n++) noise.set(xi.subarray(path(n) * elements, (path(n) + 1) * elements), (k * count + n) * elements);
  }
  const shape = [count, ...sampleShape];
  return { x0: { shape, data: x0 }, ...(steps > 0 && { noise: { shape: [steps, ...shape], data: noise } }) };
}

/** Paths of an interpolation: of points several, as one alone says little of the plane. */
const pathsOf = ({ sampleShape }: Manifest, count: number): number => (sampleShape.length > 1 ? 1 : Math.max(1, Math.round(Math.sqrt(count) / 2)));

/** @param drawing x₀ in the mode `draw`, [n, …sample shape] */
export async function flowOptions(model: Model, settings: FullSettings, drawing: FloatTensor | undefined): Promise<FlowOptions> {
  const { mode, seed, count, K, kappa, eta, nu, scale } = settings;
  const { manifest } = model;
  const steps = { K, kappa, eta, nu, ...classOptions(manifest, settings.class, scale, drawing?.shape[0] ?? count) };
  switch (mode) {
    case 'prior': return { count, seed, ...steps };
    case 'interpolate': return { ...await interpolation(model, settings, pathsOf(manifest, count)), ...steps };
    case 'draw': return { x0: drawing!, seed, ...steps };
  }
}
