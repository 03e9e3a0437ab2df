/** @ratioflow/node on each of its providers, and with the engine elsewhere. */
import { join } from 'node:path';
import { open, readNpy } from '@ratioflow/node';
import type { ProviderName, RuntimeOptions } from '@ratioflow/node';
import { normals, purposes } from '@ratioflow/sdk';
import { offerSwiftShader } from '../../support/swift-shader.js';
import { aFew } from '../driver.js';
import type { Driver } from '../driver.js';

/** Why a provider does not run in a process of its own. */
async function problemOf(provider: ProviderName, folder: string): Promise<string | undefined> {
  const model = await open(folder, { providers: [provider], worker: 'process' });
  try {
    await model.prior();
    return model.runtime.warnings[0]?.replace(/^.*?: (.*?)\. To get it.*$/, '$1');
  } finally {
    await model.dispose();
  }
}

function nodeDriver(name: string, provider: ProviderName, options: RuntimeOptions = {}): Driver {
  return {
    name, tolerance: provider, ...((provider === 'webgpu' || options.worker === 'process') && { takes: aFew }),
    absent: async (folder) => {
      if (provider === 'webgpu') offerSwiftShader();
      return provider === 'cpu' ? undefined : problemOf(provider, folder);
    },
    run: async (folder, jobs) => {
      const outcomes = [];
      let engine = '';
      for (const job of jobs) {
        const model = await open(join(folder, job.bundle), { providers: [provider], ...options });
        try {
          const { bundle, name: title, x0, noise, ...settings } = job;
          const given = { ...(x0 !== null && { x0: await readNpy(join(folder, x0)) }), ...(noise !== null && { noise: await readNpy(join(folder, noise)) }) };
          const { samples, statistics } = await model.sample({ ...settings, ...given });
          if (statistics.warnings.length > 0) throw new Error(`${bundle}, ${title}: ${statistics.warnings.join(' ')}`);
          engine = statistics.runtime;
          const elements = samples.data.length / job.count;
          const made = normals({ seed: job.seed, purpose: purposes.flow, step: 0, firstSample: job.first, count: job.count, elements });
          outcomes.push({ samples: samples.data, noise: made, provider: statistics.provider });
        } finally {
          await model.dispose();
        }
      }
      return { engine, outcomes };
    },
  };
}

export const nodeDrivers: readonly Driver[] = [
  nodeDriver('node-cpu', 'cpu'),
  nodeDriver('node-cpu, worker thread', 'cpu', { worker: 'thread' }),
  nodeDriver('node-cpu, worker process', 'cpu', { worker: 'process' }),
  nodeDriver('node-webgpu', 'webgpu', { worker: 'process' }),
  nodeDriver('node-cuda', 'cuda', { worker: 'process' }),
];
