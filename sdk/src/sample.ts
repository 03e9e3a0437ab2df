/**
 * `sample` and `flow` of a model: batches, frames, progress and statistics around the sampler's loop.
 */
import { argument, integer } from './check.js';
import { ArgumentError } from './errors.js';
import { givenNoise, seededNoise } from './flow-noise.js';
import { now, throwIfAborted } from './globals.js';
import type { Graphs } from './graphs.js';
import type { Manifest } from './manifest.js';
import { fillNormals, fillUniforms } from './noise/fill.js';
import { purposes } from './noise/stream.js';
import type { FlowOptions, SampleOptions, Settings } from './options.js';
import { settingsOf } from './options.js';
import type { Moving, Pace, Plan, PlanName } from './plan.js';
import { choosePlan, hostOf } from './plan.js';
import { runFlow } from './sampler.js';
import type { FloatTensor, Runtime, Tensor } from './runtime.js';
import { allocate, floatTensor, sizeOf } from './tensor.js';

/** What sampling took. */
export interface Statistics {
  /** Network evaluations, summed over the samples: count · (K + κ). */
  readonly evaluations: number;
  /** Steps of every sample: K + κ. */
  readonly steps: number;
  /** The execution provider that really ran, for example `cpu`. */
  readonly provider: string;
  /** Engine and version. */
  readonly runtime: string;
  /** Wall time of the whole call, prior, noise and loading of graphs included. */
  readonly milliseconds: number;
  /**
   * Wall time of one step of one full batch, noise included, and what an engine does at its first run; in Node the first large
   * batch also loads the engines that compute its parts. 0 without steps.
   */
  readonly millisecondsPerStep: number;
  /** How it ran: `graph`, several steps in one call of the engine; `device`, step by step with x on the device; `step`, step by step. */
  readonly plan: PlanName;
  /** What was asked for and is not so; empty when all is well. */
  readonly warnings: readonly string[];
}

/** Samples with what they took. */
export interface SampleResult {
  /** [count, …sample shape], clamped to the bundle's value range. Belongs to the caller. */
  readonly samples: FloatTensor;
  /** Of this call. */
  readonly statistics: Statistics;
}

/** x on its way from the prior to a sample. */
export interface Frame {
  /** Steps done: 0 for the prior, `of` for the samples. */
  readonly step: number;
  /** Steps in all: K + κ. */
  readonly of: number;
  /** What the last step was: `prior` at step 0, `bridging` up to K, then `refinement`. */
  readonly stage: 'prior' | 'bridging' | 'refinement';
  /** [count, …sample shape]. A copy that belongs to the caller; the last frame is clamped as `sample` does, no other is. */
  readonly x: FloatTensor;
  /** log q/p of every sample, on request. */
  readonly logRatio?: Float32Array;
}

/** What sampling needs of a model. */
export interface Engine {
  readonly manifest: Manifest;
  readonly runtime: Runtime;
  readonly graphs: Graphs;
  readonly pace: Pace;
}

/** x₀ of samples `first` to `first + count − 1`, [count, …sample shape]: `prior.onnx` on the seed's z. */
export async function drawPrior(engine: Engine, seed: bigint, first: number, count: number): Promise<FloatTensor> {
  const { manifest } = engine;
  const elements = sizeOf(manifest.sampleShape);
  const z = allocate(count * elements, `${count} samples`);
  (manifest.prior.z === 'normal' ? fillNormals : fillUniforms)(z, { seed, purpose: purposes.prior, step: 0 }, { firstSample: first, count, elements });
  return priorOf(engine, floatTensor(z, [count, elements]));
}

/** x₀ of z [N, D]. */
export async function priorOf({ manifest, graphs }: Engine, z: FloatTensor): Promise<FloatTensor> {
  return (await graphs.run('prior', { z }, { x0: [z.shape[0]!, ...manifest.sampleShape] })).x0;
}

/** `Model.sample`. */
export async function sample(engine: Engine, options: SampleOptions): Promise<SampleResult> {
  const start = now();
  const [settings, plan] = await begin(engine, options, ['batch', 'onStep']);
  const { count, batch, steps } = settings;
  const { sampleShape, valueRange } = engine.manifest;
  const elements = sizeOf(sampleShape);
  // A single batch is returned as it comes out of the engine, without a copy.
  let samples = batch < count || steps === 0 ? allocate(count * elements, `${count} samples`) : undefined;
  let stepping = 0;
  for (let done = 0; done < count; done += batch) {
    const size = Math.min(batch, count - done);
    const x0 = await startOf(engine, settings, done, size);
    let x = x0;
    let reported = 0;
    let resumed = now();
    for await (const state of runFlow(batchOf(settings, plan, x0, done, () => steps))) {
      // One read-back, at the end.
      if (state.step === steps) x = await hostOf(state.x);
      stepping += now() - resumed;
      for (; reported < state.step; reported++) await options.onStep?.({ step: reported + 1, of: steps, samples: done + size, count });
      resumed = now();
    }
    // onStep may have aborted after the last call of the engine.
    throwIfAborted(settings.signal);
    if (samples) samples.set(x.data, done * elements);
    else samples = x.data;
  }
  clampInPlace(samples!, valueRange);
  return {
    samples: floatTensor(samples!, [count, ...sampleShape]),
    statistics: statisticsOf(engine, settings, plan, now() - start, (stepping * batch) / count),
  };
}

/** `Model.flow`. */
export async function* flow(engine: Engine, options: FlowOptions): AsyncGenerator<Frame, Statistics, void> {
  const start = now();
  const [settings, plan] = await begin(engine, options, ['every', 'logRatio']);
  const stride = argument('every', options.every ?? 1, integer(1));
  const of = settings.steps;
  /** @param host x on the host: where it is x itself, the flow goes on with it */
  const frame = async (step: number, x: Moving, host: FloatTensor): Promise<Frame> => {
    const copy = host === x ? floatTensor(x.data.slice(), x.shape) : host;
    if (step === of) clampInPlace(copy.data, engine.manifest.valueRange);
    return { step, of, stage: step === 0 ? 'prior' : step <= settings.K ? 'bridging' : 'refinement', x: copy, ...(options.logRatio && { logRatio: await scoreOf(engine, copy, settings.extras(0, 1)['weights']) }) };
  };
  const x0 = await startOf(engine, settings, 0, settings.count);
  const nextStop = (k: number): number => Math.min(of, (Math.floor(k / stride) + 1) * stride);
  yield await frame(0, x0, x0);
  let stepping = 0;
  let resumed = now();
  for await (const { step, x } of runFlow(batchOf(settings, plan, x0, 0, nextStop))) {
    // What a device still has to do is waited for where x is read back, and counts.
    const host = (step % stride === 0 || step === of) && await hostOf(x);
    stepping += now() - resumed;
    if (host) yield await frame(step, x, host);
    resumed = now();
  }
  return statisticsOf(engine, settings, plan, now() - start, stepping);
}

/** The options, checked, and the way that the steps go. @param extra names that are allowed beyond those of `FlowSettings` */
async function begin(engine: Engine, options: SampleOptions, extra: readonly string[]): Promise<[Settings, Plan]> {
  const settings = settingsOf(engine.manifest, options, extra);
  return [settings, await choosePlan(engine, settings)];
}

/** log q/p of every sample of x. @param weights of a composed bundle's estimators. @default the manifest's */
export async function scoreOf({ graphs }: Engine, x: FloatTensor, weights?: Tensor): Promise<Float32Array> {
  return (await graphs.run('ratio', { x, ...(weights && { weights }) }, { logRatio: x.shape.slice(0, 1) })).logRatio.data;
}

/** x₀ of samples `done` to `done + size − 1` of the call: given, or drawn from the prior. */
async function startOf(engine: Engine, { x0, seed, first }: Settings, done: number, size: number): Promise<FloatTensor> {
  const { name, prior, sampleShape } = engine.manifest;
  if (x0) {
    if (size === x0.shape[0]) return x0;
    const elements = sizeOf(sampleShape);
    return floatTensor(x0.data.subarray(done * elements, (done + size) * elements), [size, ...sampleShape]);
  }
  if (prior.kind === 'source') throw new ArgumentError(`${name} starts from samples of another domain: give them as x0, [count, ${sampleShape.join(', ')}].`);
  return drawPrior(engine, seed, first + done, size);
}

function batchOf({ seed, first, noise, steps, signal, extras }: Settings, plan: Plan, x0: FloatTensor, done: number, nextStop: (k: number) => number): Parameters<typeof runFlow>[0] {
  const count = x0.shape[0]!;
  const elements = x0.data.length / count;
  const source = noise ? givenNoise(noise, { first: done, count, elements }) : seededNoise(seed, { first: first + done, count, elements });
  return { x0, steps, noise: source, plan, nextStop, signal, extras: extras(done, count) };
}

function statisticsOf({ runtime }: Engine, { count, steps }: Settings, plan: Plan, milliseconds: number, stepping: number): Statistics {
  return {
    evaluations: count * steps, steps, provider: plan.session.provider, runtime: runtime.name,
    milliseconds, millisecondsPerStep: steps && stepping / steps, plan: plan.name, warnings: [...runtime.warnings],
  };
}

function clampInPlace(data: Float32Array, range: readonly [number, number] | null): void {
  if (!range) return;
  const [low, high] = range;
  // Not Math.min and Math.max: a NaN must stay one, and this is three times faster.
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    if (value < low) data[i] = low;
    else if (value > high) data[i] = high;
  }
}
