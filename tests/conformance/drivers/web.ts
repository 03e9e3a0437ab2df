/** @ratioflow/web in headless Chromium. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readNpy } from '@ratioflow/node';
import type * as Sdk from '@ratioflow/sdk';
import type * as Web from '@ratioflow/web';
import { buildPage } from '../../browser/build.js';
import { launch, noChromium } from '../../browser/chromium.js';
import { isolation, serveFiles } from '../../browser/server.js';
import { aFew } from '../driver.js';
import type { Driver } from '../driver.js';

declare const ratioflow: typeof Sdk & typeof Web;

/** The page is the same for all drivers. */
let page: Promise<string> | undefined;
const builtPage = (): Promise<string> => (page ??= (async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ratioflow-conformance-page-'));
  await buildPage(join(import.meta.dirname, '../../browser/pages/runtime'), folder);
  process.once('exit', () => void rm(folder, { recursive: true, force: true }));
  return folder;
})());

const webDriver = (provider: 'wasm' | 'webgpu'): Driver => ({
  name: `web-${provider}`, tolerance: provider, ...(provider === 'webgpu' && { takes: aFew }),
  absent: () => Promise.resolve(noChromium),
  run: async (folder, jobs) => {
    const server = await serveFiles({ '/bundles/': folder, '/': await builtPage() }, () => isolation);
    const browser = await launch();
    try {
      const tab = await (await browser.newContext()).newPage();
      await tab.goto(server.url);
      await tab.waitForFunction(() => 'ratioflow' in globalThis);
      const outcomes = [];
      let engine = '';
      for (const job of jobs) {
        const array = async (file: string | null): Promise<{ shape: readonly number[]; values: number[] } | null> => {
          if (file === null) return null;
          const { shape, data } = await readNpy(join(folder, file));
          return { shape, values: Array.from(data as Float32Array) };
        };
        const files = { x0: await array(job.x0), noise: await array(job.noise) };
        const result = await tab.evaluate(async ({ job, files, provider }) => {
          const { bundle, name, seed, first, count, K, kappa, eta, nu } = job;
          const model = await ratioflow.open(`/bundles/${bundle}`, { providers: [provider], cache: false });
          const given = Object.fromEntries(Object.entries(files).flatMap(([key, file]) => (file === null ? [] : [[key, { shape: file.shape, data: Float32Array.from(file.values) }]])));
          const { samples, statistics } = await model.sample({ seed, first, count, K, kappa, eta, nu, ...given });
          await model.dispose();
          const elements = samples.data.length / job.count;
          const made = ratioflow.normals({ seed: job.seed, purpose: ratioflow.purposes.flow, step: 0, firstSample: job.first, count: job.count, elements });
          // JSON has neither infinities nor the sign of zero; the bits have.
          const bits = (values: Float32Array): number[] => [...new Int32Array(values.slice().buffer)];
          return { title: name, samples: bits(samples.data), noise: bits(made), statistics };
        }, { job, files, provider });
        if (result.statistics.provider !== provider) throw new Error(`${result.title}: ran on ${result.statistics.provider}: ${result.statistics.warnings.join(' ')}`);
        engine = result.statistics.runtime;
        const floats = (bits: number[]): Float32Array => new Float32Array(Int32Array.from(bits).buffer);
        outcomes.push({ samples: floats(result.samples), noise: floats(result.noise), provider: result.statistics.provider });
      }
      return { engine, outcomes };
    } finally {
      await browser.close();
      await server.close();
    }
  },
});

export const webDrivers: readonly Driver[] = [webDriver('wasm'), webDriver('webgpu')];
