/**
 * The packed packages in a stranger's page: built with Vite as docs/web.md says, and without any bundler, both under the
 * content security policy of that page.
 */
import { copyFile, cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { open } from '@ratioflow/node';
import type * as Sdk from '@ratioflow/sdk';
import type * as Web from '@ratioflow/web';
import type { Browser } from 'playwright-core';
import { build, createServer } from 'vite';
import type { InlineConfig } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch, noChromium } from '../browser/chromium.js';
import { isolation, serveFiles } from '../browser/server.js';
import { writePointsBundle } from '../support/network-bundles.js';
import { installed, makeProject, pack, root } from './pack.js';

declare const ratioflow: typeof Sdk & typeof Web;
const html = '<!doctype html><meta charset="utf-8"><link rel="icon" href="icon.png"><title>A page</title><script type="module" src="./page.js"></script>\n';

describe.skipIf(noChromium !== undefined)('the packed packages, in the browser', () => {
  let folder: string;
  let project: string;
  let browser: Browser;
  let policy: string;
  let web: string;
  let config: InlineConfig;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ratioflow-pages-'));
    project = join(folder, 'project');
    const packages = (await pack(folder)).filter(({ manifest }) => ['@ratioflow/sdk', '@ratioflow/web'].includes(manifest.name));
    await makeProject(project, packages);
    web = installed(project, packages.find(({ manifest }) => manifest.name === '@ratioflow/web')!);
    await writePointsBundle(join(folder, 'bundles/points'));
    browser = await launch();
    const page = await readFile(join(root, 'docs/web.md'), 'utf8');
    policy = /^default-src .*$/m.exec(page)![0];
    // Vite itself is this repository's; what it is told is the documentation's.
    await writeFile(join(project, 'documented.mjs'), /```js\n\/\/ vite\.config\.js\n([\s\S]*?)```/.exec(page)![1]!);
    const { default: documented } = await import(pathToFileURL(join(project, 'documented.mjs')).href) as { default: InlineConfig };
    config = { ...documented, root: project, configFile: false, logLevel: 'error' };
    await writeFile(join(project, 'index.html'), html);
    await writeFile(join(project, 'page.js'), 'import * as sdk from \'@ratioflow/sdk\';\nimport * as web from \'@ratioflow/web\';\nglobalThis.ratioflow = { ...sdk, ...web };\n');
  });
  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true });
  });

  /** Samples in a page at an address as onnxruntime-node does: provider, and whether in a worker. */
  async function check(url: string, ways: readonly (readonly ['wasm' | 'webgpu', boolean])[] = [['wasm', true], ['wasm', false], ['webgpu', true]], warnings: readonly string[] = []): Promise<void> {
    const context = await browser.newContext();
    const errors: string[] = [];
    const page = await context.newPage();
    page.on('console', (message) => message.type() === 'error' && !message.location().url.endsWith('icon.png') && errors.push(message.text()));
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(url);
    await page.waitForFunction(() => 'ratioflow' in globalThis);
    await using model = await open(join(folder, 'bundles/points'));
    for (const [provider, worker] of ways) {
      const settings = { count: 2, seed: 4, K: 3, kappa: 1 };
      const result = await page.evaluate(async ({ provider, worker, settings }) => {
        const model = await ratioflow.open('/bundles/points', { providers: [provider], worker });
        const { samples, statistics } = await model.sample(settings);
        const refused = await model.sample({ count: 0 }).catch((error: unknown) => error instanceof ratioflow.ArgumentError);
        await model.dispose();
        return { samples: [...samples.data], statistics, refused };
      }, { provider, worker, settings });
      expect(result).toMatchObject({ statistics: { provider, warnings: provider === 'wasm' ? warnings : [] }, refused: true });
      const { samples } = await model.sample(settings);
      expect(samples.data.reduce((most, value, i) => Math.max(most, Math.abs(value - result.samples[i]!)), 0)).toBeLessThan(2e-4);
    }
    expect(errors).toEqual([]);
    await context.close();
  }
  const serveSite = (site: string): ReturnType<typeof serveFiles> =>
    serveFiles({ '/bundles/': join(folder, 'bundles'), '/': site }, () => ({ ...isolation, 'Content-Security-Policy': policy }));

  /** As docs/web.md says. */
  async function copyScripts(target: string): Promise<void> {
    await mkdir(target, { recursive: true });
    for (const file of await readdir(join(web, 'dist/bundled'))) await copyFile(join(web, 'dist/bundled', file), join(target, file));
    for (const file of ['ort-wasm-simd-threaded.wasm', 'ort-wasm-simd-threaded.asyncify.wasm']) await copyFile(join(root, 'node_modules/onnxruntime-web/dist', file), join(target, file));
  }

  it('run in a Vite build', async () => {
    await build({ ...config, build: { outDir: join(folder, 'site'), emptyOutDir: true, assetsInlineLimit: 0 } });
    const server = await serveSite(join(folder, 'site'));
    try {
      await check(server.url);
    } finally {
      await server.close();
    }
  });

  it('run on Vite\'s development server', async () => {
    await cp(join(folder, 'bundles'), join(project, 'public/bundles'), { recursive: true });
    const server = await createServer({ ...config, server: { host: '127.0.0.1', headers: isolation, fs: { allow: [project, root] } } });
    try {
      await server.listen();
      await check(server.resolvedUrls!.local[0]!, [['wasm', true]]);
    } finally {
      await server.close();
    }
  });

  it('run without a bundler, from the files that docs/web.md puts into a folder', async () => {
    const site = join(folder, 'plain');
    await copyScripts(join(site, 'ratioflow'));
    await writeFile(join(site, 'index.html'), html);
    await writeFile(join(site, 'page.js'), `import * as ratioflow from './ratioflow/ratioflow.js';
import { interpolate } from './ratioflow/applications.js';
globalThis.ratioflow = { ...ratioflow, interpolate };\n`);
    const server = await serveSite(site);
    try {
      await check(server.url);
      // Nothing but these files was asked for: no module elsewhere, no glue of the engine that is not there.
      expect(server.requests.filter((path) => !/^\/(|page\.js|icon\.png|ratioflow\/[\w.-]+\.(js|wasm)|bundles\/points\/[\w./]+)$/.test(path))).toEqual([]);
    } finally {
      await server.close();
    }
  });

  it('run without a bundler from another origin, a CDN, in a worker too', async () => {
    await copyScripts(join(folder, 'cdn'));
    const cdn = await serveFiles({ '/ratioflow/': join(folder, 'cdn') }, () => ({ 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' }));
    await mkdir(join(folder, 'distant'));
    await writeFile(join(folder, 'distant/index.html'), html);
    await writeFile(join(folder, 'distant/page.js'), `import * as ratioflow from '${cdn.url}/ratioflow/ratioflow.js';\nglobalThis.ratioflow = ratioflow;\n`);
    const documented = (await readFile(join(root, 'docs/web.md'), 'utf8')).match(/^default-src .*cdn\.example.*$/m)![0].replaceAll('https://cdn.example', cdn.url);
    const server = await serveFiles({ '/bundles/': join(folder, 'bundles'), '/': join(folder, 'distant') }, () => ({ ...isolation, 'Content-Security-Policy': documented }));
    try {
      await check(server.url, undefined, [expect.stringContaining('on one thread: its scripts come from another origin') as string]);
      expect(server.requests.filter((path) => path.includes('ratioflow'))).toEqual([]);
      expect(cdn.requests).toContain('/ratioflow/worker.js');
    } finally {
      await Promise.all([server.close(), cdn.close()]);
    }
  });
});
