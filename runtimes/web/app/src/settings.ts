/**
 * What the user has set, and its form in the address of the page. What equals the default is left out; what cannot be read
 * is ignored, as an address may come from anywhere.
 */

export type Mode = 'prior' | 'interpolate' | 'draw';
export type ProviderChoice = 'auto' | 'webgpu' | 'wasm';
/** Of a guided bundle: every class in turn, none, or the one of this number. */
export type ClassChoice = 'each' | 'none' | number;

export interface Settings {
  /** Identifier of a bundle that the server lists, or its URL; empty for files. */
  bundle: string;
  mode: Mode;
  seed: string;
  seedB: string;
  provider: ProviderChoice;
  /** Undefined: each in turn from the prior, else none. */
  class: ClassChoice | undefined;
  /** Samples; undefined: as many as suit the bundle. The five below: as the manifest says. */
  count: number | undefined;
  K: number | undefined;
  kappa: number | undefined;
  eta: number | undefined;
  nu: number | undefined;
  /** φ, the scale of the guidance. */
  scale: number | undefined;
}

export const defaults: Readonly<Settings> = {
  bundle: '', mode: 'prior', seed: '0', seedB: '1', provider: 'auto', class: undefined,
  count: undefined, K: undefined, kappa: undefined, eta: undefined, nu: undefined, scale: undefined,
};

/** Largest values that an address, and so a dial, may have. */
export const limits = { count: 4096, K: 2000, kappa: 2000, eta: 1000, nu: 1000, scale: 1000 } as const;

export const isSeed = (value: string): boolean => /^\d{1,20}$/.test(value) && BigInt(value) < 2n ** 64n;

/** Settings out of an address's fragment. */
export function readSettings(fragment: string): Settings {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ''));
  const oneOf = <T extends string | undefined>(name: string, allowed: readonly T[], fallback: T): T => allowed.find((value) => value === parameters.get(name)) ?? fallback;
  const seed = (name: 'seed' | 'seedB'): string => {
    const value = parameters.get(name) ?? '';
    return isSeed(value) ? value : defaults[name];
  };
  const number = (name: string, most: number, whole: boolean): number | undefined => {
    // Nothing and blanks would count as 0.
    const value = Number(parameters.get(name)?.trim() || NaN);
    return Number.isFinite(value) && value >= 0 && value <= most && (!whole || Number.isInteger(value)) ? value : undefined;
  };
  const dial = (name: keyof typeof limits, whole: boolean): number | undefined => number(name, limits[name], whole);
  return {
    bundle: parameters.get('bundle') ?? '',
    mode: oneOf('mode', ['prior', 'interpolate', 'draw'], 'prior'),
    provider: oneOf('provider', ['auto', 'webgpu', 'wasm'], 'auto'),
    seed: seed('seed'), seedB: seed('seedB'),
    count: dial('count', true) || undefined,
    K: dial('K', true), kappa: dial('kappa', true), eta: dial('eta', false), nu: dial('nu', false), scale: dial('scale', false),
    class: number('class', 1e5, true) ?? oneOf<'each' | 'none' | undefined>('class', ['each', 'none'], undefined),
  };
}

/** The fragment for these settings, without `#`. */
export function writeSettings(settings: Settings): string {
  const parameters = new URLSearchParams();
  for (const name of Object.keys(defaults) as (keyof Settings)[]) {
    const value = settings[name];
    if (value !== undefined && value !== defaults[name]) parameters.set(name, String(value));
  }
  return parameters.toString();
}
