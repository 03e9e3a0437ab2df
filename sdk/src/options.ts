/**
 * Options of sampling, as callers give them and as the sampler wants them: checked and completed once, here.
 */
import { accept, argument, failArgument, finite, integer, list, optional, record, show } from './check.js';
import type { Check } from './check.js';
import { ArgumentError } from './errors.js';
import type { AbortSignalLike } from './globals.js';
import type { Manifest } from './manifest.js';
import { stepsFrom } from './manifest-parser.js';
import type { Seed } from './noise/stream.js';
import { parseSeed } from './noise/stream.js';
import type { FloatTensor, Tensor } from './runtime.js';
import { checkTensor, floatTensor, scalar, sizeOf } from './tensor.js';

/** Which samples. */
export interface PriorOptions {
  /** Number of samples. @default the number in `x0` or `class`, else 1 */
  readonly count?: number;
  /** Integer in [0, 2⁶⁴). The same seed gives the same samples on every device, in every language. @default 0 */
  readonly seed?: Seed;
  /** Index of the first sample: `first: 100, count: 10` makes samples 100 to 109 of the seed. @default 0 */
  readonly first?: number;
}

/** How far one has got: `step` of `of` steps are done for samples up to `samples` of `count`. */
export interface Progress {
  /** Steps done by the batch under way. */
  readonly step: number;
  /** Steps of every sample: K + κ. */
  readonly of: number;
  /** Samples that are finished or in the batch under way. */
  readonly samples: number;
  /** Samples in all. */
  readonly count: number;
}

/** Options of both `sample` and `flow`. */
export interface FlowSettings extends PriorOptions {
  /** Bridging steps. @default the manifest's */
  readonly K?: number;
  /** Refinement steps κ after them. @default the manifest's */
  readonly kappa?: number;
  /** Step size η. @default the manifest's */
  readonly eta?: number;
  /** Noise scale ν, which multiplies the noise directly. @default the manifest's */
  readonly nu?: number;
  /** Start from these, [count, …sample shape], instead of the prior. */
  readonly x0?: Tensor;
  /** Use this noise, [K + κ, count, …sample shape], instead of the seed's. */
  readonly noise?: Tensor;
  /** Of a guided bundle: one class for all samples, or one for each; −1 guides nothing. @default −1 */
  readonly class?: number | readonly number[];
  /** Of a guided bundle: φ, the scale of the guidance. @default the manifest's */
  readonly scale?: number;
  /** Of a composed bundle: weights of the estimators. @default the manifest's */
  readonly weights?: readonly number[];
  /** Aborts between two calls of the engine, and what a source reads for this call; the promise rejects with the signal's reason and the model stays usable. */
  readonly signal?: AbortSignalLike;
}

/** Options of `Model.sample`. */
export interface SampleOptions extends FlowSettings {
  /** Samples that go through the network together. No result depends on it. @default about 65,536 elements, 8 to 4,096 samples */
  readonly batch?: number;
  /** Called after every step, in order; steps that ran in one graph are reported together. What it throws ends the sampling; a promise is waited for. */
  readonly onStep?: (progress: Progress) => unknown;
}

/** Options of `Model.flow`. */
export interface FlowOptions extends FlowSettings {
  /** A frame every so many steps; the first and the last always come. @default 1 */
  readonly every?: number;
  /** Evaluate log q/p at every frame, at the price of one more run of the network each. @default false */
  readonly logRatio?: boolean;
}

/** Options of sampling, complete and in range. */
export interface Settings {
  readonly count: number;
  readonly seed: bigint;
  readonly first: number;
  readonly batch: number;
  readonly K: number;
  /** K + κ. */
  readonly steps: number;
  readonly eta: number;
  readonly nu: number;
  readonly x0: FloatTensor | undefined;
  readonly noise: FloatTensor | undefined;
  readonly signal: AbortSignalLike | undefined;
  /** Further inputs of a composed bundle's graphs for samples `done` to `done + size − 1` of the call. */
  readonly extras: (done: number, size: number) => Readonly<Record<string, Tensor>>;
}

/** Elements of the largest array that is made in one piece: 8 GiB of float32. */
const maxElements = 2 ** 31;
const settingNames = ['count', 'seed', 'first', 'K', 'kappa', 'eta', 'nu', 'x0', 'noise', 'signal', 'class', 'scale', 'weights'];

/**
 * Checks and completes options against the manifest.
 * @param extra names that are allowed beyond those of `FlowSettings`
 * @throws {ArgumentError} naming the option, its value and what is allowed
 */
export function settingsOf(manifest: Manifest, options: SampleOptions, extra: readonly string[]): Settings {
  rejectUnknown(options, [...settingNames, ...extra]);
  checkHooks(options);
  const { sampleShape } = manifest;
  const elements = sizeOf(sampleShape);
  const x0 = options.x0 === undefined ? undefined : checkTensor('x0', options.x0, [options.count ?? null, ...sampleShape]);
  const { count, seed, first } = rangeOf(manifest, options, x0?.shape[0] ?? (options.class as readonly number[] | undefined)?.length);
  const given = (name: 'K' | 'kappa' | 'eta' | 'nu', check: Check<number>): number => argument(name, options[name] ?? manifest[name], check);
  const K = given('K', stepsFrom(0));
  const steps = K + given('kappa', stepsFrom(0));
  return {
    count, seed, first, K, steps, x0,
    batch: Math.min(count, argument('batch', options.batch ?? defaultBatch(elements), integer(1))),
    eta: given('eta', finite(0)),
    nu: given('nu', finite(0)),
    noise: options.noise !== undefined && steps ? checkTensor('noise', options.noise, [steps, count, ...sampleShape]) : undefined,
    signal: options.signal,
    extras: extrasOf(manifest, options, count),
  };
}

/** Checks what of the options stays on the caller's side of a worker. @throws {ArgumentError} for another value, and for what is no options at all */
export function checkHooks(options: unknown): void {
  const { signal, onStep } = argument('options', options, record);
  argument('signal', signal, optional(accept((value) => typeof (value as Partial<AbortSignalLike> | null)?.aborted === 'boolean', 'an AbortSignal')));
  argument('onStep', onStep, optional(accept((value) => typeof value === 'function', 'a function')));
}

/** What a composed bundle's graphs want besides; the rest of the defaults is in graphs.ts. */
function extrasOf({ guidance, mixture }: Manifest, { class: classes, scale, weights }: SampleOptions, count: number): Settings['extras'] {
  if (guidance === undefined && (classes !== undefined || scale !== undefined)) throw new ArgumentError('class and scale need a guided bundle: compose it with a classifier.');
  const y = classes === undefined ? undefined : argument('class', [classes].flat(), list(integer(-1, guidance!.classes - 1), 2 ** 32));
  if (y && typeof classes !== 'number' && y.length !== count) failArgument('class', `a list of ${y.length}`, `one class, or one for each of the ${count} samples`);
  const shares = argument('weights', weights, optional(list(finite(), 1000)));
  if (shares && shares.length !== mixture?.length) failArgument('weights', shares, `${mixture?.length ?? 'no'} numbers for this bundle`);
  const fixed = {
    ...(scale !== undefined && { phi: scalar(argument('scale', scale, finite())) }),
    ...(shares && { weights: floatTensor(Float32Array.from(shares), [shares.length]) }),
  };
  return (done, size) => ({
    ...fixed, ...(y && { y: { shape: [size], data: y.length === 1 ? new BigInt64Array(size).fill(BigInt(y[0]!)) : BigInt64Array.from(y.slice(done, done + size), BigInt) } }),
  });
}

/** Checks count, seed and first. @param known the count where another option implies it */
export function rangeOf(manifest: Manifest, options: PriorOptions, known?: number): { count: number; seed: bigint; first: number } {
  const count = argument('count', options.count ?? known ?? 1, integer(1, 2 ** 32));
  const most = Math.floor(maxElements / sizeOf(manifest.sampleShape));
  if (count > most) failArgument('count', count, `at most ${most} at a time; make the others with first: ${most}`);
  return { count, seed: parseSeed(options.seed ?? 0), first: argument('first', options.first ?? 0, integer(0, 2 ** 32 - count)) };
}

/** Neither a misspelt option must be ignored, nor what is no options at all. @throws {ArgumentError} naming it and the options there are */
export function rejectUnknown(options: object, known: readonly string[]): void {
  const unknown = Object.keys(argument('options', options, record)).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new ArgumentError(`Unknown option ${show(unknown)}; allowed: ${known.join(', ')}.`);
}

/** A power of two: enough samples to fill the processor, few enough for their activations to stay near it. */
function defaultBatch(elements: number): number {
  return 2 ** Math.min(12, Math.max(3, Math.floor(Math.log2(65_536 / elements))));
}
