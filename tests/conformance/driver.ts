/**
 * What a runtime must offer to take part in the conformance suite. A new one is a file in drivers/ and a line in
 * drivers/index.ts (docs/new-runtime.md).
 */
import type { Job, Outcome } from './jobs.js';

export interface Driver {
  /** As it stands in the table, for example `node-cpu`. */
  readonly name: string;
  /** Key of the manifest's tolerances: `cpu`, `wasm`, `webgpu`, `cuda`, `default`. */
  readonly tolerance: string;
  /** Why it cannot run here; undefined when it can. @param bundle a folder with a bundle to try */
  absent(bundle: string): Promise<string | undefined>;
  /** Which jobs, where a software device would take minutes for all of them. @default all */
  readonly takes?: (job: Job) => boolean;
  /** Runs every job. @param folder where the bundles and given files lie */
  run(folder: string, jobs: readonly Job[]): Promise<{ readonly engine: string; readonly outcomes: readonly Outcome[] }>;
}

/** One case of each of the small networks: for WebGPU on a processor, and where every model means a process. */
export const aFew = ({ name }: Job): boolean => /^(points-lr-kl-gaussian|image-lr-kl-ddp): as the bundle says$/.test(name);
