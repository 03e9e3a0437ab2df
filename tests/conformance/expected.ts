/**
 * What every runtime is compared with: Algorithm 2 written down once more, in double precision around gradient.onnx on
 * onnxruntime-node without any graph optimisation. Of the SDK it uses the noise (pinned by vectors of its own) and the
 * reader of bundles, not the sampler.
 */
import { join } from 'node:path';
import { open, readNpy } from '@ratioflow/node';
import { normals, purposes } from '@ratioflow/sdk';
import type { Job } from './jobs.js';

export interface Expected { readonly samples: Float64Array; readonly noise: Float32Array; readonly tolerances: Readonly<Record<string, { readonly absolute: number; readonly relative: number }>> }

export async function expectedOf(folder: string, job: Job): Promise<Expected> {
  const model = await open(join(folder, job.bundle), { threads: 1, optimization: 'disabled' });
  try {
    const { sampleShape, valueRange, tolerances } = model.manifest;
    const elements = sampleShape.reduce((a, b) => a * b, 1);
    const draw = (step: number): Float32Array => normals({ seed: job.seed, purpose: purposes.flow, step, firstSample: job.first, count: job.count, elements });
    const given = job.noise === null ? undefined : (await readNpy(join(folder, job.noise))).data as Float32Array;
    const start = job.x0 === null ? await model.prior({ seed: job.seed, first: job.first, count: job.count }) : await readNpy(join(folder, job.x0));
    let x = Float64Array.from(start.data as Float32Array);
    for (let k = 0; k < job.K + job.kappa; k++) {
      const { drift } = await model.gradient({ shape: start.shape, data: Float32Array.from(x) });
      const xi = given?.subarray(k * x.length, (k + 1) * x.length) ?? draw(k);
      x = x.map((value, i) => value + job.eta * drift.data[i]! + job.nu * xi[i]!);
    }
    const [low, high] = valueRange ?? [-Infinity, Infinity];
    return { samples: x.map((value) => Math.min(high, Math.max(low, value))), noise: draw(0), tolerances };
  } finally {
    await model.dispose();
  }
}
