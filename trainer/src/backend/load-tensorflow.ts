/**
 * Chooses and loads the backend that trains: native TensorFlow where set-up could install it, else a portable one with
 * a plain message. tfjs holds one active backend per process, so the last call decides.
 */
import { RuntimeError } from '@ratioflow/sdk';
import { isNativeInstalled, readNativeRecord, useNative, usesGpu } from './native.js';
import { usePlainJavaScript, useWasm } from './portable.js';
import { requireTensorFlow } from './tensorflow.js';
import type { BackendName, TensorFlow } from './tensorflow.js';

/** What to load. */
export interface LoadTensorFlowOptions {
  /**
   * `auto`: native, else portable with a warning. `native`: native or an error. `portable`: WebAssembly, else plain
   * JavaScript. `cpu`: plain JavaScript, slow, for comparison.
   * @default 'auto'
   */
  readonly backend?: BackendChoice;
  /**
   * Let TensorFlow print its own log lines. Only has an effect on the first native load of a process.
   * @default false
   */
  readonly verbose?: boolean;
}

/** Names that {@link LoadTensorFlowOptions.backend} accepts. */
export const backendChoices = ['auto', 'native', 'portable', 'cpu'] as const;
/** One of {@link backendChoices}. */
export type BackendChoice = (typeof backendChoices)[number];

/** TensorFlow.js, ready to compute. */
export interface LoadedTensorFlow {
  readonly tf: TensorFlow;
  /** tfjs's name of the active backend. */
  readonly backend: BackendName;
  /** One line for a person, such as `TensorFlow (tensorflow-cpu 2.21.0, CPU)`. */
  readonly description: string;
  /** Why it is not the backend that one would wish, and what to do; empty when all is well. */
  readonly warnings: readonly string[];
}

/** What to do when the native binding is missing or broken. */
export const nativeRemedy = import.meta.url.includes('/node_modules/')
  ? 'run "npx ratioflow-tensorflow": it installs TensorFlow, or says what it lacks'
  : 'run "node setup.mjs" in the project folder: it installs TensorFlow, or says what it lacks';

/**
 * Loads TensorFlow.js with the backend asked for, and makes that backend active.
 * @throws RuntimeError when the backend that was asked for by name does not load
 */
export async function loadTensorFlow(options: LoadTensorFlowOptions = {}): Promise<LoadedTensorFlow> {
  const { backend = 'auto', verbose = false } = options;
  const tf = requireTensorFlow();
  const warnings: string[] = [];
  switch (backend) {
    case 'auto':
    case 'native': {
      const failure = await tryNative(tf, verbose);
      if (failure === undefined) return { tf, backend: 'tensorflow', description: describeNative(tf), warnings };
      if (backend === 'native') {
        throw new RuntimeError(`TensorFlow's native backend: ${failure.message}; ${nativeRemedy}`, { cause: failure });
      }
      warnings.push(`Training runs on the slower portable backend (${failure.message}). To change that, ${nativeRemedy}.`);
      return loadPortable(tf, warnings);
    }
    case 'portable':
      return loadPortable(tf, warnings);
    case 'cpu':
      await usePlainJavaScript(tf);
      return { tf, backend: 'cpu', description: 'TensorFlow.js in plain JavaScript', warnings };
    default:
      throw new RuntimeError(
        `unknown TensorFlow backend "${String(backend satisfies never)}": choose one of ${backendChoices.join(', ')}`,
      );
  }
}

async function tryNative(tf: TensorFlow, verbose: boolean): Promise<Error | undefined> {
  if (!isNativeInstalled()) return new Error('its native binding is not installed');
  try {
    await useNative(tf, !verbose);
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error : new Error(String(error));
    return new Error(`its native binding does not load: ${reason.message.split('\n')[0] ?? ''}`, { cause: reason });
  }
}

async function loadPortable(tf: TensorFlow, warnings: string[]): Promise<LoadedTensorFlow> {
  try {
    await useWasm(tf);
    return { tf, backend: 'wasm', description: 'TensorFlow.js on WebAssembly', warnings };
  } catch (error) {
    warnings.push(`WebAssembly did not start (${String(error)}); plain JavaScript is used, which is slower still.`);
    await usePlainJavaScript(tf);
    return { tf, backend: 'cpu', description: 'TensorFlow.js in plain JavaScript', warnings };
  }
}

function describeNative(tf: TensorFlow): string {
  const release = readNativeRecord()?.release ?? 'library of unknown version';
  return `TensorFlow (${release}, ${usesGpu(tf) ? 'GPU' : 'CPU'})`;
}
