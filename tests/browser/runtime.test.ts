/** @ratioflow/web in a real Chromium, against what onnxruntime-node makes of the same bundles. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open as openInNode } from '@ratioflow/node';
import type * as Sdk from '@ratioflow/sdk';
import type { SampleOptions } from '@ratioflow/sdk';
import type * as Web from '@ratioflow/web';
import type { OpenOptions } from '@ratioflow/web';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { writeImageBundle, writePointsBundle } from '../support/network-bundles.js';
import { buildPage } from './build.js';
import { launch, noChromium } from './chromium.js';
import { isolation, serveFiles } from './server.js';
import type { Server } from './server.js';

declare const ratioflow: typeof Sdk & typeof Web;

describe.skipIf(noChromium !== undefined)('in the browser', () => {
  let folder: string;
  let browser: Browser;
  let server: Server;
  let isolated: Server;
  const pages: Page[] = [];
  /** What pages reported; every test ends without any. */
  const errors: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ratioflow-browser-'));
    const [started] = await Promise.all([
      launch(), writePointsBundle(join(folder, 'points')), writeImageBundle(join(folder, 'image')),
      buildPage(join(import.meta.dirname, 'pages/runtime'), join(folder, 'page')),
    ]);
    browser = started;
    const folders = { '/bundles/': folder, '/': join(folder, 'page') };
    server = await serveFiles(folders);
    isolated = await serveFiles(folders, () => isolation);
  });
  afterEach(async () => {
    await Promise.all(pages.splice(0).map((page) => page.context().close()));
    expect(errors.splice(0)).toEqual([]);
  });
  afterAll(async () => {
    await browser.close();
    await Promise.all([server.close(), isolated.close()]);
    await rm(folder, { recursive: true });
  });

  /** A page of its own storage. */
  async function openPage(at: Server = server): Promise<Page> {
    const page = await (await browser.newContext()).newPage();
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    page.on('pageerror', (error) => errors.push(String(error)));
    pages.push(page);
    await page.goto(at.url);
    await page.waitForFunction(() => 'ratioflow' in globalThis);
    return page;
  }

  const sampleIn = (page: Page, bundle: string, options: OpenOptions, settings: SampleOptions): Promise<{ samples: number[]; shape: number[]; statistics: Sdk.Statistics; prior: number[] }> =>
    page.evaluate(async ({ bundle, options, settings }) => {
      const model = await ratioflow.open(`/bundles/${bundle}`, options);
      const { samples, statistics } = await model.sample(settings);
      const prior = await model.prior({ count: 3, seed: 9 });
      await model.dispose();
      return { samples: [...samples.data], shape: [...samples.shape], statistics, prior: [...prior.data] };
    }, { bundle, options, settings });

  const largest = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
    expect(a.length).toBe(b.length);
    return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
  };

  describe.each([['points', 1e-5], ['image', 1e-5]] as const)('the bundle %s', (name, tolerance) => {
    it.each([
      ['wasm', true], ['wasm', false], ['webgpu', name === 'image'],
    ] as const)('samples on %s as onnxruntime-node does (worker: %s)', async (provider, worker) => {
      await using model = await openInNode(join(folder, name));
      const settings = { count: 5, seed: 21, first: 3, batch: 3, ...(provider === 'webgpu' && { K: 4, kappa: 2 }) };
      const expected = await model.sample(settings);
      const page = await openPage(worker ? isolated : server);
      const actual = await sampleIn(page, name, { providers: [provider], worker }, settings);
      expect(actual.statistics).toMatchObject({ provider, evaluations: expected.statistics.evaluations, plan: provider === 'wasm' ? 'graph' : 'device' });
      expect(actual.statistics.runtime).toMatch(/^onnxruntime-web 1\.\d+/);
      expect(actual.shape).toEqual(expected.samples.shape);
      expect(largest(actual.samples, expected.samples.data)).toBeLessThan(provider === 'wasm' ? tolerance : 20 * tolerance);
      expect(largest(actual.prior, (await model.prior({ count: 3, seed: 9 })).data)).toBeLessThan(1e-6);
      // A flow that stands still would agree as well.
      expect(largest(actual.samples, (await model.sample({ ...settings, K: 0, kappa: 0 })).samples.data)).toBeGreaterThan(0.1);
    });
  });
});
