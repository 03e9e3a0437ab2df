/**
 * tfjs-node-gpu 4.22 calls two functions of `node:util` that Node 23 removed, or deprecates with a warning to the user, who
 * can do nothing about it. They are put there, with the meaning that Node's documentation gives them, before the package is loaded.
 */
import { createRequire } from 'node:module';

/** Defines `util.isNullOrUndefined` and `util.isArray`, where they are gone and where they warn. */
export function restoreRemovedUtilities(): void {
  // The mutable CommonJS object: that is what the package's own require('util') returns.
  const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>;
  util['isNullOrUndefined'] = (value: unknown): boolean => value === null || value === undefined;
  util['isArray'] = (value: unknown): boolean => Array.isArray(value);
}
