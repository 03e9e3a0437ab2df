/** The cases of cases.json as jobs: real bundles on disk, and files for what is given. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PriorSource } from '@ratioflow/export';
import { writeNpy } from '@ratioflow/node';
import { normals, purposes } from '@ratioflow/sdk';
import type { Manifest, PairingName } from '@ratioflow/sdk';
import { writeImageBundle, writePointsBundle, writeWideBundle } from '../support/network-bundles.js';

interface BundleCase { readonly name: string; readonly network: keyof typeof networks; readonly pairing: PairingName; readonly prior: 'gaussian' | 'uniform' | 'ddp' }
interface SampleCase {
  readonly name: string;
  /** Regular expression that the bundle's name fits. */
  readonly bundles: string;
  readonly seed: string;
  readonly first: number;
  readonly count: number;
  readonly K?: number;
  readonly kappa?: number;
  readonly eta?: number;
  readonly nu?: number;
  /** Start and noise come from files. */
  readonly given?: boolean;
}

/** One call of `sample`, spelled out for any language. */
export interface Job {
  readonly name: string;
  /** Name of the folder below that of the bundles. */
  readonly bundle: string;
  readonly seed: string;
  readonly first: number;
  readonly count: number;
  readonly K: number;
  readonly kappa: number;
  readonly eta: number;
  readonly nu: number;
  /** Paths below the folder of the bundles: x0 [count, …], noise [K + κ, count, …]; otherwise by the seed. */
  readonly x0: string | null;
  readonly noise: string | null;
}

/** Samples, and the noise of the first step as the driver made it: [count · elements] each. */
export interface Outcome { readonly samples: Float32Array; readonly noise: Float32Array; readonly provider: string }

const networks = {
  points: { write: writePointsBundle, shape: [2] },
  image: { write: writeImageBundle, shape: [1, 8, 8] },
  wide: { write: writeWideBundle, shape: [1, 16, 16] },
};

/** A lower factor and a mean, made up. */
function ddp(elements: number): PriorSource {
  const factor = normals({ seed: 5, purpose: purposes.testVectors, step: 0, count: elements, elements }).map((value) => value / elements);
  for (let row = 0; row < elements; row++) factor.fill(0, row * elements + row + 1, (row + 1) * elements);
  return { kind: 'ddp', mean: new Float32Array(elements).fill(-0.25), factor };
}

/** Writes the bundles below `folder`. @returns the jobs, in order */
export async function writeJobs(folder: string): Promise<Job[]> {
  const { bundles, cases } = JSON.parse(await readFile(new URL('cases.json', import.meta.url), 'utf8')) as { bundles: BundleCase[]; cases: SampleCase[] };
  const jobs: Job[] = [];
  for (const { name, network, pairing, prior } of bundles) {
    const { write, shape } = networks[network];
    const elements = shape.reduce((a, b) => a * b, 1);
    await write(join(folder, name), { pairing, prior: prior === 'ddp' ? ddp(elements) : { kind: prior }, K: 8, kappa: 3 });
    const manifest = JSON.parse(await readFile(join(folder, name, 'manifest.json'), 'utf8')) as Manifest;
    for (const { name: title, bundles: pattern, given, seed, first, count, ...rest } of cases) {
      if (!new RegExp(pattern).test(name)) continue;
      const { K, kappa, eta, nu } = { ...manifest, ...rest };
      if (given === true) {
        const draw = (step: number, samples: number): Float32Array => normals({ seed: 99, purpose: purposes.testVectors, step, count: samples, elements });
        await writeNpy(join(folder, `${name}.x0.npy`), { shape: [count, ...shape], data: draw(0, count) });
        await writeNpy(join(folder, `${name}.noise.npy`), { shape: [K + kappa, count, ...shape], data: draw(1, (K + kappa) * count) });
      }
      jobs.push({ name: `${name}: ${title}`, bundle: name, seed, first, count, K, kappa, eta, nu, x0: given === true ? `${name}.x0.npy` : null, noise: given === true ? `${name}.noise.npy` : null });
    }
  }
  return jobs;
}
