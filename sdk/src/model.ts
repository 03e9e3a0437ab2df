/**
 * A bundle that is open on a runtime: what applications hold in their hands.
 */
/// <reference lib="esnext.disposable" preserve="true" />
import type { BundleSource } from './bundle.js';
import { readBundle } from './bundle.js';
import { argument, finite } from './check.js';
import { createGraphs } from './graphs.js';
import type { Manifest } from './manifest.js';
import type { FlowOptions, PriorOptions, SampleOptions } from './options.js';
import { rangeOf, rejectUnknown } from './options.js';
import { createPace } from './plan.js';
import type { FloatTensor, LoadOptions, Runtime, Tensor } from './runtime.js';
import { drawPrior, flow, priorOf, sample, scoreOf } from './sample.js';
import type { Engine, Frame, SampleResult, Statistics } from './sample.js';
import { checkTensor, scalar, sizeOf } from './tensor.js';
import { selfTest, verify } from './verify.js';
import type { Verification } from './verify.js';

/**
 * A trained density-ratio model. Methods may be called concurrently; none keeps or changes a tensor it is given.
 * Graphs are loaded on first use. Whoever opened the model disposes of it.
 */
export interface Model {
  /** As it was read and checked. */
  readonly manifest: Manifest;
  /** The one that it was opened with. */
  readonly runtime: Runtime;
  /**
   * Draws samples: prior, K bridging steps, κ refinement steps, clamp (Algorithm 2).
   * @throws {ArgumentError} for an option out of range; {BundleError} for a damaged file; {RuntimeError} from the engine;
   *   the signal's reason when aborted
   */
  sample(options?: SampleOptions): Promise<SampleResult>;
  /** The same as an iteration over frames, all samples in one batch; the generator's return value are the statistics. */
  flow(options?: FlowOptions): AsyncGenerator<Frame, Statistics, void>;
  /**
   * One step of the flow: next = x − η ∇f'(r(x)) + ν · noise, unclamped, and log q/p at x (not at next).
   * @param x [N, …sample shape] @param noise the same shape @param options step size and noise scale, by default the manifest's
   * @returns `next` of x's shape, `logRatio` [N]
   */
  step(x: Tensor, noise: Tensor, options?: { readonly eta?: number; readonly nu?: number }): Promise<{ next: FloatTensor; logRatio: Float32Array }>;
  /** log q/p of every sample of x, [N, …sample shape]: below 0 where x looks like data more than like the model's own. */
  score(x: Tensor): Promise<Float32Array>;
  /** x₀ of the samples that `sample` would start from, [count, …sample shape]; or that of given `z`, [N, D], drawn as the manifest's prior says. */
  prior(options?: PriorOptions | { readonly z: Tensor }): Promise<FloatTensor>;
  /** log q/p, [N], and the drift −∇ₓ f'(r(x)), which has the shape of x. @param x [N, …sample shape] */
  gradient(x: Tensor): Promise<{ logRatio: Float32Array; drift: FloatTensor }>;
  /**
   * Runs the bundle's verification vectors on this runtime. They also run whenever a graph is loaded, and decide on the
   * provider: open with `selfTest: false` to judge one provider alone.
   * @throws {BundleError} when the bundle is damaged
   */
  verify(): Promise<Verification>;
  /** Frees the engine's memory, after the runs under way. Idempotent; a sampling that is not finished rejects. */
  dispose(): Promise<void>;
  /** The same, for `await using`; absent on platforms that do not know the symbol yet. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Options of `openBundle`. */
export interface OpenOptions extends LoadOptions {
  /**
   * Run the verification vectors of every graph when it is loaded, on each provider in turn, so that one that computes
   * it wrongly is not used. @default true
   */
  readonly selfTest?: boolean;
}

/**
 * Opens a bundle: reads and checks its manifest; the rest follows when it is needed.
 * @throws {BundleError} when the manifest cannot be read or is wrong; {ArgumentError} for an unknown option
 */
export async function openBundle(source: BundleSource, runtime: Runtime, options: OpenOptions = {}): Promise<Model> {
  rejectUnknown(options, ['threads', 'optimization', 'selfTest'] satisfies (keyof OpenOptions)[]);
  const { selfTest: testing = true, ...loading } = options;
  const bundle = await readBundle(source, runtime, loading, testing ? selfTest : undefined);
  const { manifest } = bundle;
  const graphs = createGraphs(bundle);
  const engine: Engine = { manifest, runtime, graphs, pace: createPace() };
  const batch = (what: string, x: Tensor): FloatTensor => checkTensor(what, x, [null, ...manifest.sampleShape]);
  const model: Omit<Model, typeof Symbol.asyncDispose> = {
    manifest,
    runtime,
    sample: (settings = {}) => sample(engine, settings),
    flow: (settings = {}) => flow(engine, settings),
    step: async (x, noise, settings = {}) => {
      rejectUnknown(settings, ['eta', 'nu']);
      const given = (name: 'eta' | 'nu'): FloatTensor => scalar(argument(name, settings[name] ?? manifest[name], finite(0)));
      const feeds = { x: batch('x', x), noise: checkTensor('noise', noise, x.shape), eta: given('eta'), nu: given('nu') };
      const { next, logRatio } = await graphs.run('step', feeds, { next: x.shape, logRatio: x.shape.slice(0, 1) });
      return { next, logRatio: logRatio.data };
    },
    score: async (x) => scoreOf(engine, batch('x', x)),
    prior: async (settings = {}) => {
      rejectUnknown(settings, ['count', 'seed', 'first', 'z']);
      if ('z' in settings) {
        rejectUnknown(settings, ['z']);
        return priorOf(engine, checkTensor('z', settings.z, [null, sizeOf(manifest.sampleShape)]));
      }
      const { count, seed, first } = rangeOf(manifest, settings);
      return drawPrior(engine, seed, first, count);
    },
    gradient: async (x) => {
      const { logRatio, drift } = await graphs.run('gradient', { x: batch('x', x) }, { logRatio: x.shape.slice(0, 1), drift: x.shape });
      return { logRatio: logRatio.data, drift };
    },
    verify: () => verify(bundle, runtime, graphs),
    dispose: () => graphs.dispose(),
  };
  const { asyncDispose } = Symbol as { readonly asyncDispose?: symbol };
  return { ...model, ...(asyncDispose && { [asyncDispose]: model.dispose }) } as Model;
}
