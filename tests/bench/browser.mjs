/**
 * The page's time to be there, and WebAssembly against native code: in a real headless Chromium, `@ratioflow/web` beside `@ratioflow/node`
 * with as many threads, in turns. `npx tsc -b && node tests/bench/browser.mjs [--rounds 5] [--dry]`; writes docs/benchmarks.md.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from '../../runtimes/node/dist/index.js';
import { loadSources } from '../support/load-sources.mjs';
import { interleave, machine, milliseconds, options, ratio, summary, table, timed, writeSection } from './side-by-side.mjs';
import { writeUntrainedBundle } from './untrained-bundle.mjs';

const { rounds, dry } = options(5);
const sources = await loadSources();
const { launch, noChromium } = await sources.load('tests/browser/chromium.ts');
const { serveFiles, isolation } = await sources.load('tests/browser/server.ts');
const { buildPage } = await sources.load('tests/browser/build.ts');
if (noChromium !== undefined) throw new Error(noChromium);
const folder = await mkdtemp(join(tmpdir(), 'ratioflow-browser-bench-'));
const root = join(import.meta.dirname, '../..');
await buildPage(join(root, 'runtimes/web/app'), join(folder, 'app'));
await buildPage(join(root, 'tests/browser/pages/runtime'), join(folder, 'page'));
const bundles = { mlp: [2], resnet28: [1, 28, 28], resnet32: [3, 32, 32] };
for (const [name, shape] of Object.entries(bundles)) await writeUntrainedBundle(join(folder, name), name, shape);
const browser = await launch();
const app = await serveFiles({ '/': join(folder, 'app') }, () => isolation);
const site = await serveFiles({ '/bundles/': folder, '/': join(folder, 'page') }, () => isolation);

const loads = [];
for (let visit = 0; visit < 4 * rounds; visit++) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.route('**/bundles/index.json', (route) => route.fulfill({ json: [] }));
  await page.goto(app.url);
  const ready = await page.waitForFunction(() => document.getElementById('notice')?.textContent === 'Open a bundle, or drop one here.' && performance.now());
  const paint = await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  loads.push([await paint.jsonValue(), await ready.jsonValue()]);
  await context.close();
}
// The first visit also starts the browser's processes.
const [painted, ready] = [0, 1].map((part) => summary(loads.slice(1).map((one) => one[part])));
const range = ({ min, median, max }) => `${min.toFixed(0)} / **${median.toFixed(0)}** / ${max.toFixed(0)}`;
console.log(`page: painted ${range(painted)} ms, ready ${range(ready)} ms`);

const page = await (await browser.newContext()).newPage();
await page.goto(site.url);
await page.waitForFunction(() => 'ratioflow' in globalThis);
const rows = [];
for (const [name, count, K] of [['mlp', 1024, 200], ['resnet28', 1, 40], ['resnet28', 64, 5], ['resnet32', 1, 4]]) {
  for (const threads of [1, 2]) {
    const settings = { count, batch: count, K, kappa: 0, seed: 1 };
    const native = await open(join(folder, name), { threads });
    await page.evaluate(async ({ name, threads }) => {
      globalThis.model = await globalThis.ratioflow.open(`/bundles/${name}`, { providers: ['wasm'], threads });
    }, { name, threads });
    const wasm = () => page.evaluate(async (settings) => {
      const start = performance.now();
      await globalThis.model.sample(settings);
      return performance.now() - start;
    }, settings);
    const result = await interleave(rounds, [wasm, () => timed(() => native.sample(settings))]);
    rows.push([`${name}, batch ${count}, ${K} steps`, threads, milliseconds(result.a), milliseconds(result.b), ratio(result.ratio)]);
    console.log(rows.at(-1).join(' | '));
    await page.evaluate(() => globalThis.model.dispose());
    await native.dispose();
  }
}
const text = `The page is painted after ${range(painted)} ms and ready after ${range(ready)} ms (min / median / max of ${loads.length - 1} visits).

${table(['sampling', 'threads', 'WebAssembly, ms', 'native, ms', 'ratio min / median / max'], rows)}

${rounds} interleaved rounds. ${machine(undefined, `Chromium ${browser.version()}`).replace('; no PyTorch here', '')}.`;
if (!dry) await writeSection('browser', text);
await browser.close();
await Promise.all([app.close(), site.close(), sources.close()]);
await rm(folder, { recursive: true });
process.exit(0);
