/** Versions of everything that a result depends on. */
import { readFileSync } from 'node:fs';
import type { Runtime } from '@ratioflow/sdk';
import type { LoadedTensorFlow } from '../backend/load-tensorflow.js';

const own = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };

export function versions({ tf, description }: LoadedTensorFlow, runtime: Runtime): Record<string, string> {
  return {
    ratioflow: own.version,
    tfjs: tf.version['tfjs-core'],
    learning: description,
    sampling: runtime.name,
    node: process.versions.node,
  };
}
