/** @ratioflow/web in a real Chromium, against what onnxruntime-node makes of the same bundles. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphBuilder, newModel, writeModel } from '@ratioflow/export';
import { open as openInNode } from '@ratioflow/node';
import type * as Sdk from '@ratioflow/sdk';
import type { SampleOptions } from '@ratioflow/sdk';
import type * as Web from '@ratioflow/web';
import type { OpenOptions } from '@ratioflow/web';
import type { Browser, Page, Worker } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { writeGuidedBundle, writeImageBundle, writePointsBundle } from '../support/network-bundles.js';
import { buildPage } from './build.js';
import { launch, noChromium } from './chromium.js';
import { isolation, serveFiles } from './server.js';
import type { Server } from './server.js';
import { writeZip } from './write-zip.js';

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
    await writeGuidedBundle(join(folder, 'guided'), join(folder, 'image'));
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

  describe.each([['points', 1e-5], ['image', 1e-5], ['guided', 1e-5]] as const)('the bundle %s', (name, tolerance) => {
    it.each([
      ['wasm', true], ['wasm', false], ['webgpu', name !== 'points'],
    ] as const)('samples on %s as onnxruntime-node does (worker: %s)', async (provider, worker) => {
      await using model = await openInNode(join(folder, name));
      const settings = { count: 5, seed: 21, first: 3, batch: 3, ...(provider === 'webgpu' && { K: 4, kappa: 2 }), ...(name === 'guided' && { class: [2, 0, -1, 1, 2], scale: 2 }) };
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
      if (name === 'guided') expect(largest(actual.samples, (await model.sample({ ...settings, scale: 0 })).samples.data)).toBeGreaterThan(0.1);
    });
  });

  it('keeps the page free, and answers calls, aborts and errors as a model in the page does', async () => {
    const page = await openPage();
    const result = await page.evaluate(async () => {
      const model = await ratioflow.open('/bundles/image', { providers: ['wasm'] });
      const message = (error: unknown): string => `${(error as Error).name}: ${(error as Error).message}`;
      const seen: number[] = [];
      const steps: number[] = [];
      const { samples } = await model.sample({ count: 2, seed: 5, onStep: ({ step }) => steps.push(step) });
      const waited: number[] = [];
      await model.sample({ K: 3, kappa: 0, onStep: async ({ step }) => {
        await new Promise((resolve) => setTimeout(resolve, 30 - 10 * step));
        waited.push(step);
      } });
      const frames: number[] = [];
      let last = new Float32Array(0);
      for await (const { step, x } of model.flow({ count: 2, seed: 5, every: 10 })) {
        frames.push(step);
        last = x.data.slice();
      }
      for await (const { step } of model.flow({ count: 2 })) {
        seen.push(step);
        if (step === 3) break;
      }
      const together = await Promise.all([1, 2, 3].map(async (seed) => (await model.sample({ seed })).samples.data));
      const alone = (await model.sample({ seed: 2 })).samples.data;
      const controller = new AbortController();
      const errors = await Promise.all([
        model.sample(16 as never).catch(message), model.flow(null as never).next().catch(message), model.prior(16 as never).catch(message), model.sample({ onStep: 5 } as never).catch(message),
        model.sample({ count: 0 }).catch(message), model.sample({ signal: new AbortController() as never }).catch(message),
        model.flow({ signal: new AbortController() as never }).next().catch(message), model.sample({ signal: AbortSignal.abort(new Error('before')) }).catch(message),
        model.sample({ count: 64, K: 100_000, signal: controller.signal, onStep: ({ step }) => step === 5 && controller.abort(new Error('during')) }).catch(message),
        model.sample({ onStep: () => { throw new TypeError('from onStep'); } }).catch(message),
        model.sample({ onStep: async ({ step }) => { await Promise.resolve(); if (step > 1) throw new TypeError(`from onStep ${step}`); } }).catch(message),
        model.score({ shape: [1, 3], data: new Float32Array(3) }).catch(message), model.runtime.load({ name: '', model: new Uint8Array() }).catch(message),
      ]);
      // While it samples, the page goes on: the longest time that a timer of 5 ms took.
      let longest = 0;
      let before = performance.now();
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - before);
        before = performance.now();
      }, 5);
      const { statistics } = await model.sample({ count: 64, K: 60 });
      clearInterval(timer);
      const score = await model.score(samples);
      const verification = await model.verify();
      await model.dispose();
      await model.dispose();
      const afterwards = await model.sample().catch(message);
      return { steps, waited, frames, same: [...last].every((value, i) => value === samples.data[i]), seen, concurrent: together[1]!.every((value, i) => value === alone[i]),
        errors, longest, milliseconds: statistics.milliseconds, warnings: statistics.warnings, score: [...score], passed: verification.passed, afterwards };
    });
    expect(result).toMatchObject({
      steps: Array.from({ length: 25 }, (_, i) => i + 1), waited: [1, 2, 3], frames: [0, 10, 20, 25], same: true, seen: [0, 1, 2, 3], concurrent: true, passed: true,
      afterwards: 'ArgumentError: The model has been disposed of: open it again.',
    });
    expect(result.errors).toEqual([
      'ArgumentError: options is 16; allowed: an object.', 'ArgumentError: options is null; allowed: an object.', 'ArgumentError: options is 16; allowed: an object.', 'ArgumentError: onStep is 5; allowed: a function.',
      expect.stringContaining('ArgumentError: count is 0'), 'ArgumentError: signal is {}; allowed: an AbortSignal.', 'ArgumentError: signal is {}; allowed: an AbortSignal.', 'Error: before', 'Error: during', 'TypeError: from onStep', 'TypeError: from onStep 2',
      expect.stringContaining('ArgumentError: x has shape [1, 3]'), expect.stringContaining('ArgumentError: This runtime is in a worker'),
    ]);
    expect(result.warnings).toEqual([expect.stringContaining('WebAssembly runs on one thread: the page is not cross-origin isolated.')]);
    expect(result.longest).toBeLessThan(result.milliseconds);
    await using model = await openInNode(join(folder, 'image'));
    expect(largest(result.score, await model.score((await model.sample({ count: 2, seed: 5 })).samples))).toBeLessThan(1e-4);
  });

  it('downloads a file once, reports how far it is, and mends or refuses what is damaged', async () => {
    const page = await openPage();
    const opened = (bundle: string): Promise<{ downloads: Web.Download[]; error?: string }> => page.evaluate(async (path) => {
      const downloads: Web.Download[] = [];
      try {
        const model = await ratioflow.open(path, { providers: ['wasm'], onProgress: (download) => downloads.push(download) });
        await model.sample({ K: 2, kappa: 0 });
        await model.dispose();
        return { downloads };
      } catch (error) {
        return { downloads, error: `${(error as Error).name}: ${(error as Error).message}` };
      }
    }, bundle);
    const first = await opened('/bundles/image');
    const ends = Object.fromEntries(first.downloads.map(({ file, loaded, total }) => [file, [loaded, total]]));
    const weights = (await readFile(join(folder, 'image/weights.bin'))).byteLength;
    expect(ends['weights.bin']).toEqual([weights, weights]);
    expect(ends['sampler.onnx']?.[0]).toBe(ends['sampler.onnx']?.[1]);
    const again = await opened('/bundles/image');
    expect([...new Set(again.downloads.map(({ file }) => file))]).toEqual(['manifest.json']);
    // Somebody writes nonsense into the cache: the file is fetched anew.
    await page.evaluate(async () => {
      const cache = await caches.open('ratioflow');
      for (const request of await cache.keys()) if (request.url.includes('weights.bin')) await cache.put(request, new Response('nonsense'));
    });
    expect((await opened('/bundles/image')).downloads.map(({ file }) => file)).toContain('weights.bin');
    await cp(join(folder, 'image'), join(folder, 'longer'), { recursive: true });
    await writeFile(join(folder, 'longer/prior.onnx'), Buffer.concat([await readFile(join(folder, 'image/prior.onnx')), Buffer.alloc(9)]));
    expect((await opened('/bundles/longer')).error).toMatch(/^BundleError: .*\/longer\/prior\.onnx has more than the \d+ bytes/);
    await cp(join(folder, 'image'), join(folder, 'other'), { recursive: true });
    const changed = await readFile(join(folder, 'image/weights.bin'));
    changed[100]! ^= 1;
    await writeFile(join(folder, 'other/weights.bin'), changed);
    expect((await opened('/bundles/other')).error).toMatch(/^BundleError: .*weights\.bin has SHA-256/);
    expect((await opened('/bundles/absent')).error).toMatch(/^BundleError: .*manifest\.json cannot be read: the server answers 404/);
    // A failed request is the browser's to report.
    errors.splice(0);
    const aborted = await page.evaluate(async () => {
      const controller = new AbortController();
      const opening = ratioflow.open('/bundles/image', { signal: controller.signal });
      controller.abort(new Error('enough'));
      return opening.then(() => 'opened', (error: unknown) => (error as Error).message);
    });
    expect(aborted).toBe('enough');
  });

  it.each<[string, () => void]>([
    ['is absent', () => Object.defineProperty(globalThis, 'caches', { value: undefined })],
    // As in a sandboxed frame.
    ['may not be asked for', () => Object.defineProperty(globalThis, 'caches', { get: () => { throw new DOMException('sandboxed', 'SecurityError'); } })],
    ['is refused', () => { CacheStorage.prototype.open = () => Promise.reject(new DOMException('no storage', 'SecurityError')); }],
    ['is full', () => { Cache.prototype.put = () => Promise.reject(new DOMException('full', 'QuotaExceededError')); }],
    ['cannot be read', () => { Cache.prototype.match = () => Promise.reject(new DOMException('broken', 'UnknownError')); }],
  ])('opens a bundle where the browser\'s cache %s', async (_, spoil) => {
    const page = await openPage();
    await page.evaluate(spoil);
    const rounds = await page.evaluate(async () => {
      const found: [provider: string, files: string[]][] = [];
      for (let round = 0; round < 2; round++) {
        const files = new Set<string>();
        const model = await ratioflow.open('/bundles/points', { providers: ['wasm'], worker: false, onProgress: ({ file }) => files.add(file) });
        found.push([(await model.sample({ K: 1, kappa: 0 })).statistics.provider, [...files].sort()]);
        await model.dispose();
      }
      return found;
    });
    expect(rounds[0]![0]).toBe('wasm');
    expect(rounds[0]![1]).toContain('weights.bin');
    // Nothing was kept: all is fetched again.
    expect(rounds[1]).toEqual(rounds[0]);
  });

  it.each([true, false])('takes the new files of a bundle that was changed on its server, whatever caches hold, and keeps no old ones (worker: %s)', async (worker) => {
    const [bundle, weights] = [join(folder, 'changing'), join(folder, 'changing/weights.bin')];
    await cp(join(folder, 'points'), bundle, { recursive: true });
    const caching = await serveFiles({ '/bundles/': folder, '/': join(folder, 'page') }, () => ({ 'Cache-Control': 'max-age=600' }));
    const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
    try {
      const page = await openPage(caching);
      const sample = (): Promise<string[]> => page.evaluate(async (worker) => {
        const model = await ratioflow.open('/bundles/changing', { providers: ['wasm'], worker });
        await model.sample({ K: 1, kappa: 0 });
        await model.dispose();
        const keys = await (await caches.open('ratioflow')).keys();
        return keys.map(({ url }) => url).filter((url) => url.includes('weights.bin'));
      }, worker);
      const old = await readFile(weights);
      expect(await sample()).toEqual([`${caching.url}/bundles/changing/weights.bin?sha256=${hashOf(old)}`]);
      const changed = Buffer.from(old);
      changed[0]! ^= 1;
      await writeFile(weights, changed);
      const manifest = await readFile(join(bundle, 'manifest.json'), 'utf8');
      await writeFile(join(bundle, 'manifest.json'), manifest.replace(hashOf(old), hashOf(changed)));
      expect(await sample()).toEqual([`${caching.url}/bundles/changing/weights.bin?sha256=${hashOf(changed)}`]);
    } finally {
      await caching.close();
    }
  });

  it('sends the query of a URL with every file, and fetches again what it cannot read in the cache', async () => {
    const page = await openPage();
    const { fetched, place, again } = await page.evaluate(async () => {
      const asked = (): string[] => performance.getEntriesByType('resource').map(({ name }) => new URL(name)).filter(({ pathname }) => pathname.startsWith('/bundles/'))
        .map(({ pathname, search }) => pathname + search);
      const run = async (): Promise<string[]> => {
        performance.clearResourceTimings();
        const model = await ratioflow.open('/bundles/points?v=3', { providers: ['wasm'], worker: false });
        await model.sample({ K: 1, kappa: 0 });
        await model.dispose();
        return [...new Set(asked())];
      };
      const fetched = await run();
      const response = Response.prototype as unknown as { arrayBuffer: (this: Response) => Promise<ArrayBuffer> };
      const { arrayBuffer } = response;
      // Copies that cannot be read; the engine's own file comes by another way.
      response.arrayBuffer = function read() {
        return this.url === '' || this.url.includes('/bundles/') ? Promise.reject(new TypeError('Failed to fetch')) : arrayBuffer.call(this);
      };
      const again = await run();
      response.arrayBuffer = arrayBuffer;
      return { fetched, place: ratioflow.urlSource('/bundles/points?v=3#top').location, again };
    });
    expect(fetched).toContain('/bundles/points/manifest.json?v=3');
    expect(fetched).toContain('/bundles/points/weights.bin?v=3');
    expect(fetched.filter((path) => !path.endsWith('?v=3'))).toEqual([]);
    expect(place).toBe(`${server.url}/bundles/points/`);
    expect(again).toEqual(fetched);
  });

  it('ends the opening by its signal, and no reading afterwards', async () => {
    const page = await openPage();
    const result = await page.evaluate(async () => {
      const open = (signal: AbortSignal): Promise<Sdk.Model> => ratioflow.open('/bundles/points', { providers: ['wasm'], worker: false, cache: false, signal });
      const before = await open(AbortSignal.abort(new Error('before'))).catch((error: unknown) => (error as Error).message);
      const during = new AbortController();
      const opening = open(during.signal).catch((error: unknown) => (error as Error).message);
      during.abort(new Error('during'));
      const after = new AbortController();
      const model = await open(after.signal);
      after.abort(new Error('after'));
      const { provider } = (await model.sample({ K: 1, kappa: 0 })).statistics;
      await model.dispose();
      return [before, await opening, provider];
    });
    expect(result).toEqual(['before', 'during', 'wasm']);
  });

  it.each([true, false])('rejects at once what is aborted while it is downloading, and goes on when the network does (worker: %s)', async (worker) => {
    let stalled = true;
    const waiting: ServerResponse[] = [];
    const slow = createServer((request, response) => {
      response.setHeader('Access-Control-Allow-Origin', '*');
      const send = (): unknown => response.end(readFileSync(join(folder, request.url!)));
      if (!stalled || request.url!.endsWith('manifest.json')) send();
      else waiting.push(response.on('resume', send));
    });
    await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve));
    const page = await openPage();
    try {
      const url = `http://127.0.0.1:${(slow.address() as AddressInfo).port}/points`;
      const errors = await page.evaluate(async ({ url, worker }) => {
        const model = await ratioflow.open(url, { providers: ['wasm'], cache: false, worker });
        Object.assign(globalThis, { model });
        const other: Sdk.AbortSignalLike & { aborted: boolean } = { aborted: false, reason: new Error('another make') };
        setTimeout(() => { other.aborted = true; }, 100);
        const signals = [AbortSignal.timeout(100), other, AbortSignal.timeout(100)];
        return Promise.all([model.sample({ signal: signals[0]! }), model.sample({ signal: signals[1]! }), model.flow({ signal: signals[2]! }).next()]
          .map(async (task) => task.then(() => 'none', (error: unknown) => (error as Error).name === 'Error' ? (error as Error).message : (error as Error).name)));
      }, { url, worker });
      expect(errors).toEqual(['TimeoutError', 'another make', 'TimeoutError']);
      stalled = false;
      for (const response of waiting) response.emit('resume');
      expect(await page.evaluate(async () => {
        const { model } = globalThis as unknown as { readonly model: Sdk.Model };
        const { provider } = (await model.sample({ K: 1, kappa: 0 })).statistics;
        await model.dispose();
        return provider;
      })).toBe('wasm');
      expect(await page.evaluate(async () => ratioflow.open('/bundles/points', { signal: {} as never }).then(() => 'open', String))).toBe('ArgumentError: signal is {}; allowed: an AbortSignal.');
    } finally {
      slow.closeAllConnections();
      slow.close();
    }
  });

  it('asks its worker for nothing that was aborted before, and tells it the options of a flow once', async () => {
    const page = await openPage();
    const sent = await page.evaluate(async () => {
      interface Sent { readonly type: string; readonly method?: string; readonly args?: readonly unknown[] }
      const requests: Sent[] = [];
      const worker = Worker.prototype as unknown as { postMessage: (this: unknown, message: Sent) => void };
      const { postMessage } = worker;
      worker.postMessage = function post(message) {
        requests.push(message);
        postMessage.call(this, message);
      };
      const model = await ratioflow.open('/bundles/points', { providers: ['wasm'] });
      const reasons: unknown[] = [];
      await model.sample({ signal: AbortSignal.abort('no') }).catch((reason: unknown) => reasons.push(reason));
      await model.flow({ signal: AbortSignal.abort('no') }).next().catch((reason: unknown) => reasons.push(reason));
      const frames: number[] = [];
      for await (const { step } of model.flow({ count: 2, K: 3, kappa: 0, every: 1 })) frames.push(step);
      await model.dispose();
      return { reasons, frames, calls: requests.flatMap(({ type, method }) => (type === 'call' ? [method] : [])), options: requests.flatMap(({ type, args }) => (type === 'next' ? [args!.length] : [])) };
    });
    expect(sent).toEqual({ reasons: ['no', 'no'], frames: [0, 1, 2, 3], calls: ['dispose'], options: [1, 0, 0, 0, 0] });
  });

  it.each(['', 'some/where/'])('opens what readZip gives of an archive with the bundle in %j', async (prefix) => {
    await writeZip(join(folder, 'points.zip'), join(folder, 'points'), prefix);
    const page = await openPage();
    const provider = await page.evaluate(async () => {
      const archive = await (await fetch('/bundles/points.zip', { cache: 'no-store' })).blob();
      const model = await ratioflow.open(await ratioflow.readZip(archive), { providers: ['wasm'] });
      const { statistics } = await model.sample({ K: 1, kappa: 0 });
      await model.dispose();
      return statistics.provider;
    });
    expect(provider).toBe('wasm');
  });

  it('warns of threads and assets that come too late', async () => {
    const page = await openPage(isolated);
    const warnings = await page.evaluate(async () => {
      const found: string[][] = [];
      for (const late of [{ threads: 1 }, { threads: 2 }, { assets: '/elsewhere' }, {}]) {
        const model = await ratioflow.open('/bundles/points', { providers: ['wasm'], worker: false, ...late });
        found.push([...(await model.sample({ K: 1, kappa: 0 })).statistics.warnings]);
        await model.dispose();
      }
      return found;
    });
    const late = 'The engine has started before, with threads: 1, assets: beside the script. Reload the page for others.';
    expect(warnings).toEqual([[], [late], [late], []]);
  });

  it('refuses arguments and options that it does not know, with what they are', async () => {
    const messages = await (await openPage()).evaluate(async () => {
      const message = (error: unknown): string => `${(error as Error).name}: ${(error as Error).message}`;
      const made = (options: object): string => {
        try {
          return ratioflow.createRuntime(options).name;
        } catch (error) {
          return message(error);
        }
      };
      const open = (bundle: unknown, options: object = {}): Promise<string> => ratioflow.open(bundle as string, options).then(() => 'open', message);
      return [
        made({ provider: ['wasm'] }), made({ providers: 'wasm' }), made({ providers: [] }), made({ providers: ['cuda'] }), made({ threads: '2' }), made({ assets: 'http://[' }),
        await open('/bundles/points', { thread: 1 }), await open('/bundles/points', { threads: 0 }), await open('/bundles/points', { worker: 'yes' }), await open('/bundles/points', { onProgress: 5 }),
        await open('/bundles/points', { assets: 5 }), await open(null), await open({ url: '/bundles/points' }), await open('http://['), await open(new Map()),
      ];
    });
    const bundle = 'allowed: a URL, or what bundleFiles or readZip gives.';
    expect(messages).toEqual([
      'ArgumentError: Unknown option "provider"; allowed: providers, threads, assets.', 'ArgumentError: providers is "wasm"; allowed: an array of webgpu, wasm, not empty.',
      'ArgumentError: providers is []; allowed: an array of webgpu, wasm, not empty.', 'ArgumentError: providers is ["cuda"]; allowed: an array of webgpu, wasm, not empty.',
      'ArgumentError: threads is "2"; allowed: an integer from 1 to 1024.', 'ArgumentError: assets is "http://["; allowed: a URL.',
      'ArgumentError: Unknown option "thread"; allowed: providers, threads, assets, optimization, selfTest, onProgress, cache, signal, worker.',
      'ArgumentError: threads is 0; allowed: an integer from 1 to 1024.', 'ArgumentError: worker is "yes"; allowed: true, false, or a function that makes a worker.', 'ArgumentError: onProgress is 5; allowed: a function.',
      'ArgumentError: assets is 5; allowed: a URL.', `ArgumentError: bundle is null; ${bundle}`, `ArgumentError: bundle is {"url":"/bundles/points"}; ${bundle}`, `ArgumentError: bundle is "http://["; ${bundle}`,
      'BundleError: The files chosen lack manifest.json: choose the folder of a bundle, or all its files.',
    ]);
  });

  it('says where the engine\'s files were looked for, and what a content security policy must allow', async () => {
    const load = (page: Page, assets?: string): Promise<string> => page.evaluate(async (assets) => {
      const model = await ratioflow.open('/bundles/points', { providers: ['wasm'], ...(assets !== undefined && { assets }) });
      const error = await model.sample().then(() => 'nothing', (error: unknown) => `${(error as Error).name}: ${(error as Error).message}`);
      await model.dispose();
      return error;
    }, assets);
    expect(await load(await openPage(), '/nowhere')).toMatch(/^RuntimeError: onnxruntime-web cannot load prior\.onnx on wasm: .*\(are the \.wasm files of onnxruntime-web where the option assets says\?\)$/);
    const strict = await serveFiles({ '/bundles/': folder, '/': join(folder, 'page') }, () => ({ 'Content-Security-Policy': 'script-src \'self\'' }));
    try {
      expect(await load(await openPage(strict))).toMatch(/\(a content security policy must allow 'wasm-unsafe-eval' in script-src\)$/);
    } finally {
      await strict.close();
    }
    // What engine and browser themselves report.
    errors.splice(0);
  });

  it('refuses a provider that computes something else, and says so', async () => {
    await cp(join(folder, 'points'), join(folder, 'wrong'), { recursive: true });
    const manifest = JSON.parse(await readFile(join(folder, 'wrong/manifest.json'), 'utf8')) as { tolerances: Record<string, unknown> };
    // Nothing but exact agreement would do.
    manifest.tolerances.webgpu = { absolute: 0, relative: 0 };
    await writeFile(join(folder, 'wrong/manifest.json'), JSON.stringify(manifest));
    const page = await openPage();
    const { statistics } = await sampleIn(page, 'wrong', { providers: ['webgpu'] }, { K: 2, kappa: 0 });
    expect(statistics.provider).toBe('wasm');
    expect(statistics.warnings.join()).toMatch(/(sampler|step)\.onnx does not run on webgpu \(webgpu of onnxruntime-web .* computes .*: wasm is used instead/);
  });

  it('names a tensor that no device can hold, and goes on', async () => {
    const builder = new GraphBuilder('large');
    const x = builder.input('x', 'float32', ['N', 1, 8, 8]);
    // 2 GiB: beyond what a binding of WebGPU may have.
    const large = builder.op('Expand', [builder.op('ReduceMax', [x], { keepdims: 0 }), builder.ints([2 ** 29])]);
    builder.output('logRatio', builder.op('ReduceSum', [builder.op('Mul', [x, builder.op('ReduceMax', [large], { keepdims: 0 })]), builder.ints([1, 2, 3])], { keepdims: 0 }));
    await cp(join(folder, 'image'), join(folder, 'large'), { recursive: true });
    const graph = writeModel(newModel(builder.graph));
    await writeFile(join(folder, 'large/ratio.onnx'), graph);
    const manifest = JSON.parse(await readFile(join(folder, 'large/manifest.json'), 'utf8')) as { files: Record<string, unknown> };
    manifest.files['ratio.onnx'] = { size: graph.byteLength, sha256: createHash('sha256').update(graph).digest('hex') };
    await writeFile(join(folder, 'large/manifest.json'), JSON.stringify(manifest));
    const result = await (await openPage()).evaluate(async () => {
      const model = await ratioflow.open('/bundles/large', { providers: ['webgpu'], selfTest: false });
      const settings = { count: 2, K: 2, kappa: 0 };
      const { samples } = await model.sample(settings);
      const error = await model.score(samples).then(() => 'nothing', (error: unknown) => `${(error as Error).name}: ${(error as Error).message}`);
      const again = await model.sample(settings);
      await model.dispose();
      return { error, provider: again.statistics.provider, same: again.samples.data.every((value, i) => value === samples.data[i]) };
    });
    expect(result).toEqual({ error: expect.stringMatching(/^RuntimeError: ratio\.onnx failed on webgpu: .*(exceeds|limit)/) as string, provider: 'webgpu', same: true });
  }, 120_000);

  it('names an allocation that fails, gives no result of it, and opens again', async () => {
    const page = await openPage();
    const { error, again, before, after } = await page.evaluate(async () => {
      // What a device says that runs out of memory: the scope around the allocation has the error, calls go on as if all were well.
      interface Device {
        createBuffer: (this: GPUDevice, descriptor: GPUBufferDescriptor) => GPUBuffer;
        pushErrorScope: (this: GPUDevice, filter: GPUErrorFilter) => void;
        popErrorScope: (this: GPUDevice) => Promise<GPUError | null>;
      }
      const device = GPUDevice.prototype as unknown as Device;
      const { createBuffer, pushErrorScope, popErrorScope } = device;
      const scopes: { readonly filter: GPUErrorFilter; failed: boolean }[] = [];
      let full = false;
      device.createBuffer = function create(descriptor) {
        const scope = scopes.findLast(({ filter }) => filter === 'out-of-memory');
        if (full && scope !== undefined) scope.failed = true;
        return createBuffer.call(this, descriptor);
      };
      device.pushErrorScope = function push(filter) {
        scopes.push({ filter, failed: false });
        pushErrorScope.call(this, filter);
      };
      device.popErrorScope = async function pop() {
        const scope = scopes.pop();
        return await popErrorScope.call(this) ?? (scope?.failed === true ? new GPUOutOfMemoryError('no more memory') : null);
      };
      const open = (): Promise<Sdk.Model> => ratioflow.open('/bundles/points', { providers: ['webgpu'], worker: false, selfTest: false });
      const sample = async (model: Sdk.Model): Promise<number[] | string> => model.sample({ count: 3000, batch: 3000, K: 3, kappa: 0 })
        .then(({ samples, statistics: { provider } }) => (provider === 'webgpu' ? [...samples.data] : provider), (error: unknown) => `${(error as Error).name}: ${(error as Error).message}`);
      const [one, two] = [await open(), await open()];
      const before = await sample(one);
      await one.dispose();
      await two.sample({ K: 1, kappa: 0 });
      full = true;
      const error = await sample(two);
      full = false;
      const again = await sample(two);
      await two.dispose();
      const three = await open();
      const after = await sample(three);
      await three.dispose();
      return { error, again, before, after };
    });
    expect(before).toHaveLength(6000);
    expect(error).toMatch(/^RuntimeError: \w+\.onnx failed on webgpu: the WebGPU device refused it \(no more memory\): take a smaller batch, or open the model again/);
    expect(again).toEqual(before);
    expect(after).toEqual(before);
  }, 120_000);

  it.each([false, true])('gives frames of a flow on the device that are the caller\'s own (worker: %s)', async (worker) => {
    await using model = await openInNode(join(folder, 'points'));
    const settings = { count: 3, seed: 8, K: 4, kappa: 1, logRatio: true };
    const expected: number[][] = [];
    for await (const { x, logRatio } of model.flow(settings)) expected.push([...x.data, ...logRatio!]);
    const { frames, provider } = await (await openPage()).evaluate(async ({ worker, settings }) => {
      const model = await ratioflow.open('/bundles/points', { providers: ['webgpu'], worker });
      const flow = model.flow(settings);
      const frames: number[][] = [];
      let frame = await flow.next();
      for (; frame.done !== true; frame = await flow.next()) {
        frames.push([...frame.value.x.data, ...frame.value.logRatio!]);
        // What the caller does with it is nothing to the flow.
        frame.value.x.data.fill(NaN);
      }
      await model.dispose();
      return { frames, provider: frame.value.provider };
    }, { worker, settings });
    expect(provider).toBe('webgpu');
    expect(frames.length).toBe(6);
    for (const [i, frame] of frames.entries()) expect(largest(frame, expected[i]!)).toBeLessThan(2e-4);
  });

  it.each([false, true])('disposes of a model while a flow rests on the device (worker: %s)', async (worker) => {
    const result = await (await openPage()).evaluate(async (worker) => {
      const open = (): Promise<Sdk.Model> => ratioflow.open('/bundles/points', { providers: ['webgpu'], worker, selfTest: false });
      const model = await open();
      const flow = model.flow({ count: 1, K: 4, kappa: 0, every: 1 });
      await flow.next();
      await flow.next();
      await model.dispose();
      const left = await flow.return(undefined as never).then(() => 'left', String);
      const next = await open();
      const { provider, plan } = (await next.sample({ K: 2, kappa: 0 })).statistics;
      await next.dispose();
      return [left, provider, plan];
    }, worker);
    expect(result).toEqual(['left', 'webgpu', 'device']);
  });

  it('leaves no buffer on the device, after a thousand rounds of opening, sampling and disposing', async () => {
    const page = await openPage();
    const { provider, made, alive } = await page.evaluate(async () => {
      const device = GPUDevice.prototype as unknown as { createBuffer: (this: GPUDevice, descriptor: GPUBufferDescriptor) => GPUBuffer };
      const buffer = GPUBuffer.prototype as unknown as { destroy: (this: GPUBuffer) => void };
      const { createBuffer } = device;
      const { destroy } = buffer;
      const buffers = new Set<GPUBuffer>();
      let made = 0;
      device.createBuffer = function create(descriptor) {
        const result = createBuffer.call(this, descriptor);
        made++;
        buffers.add(result);
        return result;
      };
      buffer.destroy = function forget() {
        buffers.delete(this);
        destroy.call(this);
      };
      let provider = '';
      const alive: number[] = [];
      for (let round = 0; round <= 1000; round++) {
        const model = await ratioflow.open('/bundles/points', { providers: ['webgpu'], worker: false, selfTest: false });
        ({ provider } = (await model.sample({ count: 1 + round % 7, K: 2, kappa: 0, seed: round })).statistics);
        await model.dispose();
        if (round % 250 === 0) alive.push(buffers.size);
      }
      return { provider, made, alive };
    });
    expect(provider).toBe('webgpu');
    // Every round makes some for itself; none of them may stay.
    expect(made).toBeGreaterThan(5000);
    expect(alive).toEqual([0, 0, 0, 0, 0]);
  }, 300_000);

  describe.each([['in the page', false], ['in a worker', true]] as const)('a device %s', (_, worker) => {
    /** Opens the bundle on a device that the test holds in its hands. */
    async function openOnDevice(page: Page): Promise<{ thread: Page | Worker; sample: (count: number) => Promise<{ samples?: number[]; provider?: string; error?: string }>; reopen: () => Promise<void> }> {
      const reopen = (): Promise<void> => page.evaluate(async (worker) => {
        const scope = globalThis as unknown as { model?: Sdk.Model };
        await scope.model?.dispose();
        scope.model = await ratioflow.open('/bundles/image', { providers: ['webgpu'], worker, selfTest: false });
      }, worker);
      await reopen();
      const thread: Page | Worker = worker ? page.workers()[0]! : page;
      await (thread as Page).evaluate(() => {
        type Request = (this: GPUAdapter, descriptor?: GPUDeviceDescriptor) => Promise<GPUDevice>;
        const { requestDevice } = GPUAdapter.prototype as unknown as { readonly requestDevice: Request };
        GPUAdapter.prototype.requestDevice = async function request(descriptor) {
          const device = await requestDevice.call(this, descriptor);
          Object.assign(globalThis, { device });
          return device;
        };
      });
      const sample = (count: number): ReturnType<Awaited<ReturnType<typeof openOnDevice>>['sample']> => page.evaluate(async (count) => {
        try {
          const { samples, statistics } = await (globalThis as unknown as { model: Sdk.Model }).model.sample({ count, batch: count, K: 3, kappa: 0, seed: 4 });
          return { samples: [...samples.data], provider: statistics.provider };
        } catch (error) {
          return { error: `${(error as Error).name}: ${(error as Error).message}` };
        }
      }, count);
      return { thread, sample, reopen };
    }

    it('may be lost: that is a named error, and the model can be opened again', async () => {
      const page = await openPage();
      const { thread, sample, reopen } = await openOnDevice(page);
      const before = await sample(2);
      expect(before).toMatchObject({ provider: 'webgpu' });
      await (thread as Page).evaluate(() => (globalThis as unknown as { device: GPUDevice }).device.destroy());
      for (let again = 0; again < 2; again++) expect((await sample(2)).error).toMatch(/^RuntimeError: .*\.onnx failed on webgpu: the WebGPU device was lost \(.+\): open the model again/);
      await reopen();
      expect(await sample(2)).toEqual(before);
      errors.splice(0);
    }, 120_000);
  });
});
