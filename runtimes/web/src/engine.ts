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
  /** Why the engine cannot go on, once it cannot. */
  readonly lost: () => string | undefined;
  /** Resolves when the device has done what was submitted so far; at once without a device. */
  readonly submitted: () => Promise<unknown>;
}

/** WebAssembly file of each build. */
const wasmFiles: Readonly<Record<ProviderName, string>> = {
  webgpu: 'ort-wasm-simd-threaded.asyncify.wasm',
  wasm: 'ort-wasm-simd-threaded.wasm',
};

// The engine is a singleton of its thread, whoever asks for it.
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
  const ort = provider === 'webgpu' ? await import('onnxruntime-web/webgpu') : await import('onnxruntime-web/wasm');
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = threads;
  if (assets !== undefined) ort.env.wasm.wasmPaths = { wasm: new URL(wasmFiles[provider], assets) };
  let lost: string | undefined;
  if (device !== undefined) {
    ort.env.webgpu.device = device;
    void device.lost.then(({ message, reason }) => {
      lost = `the WebGPU device was lost (${message || reason}): open the model again`;
    });
  }
  let last: Promise<unknown> = Promise.resolve();
  let breath = performance.now();
  return {
    ort,
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
    lost: () => lost,
    submitted: () => device?.queue.onSubmittedWorkDone() ?? Promise.resolve(),
  };
}

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
