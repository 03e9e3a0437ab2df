/**
 * The portable backends: WebAssembly (SIMD), else plain JavaScript. Several times slower than the native one, and
 * enough for small networks.
 */
import { join, sep } from 'node:path';
import type * as wasmBackend from '@tensorflow/tfjs-backend-wasm';
import { packageFolder, requirePackage } from './tensorflow.js';
import type { TensorFlow } from './tensorflow.js';
import { registerConvFilterGradient } from './wasm-conv-filter-gradient.js';
import { registerConvInputGradient } from './wasm-conv-input-gradient.js';

let prepared = false;

/** Makes WebAssembly the active backend. Throws when it does not start. */
export async function useWasm(tf: TensorFlow): Promise<void> {
  if (!prepared) {
    const wasm = requirePackage('@tensorflow/tfjs-backend-wasm') as typeof wasmBackend;
    // Under Node the package otherwise looks for its .wasm files beside the running script.
    wasm.setWasmPaths(join(packageFolder('@tensorflow/tfjs-backend-wasm'), 'dist') + sep);
    registerConvFilterGradient(tf);
    registerConvInputGradient(tf);
    prepared = true;
  }
  if (!(await tf.setBackend('wasm'))) throw new Error('tfjs did not accept the backend "wasm"');
}

/** Makes plain JavaScript the active backend. It is always there. */
export async function usePlainJavaScript(tf: TensorFlow): Promise<void> {
  if (!(await tf.setBackend('cpu'))) throw new Error('tfjs did not accept the backend "cpu"');
  // It would greet with a banner that recommends a package which does not install; our own warning says what to do.
  (tf.backend() as { firstUse?: boolean }).firstUse = false;
}
