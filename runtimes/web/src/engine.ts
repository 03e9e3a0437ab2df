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
  /** Runs a task when those before it have ended: calls of the engine must not overlap. */
  readonly exclusive: <T>(task: () => Promise<T>) => Promise<T>;
  /** The graphics device on which sessions are to be made. */
  readonly device: GPUDevice | undefined;
  /** Passes the task on, unless the device is lost. @throws {RuntimeError} saying so */
  readonly guarded: <T>(task: () => Promise<T>) => Promise<T>;
  /** Resolves when the device has done what was submitted so far; at once without a device. */
  readonly submitted: () => Promise<unknown>;
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
  if (engine === undefined) {
    engine = start(provider, options);
    engines.set(provider, engine);
    // A download that failed may be tried again.
    engine.catch(() => engines.delete(provider));
  }
  return engine;
}

async function start(provider: ProviderName, { threads, assets }: EngineOptions): Promise<Engine> {
  const device = provider === 'webgpu' ? await requestDevice() : undefined;
  // The next one to open a model gets a new device.
  void device?.lost.then(() => engines.delete(provider));
  const ort = provider === 'webgpu' ? await import('onnxruntime-web/webgpu') : await import('onnxruntime-web/wasm');
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = threads;
  if (assets !== undefined) ort.env.wasm.wasmPaths = { wasm: new URL(wasmFiles[provider], assets) };
  return {
    ort, device,
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
    guarded: device === undefined ? (task) => task() : guard(device),
    submitted: () => device?.queue.onSubmittedWorkDone() ?? Promise.resolve(),
  };
}

/** A device reports its loss beside the calls on it, which may then never answer: this brings the two together, and calls a lost one no more. */
function guard(device: GPUDevice): Engine['guarded'] {
  let loss: RuntimeError | undefined;
  const lost = device.lost.then(({ message, reason }): never => {
    throw loss = new RuntimeError(`the WebGPU device was lost (${message || reason}): open the model again`);
  });
  lost.catch(() => undefined);
  return (task) => (loss === undefined ? Promise.race([lost, task()]) : Promise.reject(loss));
}

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
  const { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX, maxComputeWorkgroupSizeY, maxComputeWorkgroupSizeZ, maxComputeWorkgroupsPerDimension } = adapter.limits;
  return adapter.requestDevice({
    requiredFeatures: features.filter((feature) => adapter.features.has(feature)),
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX, maxComputeWorkgroupSizeY, maxComputeWorkgroupSizeZ, maxComputeWorkgroupsPerDimension },
  });
}
