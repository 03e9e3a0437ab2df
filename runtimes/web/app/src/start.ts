/**
 * Where a flow starts and with which noise: the options of `Model.flow` for each mode of the page.
 */
import { normals, purposes } from '@ratioflow/sdk';
import type { FloatTensor, FlowOptions, Manifest, Model } from '@ratioflow/sdk';
import { latentBetween } from '@ratioflow/sdk/applications';
import { dialNames } from './dials.js';
import type { DialName } from './dials.js';
import { classOptions, samplesPerClasses } from './guidance.js';
import type { ClassChoice, Mode, Settings } from './settings.js';

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

/** The mode of a bundle: one that starts from images of another domain has no prior to draw from, only what is drawn. */
export const modeOf = ({ mode }: Settings, { prior }: Manifest): Mode => (prior.kind === 'source' ? 'draw' : mode);

/** Whether the flow begins with bridging: a drawing is no draw from a prior, so that all steps refine it. */
export const hasBridging = ({ prior }: Manifest, mode: Mode): boolean => mode !== 'draw' || prior.kind === 'source';

/** Where a flow may start that is only tried: at the prior, or at noise where there is none. */
export function trialStart({ prior, sampleShape }: Manifest, count: number): { readonly count?: number; readonly x0?: FloatTensor } {
  if (prior.kind !== 'source') return { count };
  const elements = sampleShape.reduce((a, b) => a * b, 1);
  return { x0: { shape: [count, ...sampleShape], data: normals({ seed: 0, purpose: purposes.prior, step: 0, count, elements }) } };
}

/** What the dials show where nobody turned them. */
export function trainedOf(manifest: Manifest, mode: Settings['mode']): Record<DialName, number> {
  const { sampleShape, K, kappa, eta, nu, guidance } = manifest;
  const isPoints = sampleShape.length === 1;
  const images = sampleShape[1]! > 40 ? 4 : samplesPerClasses(manifest) ?? 16;
  return {
    count: !isPoints ? images : mode === 'interpolate' ? 256 : 1024, eta, nu, scale: guidance?.scale ?? 0,
    ...(hasBridging(manifest, mode) ? { K, kappa } : { K: 0, kappa: K + kappa }),
  };
}

/** Completes settings for a bundle. */
export function completed(settings: Settings, manifest: Manifest): FullSettings {
  const mode = modeOf(settings, manifest);
  const trained = trainedOf(manifest, mode);
  const full = Object.fromEntries(dialNames.map((name) => [name, settings[name] ?? trained[name]])) as Record<DialName, number>;
  if (!hasBridging(manifest, mode)) full.K = 0;
  // A path between two seeds needs both ends.
  if (mode === 'interpolate') full.count = Math.max(2, full.count);
  return { ...settings, mode, ...full, class: settings.class ?? (mode === 'prior' ? 'each' : 'none') };
}

/**
 * From the samples of one seed to those of another, on `paths` paths: x₀, [count, …shape], on great circles in the prior's
 * latent, and the noise, [steps, count, …shape], which is the same all along a path.
 */
async function interpolation(model: Model, { seed, seedB, count, K, kappa }: FullSettings, paths: number): Promise<Pick<FlowOptions, 'x0' | 'noise'>> {
  const { manifest } = model;
  const places = Math.ceil(count / paths);
  const path = Array.from({ length: count }, (_, n) => Math.floor(n / places));
  const elements = manifest.sampleShape.reduce((a, b) => a * b, 1);
  const z = new Float32Array(count * elements);
  for (const [n, index] of path.entries()) {
    // The last path may be shorter.
    const last = Math.min(places, count - index * places) - 1;
    z.set(latentBetween(manifest, { seed, index }, { seed: seedB, index }, last === 0 ? 0 : (n % places) / last), n * elements);
  }
  const x0 = await model.prior({ z: { shape: [count, elements], data: z } });
  const steps = K + kappa;
  const bytes = 4 * steps * z.length;
  if (bytes > maxNoiseBytes) throw new Error(`The way of ${count} samples through ${steps} steps takes ${(bytes / 2 ** 30).toFixed(1)} GiB of noise: take fewer samples, or steps.`);
  const noise = new Float32Array(steps * z.length);
  for (let k = 0; k < steps; k++) {
    const xi = normals({ seed, purpose: purposes.flow, step: k, count: paths, elements });
    for (const [n, index] of path.entries()) noise.set(xi.subarray(index * elements, (index + 1) * elements), (k * count + n) * elements);
  }
  return { x0, ...(steps > 0 && { noise: { shape: [steps, ...x0.shape], data: noise } }) };
}

/** The browser has so much to spare for the noise of a way. */
const maxNoiseBytes = 2 ** 29;

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
