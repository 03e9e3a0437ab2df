/**
 * onnxruntime-web itself: imported when it is needed, the build that the provider wants. It is one engine for the whole
 * thread, whose calls must not overlap.
 */
import { RuntimeError } from '@ratioflow/sdk';
import type * as ort from 'onnxruntime-web/wasm';
import type { ProviderName } from './providers.js';

/** The module of onnxruntime-web. */
export type Ort = typeof ort;

/** Where the engine's WebAssembly lies and how it runs; the first load decides, as the engine starts once. */
export interface EngineOptions {
  /** Threads wanted; 1 where the page is not cross-origin isolated. */
  readonly threads: number;
  /** URL of a folder that holds the `.wasm` files of onnxruntime-web. */
  readonly assets: string | undefined;
}

/** A started engine. */
export interface Engine {
  readonly ort: Ort;
  /** What it was started with, whatever was asked for later. */
  readonly started: EngineOptions;
  /** Runs a task when those before it have ended: calls of the engine must not overlap. */
  readonly exclusive: <T>(task: () => Promise<T>) => Promise<T>;
  /** The graphics device on which sessions are to be made. */
  readonly device: GPUDevice | undefined;
  /**
   * Passes the task on, unless the device is lost. What the device then refuses of it, an allocation for one, is known later.
   * @throws {RuntimeError} saying that the device is lost, or what it refused of a task that failed
   */
  readonly guarded: <T>(task: () => Promise<T>) => Promise<Guarded<T>>;
  /** Resolves when the device has done what was submitted so far; at once without a device. */
  readonly submitted: () => Promise<unknown>;
}

/** Whether these scripts come from the page's own origin: workers and threads of another one are not to be had. */
export const isOwnOrigin = (): boolean => new URL(import.meta.url).origin === location.origin;

/** The value of a task on the device. */
export interface Guarded<T> {
  readonly value: T;
  /** Resolves once the device has accepted all of the task; until then the value may be nonsense. Rejects with a RuntimeError when it did not. */
  readonly accepted: Promise<void>;
}

/** WebAssembly file of each build. */
const wasmFiles: Readonly<Record<ProviderName, string>> = {
  webgpu: 'ort-wasm-simd-threaded.asyncify.wasm',
  wasm: 'ort-wasm-simd-threaded.wasm',
};

// The engine is a singleton of its thread, whoever asks for it; only its device may be another after a loss.
const engines = new Map<ProviderName, Promise<Engine>>();

/** Starts the engine for a provider, or gives the one that runs. @throws when the provider is absent */
export function startEngine(provider: ProviderName, options: EngineOptions): Promise<Engine> {
  let engine = engines.get(provider);
  const forget = (): void => {
    if (engines.get(provider) === engine) engines.delete(provider);
  };
  if (engine === undefined) {
    engine = start(provider, options, forget);
    engines.set(provider, engine);
    // A download that failed may be tried again.
    engine.catch(forget);
  }
  return engine;
}

/** @param onBroken called when the device should serve no further model */
async function start(provider: ProviderName, started: EngineOptions, onBroken: () => void): Promise<Engine> {
  const { threads, assets } = started;
  const device = provider === 'webgpu' ? await requestDevice() : undefined;
  const ort = provider === 'webgpu' ? await import('onnxruntime-web/webgpu') : await import('onnxruntime-web/wasm');
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = threads;
  // On another origin the engine only takes its own modules when it is told where its WebAssembly is.
  const folder = assets ?? (isOwnOrigin() ? undefined : import.meta.url.replace(/[^/]*$/, ''));
  if (folder !== undefined) ort.env.wasm.wasmPaths = { wasm: new URL(wasmFiles[provider], folder) };
  return {
    ort, device, started,
    exclusive: (task) => {
      const result = last.then(async () => {
        // Runs that follow one another without a pause would keep messages, timers and drawing out.
        if (performance.now() - breath > breathMilliseconds) {
          await macrotask();
          breath = performance.now();
        }
        return task();
      });
      last = result.catch(() => undefined);
      return result;
    },
    guarded: device === undefined ? async (task) => ({ value: await task(), accepted: Promise.resolve() }) : guard(device, onBroken),
    submitted: () => device?.queue.onSubmittedWorkDone() ?? Promise.resolve(),
  };
}

/**
 * A device reports its loss and what it refuses beside the calls on it, which may then never answer, or answer with nonsense:
 * this brings them together, and calls a lost device no more.
 */
function guard(device: GPUDevice, onBroken: () => void): Engine['guarded'] {
  let loss: RuntimeError | undefined;
  const lost = device.lost.then(({ message, reason }): never => {
    onBroken();
    throw loss = new RuntimeError(`the WebGPU device was lost (${message || reason}): open the model again`);
  });
  lost.catch(() => undefined);
  const refusals = async (): Promise<void> => {
    // The innermost scope was pushed last. A device that is lost has no scopes any more.
    const found = await Promise.race([lost, Promise.all(filters.map(() => device.popErrorScope().catch(() => null)))]);
    const error = found.find((one) => one !== null);
    if (error === undefined) return;
    // The engine may keep what the device refused for later use: the next model gets a new device.
    onBroken();
    throw new RuntimeError(`the WebGPU device refused it (${error.message || 'out of memory'}): take a smaller batch, or open the model again`, { cause: error });
  };
  return async (task) => {
    if (loss !== undefined) throw loss;
    for (const filter of filters) device.pushErrorScope(filter);
    try {
      const value = await Promise.race([lost, task()]);
      const accepted = refusals();
      accepted.catch(() => undefined);
      return { value, accepted };
    } catch (error) {
      // What failed after a refusal failed because of it.
      await refusals();
      throw error;
    }
  };
}

const filters = ['internal', 'validation', 'out-of-memory'] as const satisfies readonly GPUErrorFilter[];

let last: Promise<unknown> = Promise.resolve();
let breath = 0;

/** Runs may take this long before the thread does something else in between. */
const breathMilliseconds = 8;

const macrotask = (): Promise<void> => new Promise((resolve) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    resolve();
  };
  port2.postMessage(0);
});

/** A device of our own with all that its adapter allows, so that its loss is noticed. */
async function requestDevice(): Promise<GPUDevice> {
  const gpu = (navigator as { readonly gpu?: GPU }).gpu;
  if (gpu === undefined) throw new RuntimeError('this browser has no WebGPU, or the page is not served from https or localhost');
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) throw new RuntimeError('the browser found no graphics adapter for WebGPU');
  const features = ['shader-f16', 'subgroups', 'timestamp-query'] as GPUFeatureName[];
  return adapter.requestDevice({
    requiredFeatures: features.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
  });
}

/** What graphs of the engine may need more of than every device has. */
const limits = [
  'maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage', 'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX', 'maxComputeWorkgroupSizeY', 'maxComputeWorkgroupSizeZ', 'maxComputeWorkgroupsPerDimension',
] as const satisfies readonly (keyof GPUSupportedLimits)[];
