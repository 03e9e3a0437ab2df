/**
 * The native backend: tfjs-node-gpu on the TensorFlow library that set-up installs (trainer/native). The library itself
 * decides between GPU and CPU.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { registerNativeKernels } from './native-kernels.js';
import { restoreRemovedUtilities } from './node-compat.js';
import { packageFolder, requirePackage } from './tensorflow.js';
import type { TensorFlow } from './tensorflow.js';

/** What set-up wrote about the binding that it installed. */
export interface NativeRecord {
  /** Name and version of the TensorFlow wheel, such as `tensorflow-cpu 2.21.0`. */
  readonly release: string;
  /** Whether that wheel can use an NVIDIA GPU. */
  readonly cuda: boolean;
  /** Folder of the shared libraries. */
  readonly libraries: string;
}

/** Where tfjs-node-gpu looks for its compiled binding (N-API 8 on every Node version that we support); undefined without that package, which is optional. */
export function bindingFile(): string | undefined {
  try {
    return join(packageFolder('@tensorflow/tfjs-node-gpu'), 'lib', 'napi-v8', 'tfjs_binding.node');
  } catch {
    return undefined;
  }
}

/** Whether the binding is there at all. Loading it can still fail. */
export function isNativeInstalled(): boolean {
  const file = bindingFile();
  return file !== undefined && existsSync(file);
}

/** Set-up's record beside the binding, or undefined where somebody else built it. */
export function readNativeRecord(): NativeRecord | undefined {
  const file = bindingFile();
  if (file === undefined) return undefined;
  try {
    return JSON.parse(readFileSync(`${file}.json`, 'utf8')) as NativeRecord;
  } catch {
    return undefined;
  }
}

/**
 * Loads the native backend into tfjs, and leaves it active. Throws the loader's own error when the binding or a library
 * that it needs does not load.
 * @param quiet hide TensorFlow's log lines below errors, unless TF_CPP_MIN_LOG_LEVEL is already set
 */
export async function useNative(tf: TensorFlow, quiet: boolean): Promise<void> {
  // TensorFlow reads this once, while its library is loaded.
  if (quiet) process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  restoreRemovedUtilities();
  requirePackage('@tensorflow/tfjs-node-gpu');
  registerNativeKernels(tf);
  if (!(await tf.setBackend('tensorflow'))) throw new Error('tfjs did not accept the backend "tensorflow"');
}

/** Whether TensorFlow found a GPU that it uses. Only after {@link useNative}. */
export function usesGpu(tf: TensorFlow): boolean {
  return (tf.backend() as { isUsingGpuDevice?: boolean }).isUsingGpuDevice === true;
}
