/**
 * TensorFlow.js as this package sees it: one type, whichever backend computes.
 * All modules are taken through CommonJS: tfjs-node-gpu requires `@tensorflow/tfjs` that way, and a second copy loaded
 * as an ES module would have its own engine, registry and tensors.
 */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import type * as tfjs from '@tensorflow/tfjs';

/** The API of TensorFlow.js. Import this type, and take the value from {@link loadTensorFlow}. */
export type TensorFlow = typeof tfjs;

/** What tfjs calls the backend that computes. */
export type BackendName = 'tensorflow' | 'wasm' | 'cpu';

const require = createRequire(import.meta.url);

/** Loads a CommonJS package that has type declarations of its own. */
export function requirePackage(name: string): unknown {
  return require(name);
}

/** Folder of an installed package. Throws when it is not installed. */
export function packageFolder(name: string): string {
  return dirname(require.resolve(`${name}/package.json`));
}

/** The one instance of `@tensorflow/tfjs` in this process. */
export function requireTensorFlow(): TensorFlow {
  return requirePackage('@tensorflow/tfjs') as TensorFlow;
}
