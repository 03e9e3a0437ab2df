/** The page, built as it ships, in a real Chromium, under a strict content security policy. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { writeGuidedBundle, writeImageBundle, writePointsBundle } from '../support/network-bundles.js';
import { buildPage } from './build.js';
import { launch, noChromium } from './chromium.js';
import { isolation, serveFiles } from './server.js';
import type { Server } from './server.js';
import { writeZip } from './write-zip.js';

/** Nothing inline, nothing from elsewhere. */
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'";

describe.skipIf(noChromium !== undefined)('the page', () => {
  let folder: string;
  let browser: Browser;
  let server: Server;
  const pages: Page[] = [];
  const errors: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ratioflow-page-'));
    const [started] = await Promise.all([
      launch(), writePointsBundle(join(folder, 'points')), writeImageBundle(join(folder, 'image')),
      writeImageBundle(join(folder, 'translating'), { name: 'translating', prior: { kind: 'source' } }), writePointsBundle(join(folder, 'moving'), { name: 'moving', prior: { kind: 'source' } }),
      buildPage(join(import.meta.dirname, '../../runtimes/web/app'), join(folder, 'page')),
    ]);
    browser = started;
    await writeGuidedBundle(join(folder, 'guided'), join(folder, 'image'));
    await writeFile(join(folder, 'index.json'), JSON.stringify([
      { id: 'points', name: 'points', sampleShape: [2], path: 'points' }, { id: 'image', name: 'image', sampleShape: [1, 8, 8], path: 'image' },
      { id: 'guided', name: 'guided', sampleShape: [1, 8, 8], path: 'guided' }, { id: 'translating', name: 'translating', sampleShape: [1, 8, 8], path: 'translating' },
      { id: 'moving', name: 'moving', sampleShape: [2], path: 'moving' },
    ]));
    server = await serveFiles({ '/bundles/': folder, '/': join(folder, 'page') }, () => ({ ...isolation, 'Content-Security-Policy': policy }));
  });
  afterEach(async () => {
    await Promise.all(pages.splice(0).map((page) => page.context().close()));
    expect(errors.splice(0)).toEqual([]);
  });
  afterAll(async () => {
    await browser.close();
    await server.close();
    await rm(folder, { recursive: true });
  });

  async function openPage(fragment: string, options: BrowserContextOptions = {}): Promise<Page> {
    const page = await (await browser.newContext(options)).newPage();
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    page.on('pageerror', (error) => errors.push(String(error)));
    pages.push(page);
    await page.goto(`${server.url}/#${fragment}`);
    return page;
  }
  /** A stroke across the pad. */
  const draw = async (page: Page): Promise<void> => {
    const box = (await page.locator('#pad').boundingBox())!;
    await page.mouse.move(box.x + 0.3 * box.width, box.y + 0.2 * box.height);
    await page.mouse.down();
    await page.mouse.move(box.x + 0.7 * box.width, box.y + 0.8 * box.height, { steps: 4 });
    await page.mouse.up();
  };
  /** Drops files on the page. */
  const drop = (page: Page, files: readonly (readonly [name: string, base64: string])[]): Promise<void> => page.evaluate((files) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.setData('text/plain', 'words');
    for (const [name, content] of files) dataTransfer.items.add(new File([Uint8Array.from(atob(content), (character) => character.charCodeAt(0))], name));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
  }, files);
  const step = async (page: Page): Promise<number> => Number((await page.textContent('#step'))!.split('/')[0]);
  /** Waits for the whole flow, and goes to its end. */
  const finished = async (page: Page): Promise<void> => {
    await expect.poll(async () => {
      await page.keyboard.press('End');
      const [now, of] = (await page.textContent('#step'))!.split('/');
      return now === of;
    }, { timeout: 30_000 }).toBe(true);
  };
  /** The same after a change, which takes the page a moment to act upon. */
  const settled = async (page: Page): Promise<void> => {
    await page.waitForTimeout(400);
    await finished(page);
  };
  /** The screen's pixels, as a hash. */
  const screen = (page: Page): Promise<string> => page.evaluate(async () => {
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    const canvas = document.querySelector('canvas')!;
    const digest = await crypto.subtle.digest('SHA-256', canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height).data);
    return [...new Uint8Array(digest)].join();
  });

  it.each(['points', 'image'])('plays, pauses, steps and rewinds the flow of %s, by mouse and keyboard', async (bundle) => {
    const page = await openPage(`bundle=${bundle}&count=8`);
    await finished(page);
    expect(await page.textContent('#provider')).toBe('WebAssembly');
    const end = await screen(page);
    await page.click('#rewind');
    await expect.poll(() => step(page)).toBe(0);
    expect(await page.textContent('#stage')).toBe('prior');
    const start = await screen(page);
    expect(start).not.toBe(end);
    await page.click('#forward');
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => step(page)).toBe(2);
    expect(await page.textContent('#stage')).toBe('bridging');
    await page.keyboard.press('ArrowLeft');
    await expect.poll(() => step(page)).toBe(1);
    await page.click('h1');
    await page.keyboard.press('Space');
    await expect.poll(() => step(page)).toBeGreaterThan(2);
    await page.keyboard.press('Space');
    await expect.poll(() => page.getAttribute('#play', 'aria-label')).toBe('Play');
    const held = await step(page);
    await page.waitForTimeout(200);
    expect(await step(page)).toBe(held);
    await page.keyboard.press('End');
    await expect.poll(() => page.textContent('#stage')).toBe('refinement');
    expect(await screen(page)).toBe(end);
    await page.keyboard.press('Home');
    await expect.poll(() => step(page)).toBe(0);
    expect(await screen(page)).toBe(start);
  });

  it('listens to its keys where a slider has the focus, but for those that move it', async () => {
    const page = await openPage('bundle=points&count=4');
    await finished(page);
    const timeline = (await page.locator('#position').boundingBox())!;
    await page.mouse.click(timeline.x + timeline.width / 4, timeline.y + timeline.height / 2);
    await expect.poll(() => step(page)).toBe(8);
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => step(page)).toBe(9);
    await page.keyboard.press('Home');
    await expect.poll(() => step(page)).toBe(0);
    await page.keyboard.press('Space');
    await expect.poll(() => step(page)).toBeGreaterThan(0);
    await page.focus('#kappa-slider');
    await page.keyboard.press('End');
    await page.waitForFunction(() => location.hash === '#bundle=points&count=4&kappa=40');
    await page.keyboard.press('n');
    await page.waitForFunction(() => /seed=\d+/.test(location.hash));
    // Where one types, a letter is a letter.
    const { hash } = new URL(page.url());
    await page.focus('#seed');
    await page.keyboard.press('n');
    await page.waitForTimeout(300);
    expect(new URL(page.url()).hash).toBe(hash);
  });

  it('shows the time that steps took, as the statistics of the flow have it', async () => {
    const page = await openPage('');
    await page.addInitScript(() => {
      const took: number[] = [];
      Object.assign(globalThis, { took });
      const { postMessage } = Worker.prototype as unknown as { readonly postMessage: (this: Worker, message: unknown) => void };
      const heard = new WeakSet<Worker>();
      Worker.prototype.postMessage = function post(message: unknown) {
        if (!heard.has(this)) {
          this.addEventListener('message', ({ data }: MessageEvent<{ value?: { plan?: string; millisecondsPerStep?: number } }>) => {
            if (data.value?.plan !== undefined) took.push(data.value.millisecondsPerStep!);
          });
        }
        heard.add(this);
        postMessage.call(this, message);
      };
    });
    await page.goto(`${server.url}/?again#bundle=image&count=4`);
    await finished(page);
    await expect.poll(() => page.textContent('#speed')).toMatch(/^\d/);
    const [shown, rate, took] = await page.evaluate(() => [
      document.getElementById('speed')!.textContent, document.getElementById('rate')!.textContent, (globalThis as unknown as { took: number[] }).took.at(-1)!,
    ] as const);
    expect(Number.parseFloat(shown)).toBeCloseTo(took, took >= 10 ? 0 : 1);
    expect(Number(rate.replace(/,|\/s/g, ''))).toBe(Math.round(4000 / took));
  });

  it('ignores in an address what cannot be read', async () => {
    const page = await openPage('bundle=points&K=&kappa=%20&eta=x&nu=-1&scale=NaN&count=0&seed=-4&seedB=1e3&mode=film&provider=cuda&class=ant&other=1');
    await finished(page);
    expect(new URL(page.url()).hash).toBe('#bundle=points');
    expect(await page.textContent('#step')).toBe('32/32');
  });

  it('takes points from the pad alone, and with the first button', async () => {
    const page = await openPage('bundle=points&mode=draw');
    await expect.poll(() => page.textContent('#notice'), { timeout: 20_000 }).toBe('Draw something on the pad.');
    await page.evaluate(() => {
      const { postMessage } = Worker.prototype as unknown as { readonly postMessage: (this: Worker, message: unknown) => void };
      Worker.prototype.postMessage = function post(message: { args?: { x0?: object }[] }) {
        if (message.args?.[0]?.x0 !== undefined) Object.assign(globalThis, { x0: message.args[0].x0 });
        postMessage.call(this, message);
      };
    });
    const box = (await page.locator('#pad').boundingBox())!;
    await page.mouse.click(box.x + 40, box.y + 40, { button: 'right' });
    await page.waitForTimeout(300);
    expect(await page.textContent('#notice')).toBe('Draw something on the pad.');
    await page.mouse.move(box.x + 0.5 * box.width, box.y + 0.5 * box.height);
    await page.mouse.down();
    await page.mouse.move(box.x + 3 * box.width, box.y - box.height);
    await page.mouse.move(box.x + 0.25 * box.width, box.y + 0.5 * box.height);
    await page.mouse.up();
    await finished(page);
    // Six points for each of two places.
    expect(await page.evaluate(() => (globalThis as unknown as { x0: { shape: number[] } }).x0.shape)).toEqual([12, 2]);
  });

  it('keeps its settings in the address, and makes the same picture of it', async () => {
    const page = await openPage('bundle=image');
    await finished(page);
    const before = await screen(page);
    await page.fill('#seed', '77');
    await page.fill('#K', '9');
    await page.locator('#K').blur();
    await page.focus('#play');
    await page.waitForFunction(() => document.getElementById('step')!.textContent.endsWith('/14'));
    await finished(page);
    const address = page.url();
    expect(new URL(address).hash).toBe('#bundle=image&seed=77&K=9');
    const after = await screen(page);
    expect(after).not.toBe(before);
    const other = await openPage(new URL(address).hash.slice(1));
    await finished(other);
    expect(await screen(other)).toBe(after);
    await other.click('#reset');
    await other.waitForFunction(() => document.getElementById('step')!.textContent.endsWith('/25'));
    expect(new URL(other.url()).hash).toBe('#bundle=image&seed=77');
  });

  it('stops where a flow fails, and opens the bundle again at the next wish', async () => {
    const page = await openPage('bundle=points&count=4');
    await finished(page);
    await page.evaluate(() => {
      const { postMessage } = Worker.prototype as unknown as { readonly postMessage: (this: Worker, message: unknown) => void };
      const lost = new Set<Worker>();
      // The engine that is there is lost for good; one that is started later is not.
      Worker.prototype.postMessage = function post(message: { type: string; id: number }) {
        if (lost.size === 0) lost.add(this);
        if (message.type !== 'next' || !lost.has(this)) {
          postMessage.call(this, message);
          return;
        }
        const error = { name: 'RuntimeError', message: 'the WebGPU device was lost: open the model again' };
        this.dispatchEvent(new MessageEvent('message', { data: { type: 'failure', id: message.id, error, state: { name: '', warnings: [] } } }));
      };
    });
    await page.click('#dice');
    await expect.poll(() => page.textContent('#notice')).toBe('the WebGPU device was lost: open the model again');
    await expect.poll(() => page.getAttribute('#play', 'aria-label')).toBe('Play');
    await page.fill('#seed', '5');
    await page.focus('#play');
    await settled(page);
    expect(await page.textContent('#notice')).toBe('');
    expect(await page.textContent('#step')).toBe('32/32');
    expect(new URL(page.url()).hash).toBe('#bundle=points&seed=5&count=4');
  });

  it('keeps to the latest of two wishes, whichever takes longer to prepare', async () => {
    const page = await openPage('bundle=image&count=4');
    await finished(page);
    const prior = await screen(page);
    await page.evaluate(() => {
      for (const mode of ['interpolate', 'prior']) document.querySelector<HTMLInputElement>(`input[value=${mode}]`)!.click();
    });
    await settled(page);
    expect(new URL(page.url()).hash).toBe('#bundle=image&count=4');
    expect(await screen(page)).toBe(prior);
  });

  it('plays nothing by itself where less motion is wanted, and shows the samples', async () => {
    const page = await openPage('bundle=image&count=4', { reducedMotion: 'reduce' });
    await page.waitForFunction(() => document.getElementById('step')!.textContent === '25/25');
    expect(await page.getAttribute('#play', 'aria-label')).toBe('Play');
    await page.click('#play');
    expect(await page.getAttribute('#play', 'aria-label')).toBe('Pause');
  });

  it('goes from one seed to another, and from a drawing', async () => {
    const page = await openPage('bundle=image&mode=interpolate&seed=3&seedB=4&count=5');
    await finished(page);
    const path = await screen(page);
    // Both ends are the same seed: another picture, all of whose images start alike.
    await page.fill('#seedB', '3');
    await page.focus('#play');
    await expect.poll(async () => {
      await finished(page);
      return screen(page);
    }, { timeout: 30_000 }).not.toBe(path);
    await page.check('input[value=draw]', { force: true });
    expect(await page.textContent('#notice')).toBe('Draw something on the pad.');
    await draw(page);
    // All 20 + 5 steps of a drawing refine it.
    await page.waitForFunction(() => document.getElementById('step')!.textContent.endsWith('/25'));
    await finished(page);
    expect(await page.textContent('#stage')).toBe('refinement');
  });

  it.each(['translating', 'moving'])('starts %s, a bundle without a prior, from a drawing, with the bridging that it was trained for', async (id) => {
    const page = await openPage(`bundle=${id}`);
    await expect.poll(() => page.textContent('#notice'), { timeout: 20_000 }).toBe('Draw something on the pad.');
    expect([await page.isDisabled('input[value=prior]'), await page.isDisabled('input[value=interpolate]'), await page.isChecked('input[value=draw]')]).toEqual([true, true, true]);
    await draw(page);
    const [K, of] = id === 'moving' ? [25, 32] : [20, 25];
    await page.waitForFunction((end) => document.getElementById('step')!.textContent.endsWith(`/${end}`), of);
    await finished(page);
    expect(await page.inputValue('#K')).toBe(String(K));
    await page.keyboard.press('Home');
    await expect.poll(() => step(page)).toBe(0);
    await page.click('#forward');
    await expect.poll(() => page.textContent('#stage')).toBe('bridging');
    // Another bundle has its modes, and the one that the address says.
    await page.selectOption('#bundle', 'image');
    await expect.poll(() => page.isChecked('input[value=prior]'), { timeout: 20_000 }).toBe(true);
    expect(await page.isDisabled('input[value=interpolate]')).toBe(false);
  });

  it('guides the flow to a class where the bundle has a classifier, and follows an address that is pasted', async () => {
    const page = await openPage('bundle=image&count=6&seed=2');
    await finished(page);
    expect(await page.isVisible('#guidance')).toBe(false);
    const unguided = await screen(page);
    const pasted = async (fragment: string): Promise<string> => {
      await page.evaluate((hash) => { location.hash = hash; }, fragment);
      await settled(page);
      return screen(page);
    };
    // Without a class the flow is that of the bundle alone.
    expect(await pasted('bundle=guided&count=6&seed=2&class=none')).toBe(unguided);
    expect(await page.locator('#class option').allTextContents()).toEqual(['each in turn', 'none', 'ant', 'bee', 'cat']);
    await page.selectOption('#class', { label: 'bee' });
    await settled(page);
    expect(new URL(page.url()).hash).toBe('#bundle=guided&seed=2&class=1&count=6');
    const bee = await screen(page);
    expect(bee).not.toBe(unguided);
    const each = await pasted('bundle=guided&count=6&seed=2');
    expect(await page.inputValue('#class')).toBe('each');
    expect([unguided, bee]).not.toContain(each);
    // Another scale of the guidance is another flow, and a scale of 0 is none.
    expect(await pasted('bundle=guided&count=6&seed=2&scale=0')).toBe(unguided);
    expect(await page.inputValue('#scale')).toBe('0');
  });

  it('saves the picture as a PNG', async () => {
    const page = await openPage('bundle=points');
    await finished(page);
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#save')]);
    expect(download.suggestedFilename()).toBe('points-seed0-step32.png');
    const bytes = await readFile(await download.path());
    expect(bytes.subarray(0, 8)).toEqual(Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]));
    const { width, height } = await page.evaluate(() => ({ width: document.querySelector('canvas')!.width, height: document.querySelector('canvas')!.height }));
    expect([bytes.readUInt32BE(16), bytes.readUInt32BE(20)]).toEqual([width, height]);
  });

  it('opens a ZIP of a bundle, and says what is wrong with a file that is none', async () => {
    const page = await openPage('bundle=image');
    await finished(page);
    const archive = join(folder, 'points.zip');
    await writeZip(archive, join(folder, 'points'), 'somewhere/points/');
    await page.click('#open');
    await page.setInputFiles('#archive', archive);
    await page.waitForFunction(() => document.getElementById('facts')!.textContent.startsWith('points'));
    await finished(page);
    await page.click('#open');
    await page.setInputFiles('#archive', { name: 'x.zip', mimeType: 'application/zip', buffer: Buffer.from('PK nonsense') });
    await expect.poll(() => page.textContent('#notice')).toContain('The file is no ZIP archive that can be read: it has no directory.');
  });

  it('opens what is dropped, also where it comes out of no file system, and says what is none', async () => {
    const page = await openPage('bundle=image');
    await finished(page);
    await drop(page, []);
    await expect.poll(() => page.textContent('#notice')).toContain('What was dropped is no file');
    await drop(page, [['x.txt', btoa('hello')]]);
    await expect.poll(() => page.textContent('#notice')).toContain('There is no manifest.json among these files');
    await drop(page, [['manifest.json', btoa('{}')]]);
    await expect.poll(() => page.textContent('#notice')).toContain('formatVersion is undefined');
    const archive = join(folder, 'dropped.zip');
    await writeZip(archive, join(folder, 'points'), 'points/');
    await drop(page, [['dropped.zip', (await readFile(archive)).toString('base64')]]);
    await page.waitForFunction(() => document.getElementById('facts')!.textContent.startsWith('points'));
    await finished(page);
  });

  it('opens what was chosen last, whichever takes longer to read', async () => {
    const page = await openPage('bundle=moving');
    await expect.poll(() => page.textContent('#notice'), { timeout: 20_000 }).toBe('Draw something on the pad.');
    const archive = join(folder, 'slow.zip');
    await writeZip(archive, join(folder, 'image'), '');
    const slow = [['slow.zip', (await readFile(archive)).toString('base64')]] as const;
    // Files are read once the test says so.
    await page.evaluate(() => {
      const blob = Blob.prototype as unknown as { arrayBuffer: (this: Blob) => Promise<ArrayBuffer> };
      const { arrayBuffer } = blob;
      const held = new Promise<void>((resolve) => Object.assign(globalThis, { release: resolve }));
      blob.arrayBuffer = async function read() {
        await held;
        return arrayBuffer.call(this);
      };
    });
    await drop(page, slow);
    await page.selectOption('#bundle', 'points');
    await finished(page);
    await page.evaluate(() => (globalThis as unknown as { release: () => void }).release());
    await settled(page);
    expect(await page.textContent('#facts')).toMatch(/^points/);
    expect(new URL(page.url()).hash).toBe('#bundle=points');
    await drop(page, slow);
    await page.waitForFunction(() => document.getElementById('facts')!.textContent.startsWith('image'));
  });

  it.each([1280, 1021, 830, 360])('keeps its places while it plays, the timeline wide enough for a finger, %d pixels wide', async (width) => {
    const page = await openPage('bundle=points&count=4', { viewport: { width, height: 740 } });
    await finished(page);
    const places = (): Promise<string> => page.evaluate(() => ['view', 'position', 'play', 'step', 'stage', 'ratio'].map((id) => {
      const { left, top } = document.getElementById(id)!.getBoundingClientRect();
      return `${id} ${Math.round(left)} ${Math.round(top)}`;
    }).join());
    const refinement = await places();
    expect((await page.locator('#position').boundingBox())!.width).toBeGreaterThan(200);
    await page.keyboard.press('Home');
    await expect.poll(() => page.textContent('#stage')).toBe('prior');
    expect(await places()).toBe(refinement);
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => page.textContent('#stage')).toBe('bridging');
    expect(await places()).toBe(refinement);
  });

  it('offers no transport where nothing flows, and draws by keyboard with a pen that is seen', async () => {
    const page = await openPage('bundle=image&mode=draw&count=4');
    await expect.poll(() => page.textContent('#notice'), { timeout: 20_000 }).toBe('Draw something on the pad.');
    const disabled = (): Promise<boolean[]> => page.locator('.transport :is(button, input)').evaluateAll((all) => all.map((one) => (one as HTMLButtonElement).disabled));
    await expect.poll(disabled).toEqual(Array.from({ length: 5 }, () => true));
    await page.click('h1');
    await page.keyboard.press('Space');
    expect(await page.getAttribute('#play', 'aria-label')).toBe('Play');
    expect(await page.locator('#pen').isVisible()).toBe(false);
    await page.focus('#clear');
    await page.keyboard.press('Shift+Tab');
    expect(await page.locator('#pen').isVisible()).toBe(true);
    const before = (await page.locator('#pen').boundingBox())!;
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Shift+ArrowDown');
    const after = (await page.locator('#pen').boundingBox())!;
    expect([after.x > before.x, after.y > before.y]).toEqual([true, true]);
    await page.waitForFunction(() => document.getElementById('step')!.textContent.endsWith('/25'));
    await expect.poll(disabled).toEqual(Array.from({ length: 5 }, () => false));
  });

  it('says when the bundle of an address is not here, and what takes more memory than there is', async () => {
    const page = await openPage('bundle=nowhere&count=4');
    await finished(page);
    expect(await page.textContent('#said')).toBe('There is no bundle "nowhere" here: this is points.');
    await page.evaluate(() => { location.hash = 'bundle=image&mode=interpolate&count=4096&K=2000'; });
    await expect.poll(() => page.textContent('#notice'), { timeout: 20_000 }).toBe('The way of 4096 samples through 2005 steps takes 2.0 GiB of noise: take fewer samples, or steps.');
  });

  it('says nothing of the bundle before where one does not open, and saves no picture of it', async () => {
    const page = await openPage('bundle=image');
    await finished(page);
    await page.evaluate(() => { location.hash = 'bundle=http://127.0.0.1:9/none'; });
    await expect.poll(() => page.textContent('#notice')).toContain('cannot be read');
    expect([await page.textContent('#facts'), await page.textContent('#provider'), await page.textContent('#step')]).toEqual(['', '–', '–']);
    await page.click('#save');
    expect(await page.textContent('#said')).toBe('There is no picture to save yet.');
    // The address is that of the bundle that is chosen, whether it opens or not.
    expect(await page.inputValue('#bundle')).toBe('http://127.0.0.1:9/none');
    await page.selectOption('#bundle', 'points');
    expect(new URL(page.url()).hash).toBe('#bundle=points');
    await finished(page);
    // What the browser itself reports of it.
    errors.splice(0);
  });

  it('says all of a long message on a phone, and which choice is made where colours are forced', async () => {
    await cp(join(folder, 'image'), join(folder, 'damaged'), { recursive: true });
    const weights = await readFile(join(folder, 'image/weights.bin'));
    weights[100]! ^= 1;
    await writeFile(join(folder, 'damaged/weights.bin'), weights);
    const page = await openPage(`bundle=${server.url}/bundles/damaged`, { viewport: { width: 360, height: 740 }, forcedColors: 'active' });
    await expect.poll(() => page.textContent('#notice'), { timeout: 10_000 }).toContain('weights.bin has SHA-256');
    const { notice, screen, backgrounds } = await page.evaluate(() => ({
      notice: document.getElementById('notice')!.getBoundingClientRect().width, screen: document.getElementById('screen')!.clientWidth,
      backgrounds: ['prior', 'draw'].map((mode) => getComputedStyle(document.querySelector(`input[value=${mode}] + span`)!).backgroundColor),
    }));
    expect(notice).toBeLessThanOrEqual(screen);
    expect(await page.evaluate(() => document.getElementById('notice')!.scrollWidth - document.getElementById('notice')!.clientWidth)).toBe(0);
    expect(backgrounds[0]).not.toBe(backgrounds[1]);
  });

  it('tells bundles of one name apart', async () => {
    const page = await (await browser.newContext()).newPage();
    pages.push(page);
    const entry = (id: string, name: string): object => ({ id, name, sampleShape: [2], path: id });
    await page.route('**/bundles/index.json', (route) => route.fulfill({ json: [entry('points', 'roll'), entry('guided', 'roll'), entry('image', 'other')] }));
    await page.goto(server.url);
    await page.waitForFunction(() => document.querySelectorAll('#bundle option').length === 3);
    expect(await page.locator('#bundle option').allTextContents()).toEqual(['roll (points)', 'roll (guided)', 'other']);
  });

  it('plays a flow on WebGPU frame by frame, and changes the provider', async () => {
    const page = await openPage('bundle=image&count=2&K=4&kappa=1&provider=webgpu');
    await finished(page);
    expect(await page.textContent('#provider')).toBe('WebGPU');
    expect(await page.textContent('#step')).toBe('5/5');
    await page.check('input[value=wasm]', { force: true });
    await finished(page);
    expect(await page.textContent('#provider')).toBe('WebAssembly');
    expect(new URL(page.url()).hash).toBe('#bundle=image&provider=wasm&count=2&K=4&kappa=1');
  });

  it('falls back where a provider is absent, and says so', async () => {
    const plain = await launch({ webgpu: false });
    try {
      const page = await plain.newPage();
      await page.goto(`${server.url}/#bundle=points&provider=webgpu&count=8`);
      await finished(page);
      expect(await page.textContent('#provider')).toBe('WebAssembly');
      expect(await page.textContent('#warnings')).toMatch(/^1 remarkwebgpu does not run here \((this browser has no WebGPU|the browser found no graphics adapter).*: wasm is used instead\.$/);
    } finally {
      await plain.close();
    }
  });

  it.each([['light', 1280, 800], ['dark', 1280, 800], ['light', 375, 740], ['dark', 375, 740]] as const)('is accessible: %s, %i × %i', async (colorScheme, width, height) => {
    const page = await openPage('bundle=image', { colorScheme, viewport: { width, height }, bypassCSP: true });
    await finished(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    await page.addScriptTag({ path: createRequire(import.meta.url).resolve('axe-core/axe.min.js') });
    const violations = (): Promise<string[]> => page.evaluate(async () => {
      const { axe } = globalThis as unknown as { axe: { run: () => Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } };
      return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
    });
    expect(await violations()).toEqual([]);
    await page.click('#open');
    expect(await violations()).toEqual([]);
  });

  it('is there after a few small files, none of them of the engine', async () => {
    const page = await (await browser.newContext()).newPage();
    pages.push(page);
    const [files, sizes]: [string[], number[]] = [[], []];
    page.on('response', (response) => {
      files.push(new URL(response.url()).pathname);
      sizes.push(Number(response.headers()['content-length']));
    });
    // Nothing to open: what is loaded is the page alone.
    await page.route('**/bundles/index.json', (route) => route.fulfill({ json: [], headers: { 'Content-Length': '2' } }));
    await page.goto(server.url);
    await page.waitForFunction(() => document.getElementById('notice')!.textContent === 'Open a bundle, or drop one here.');
    expect(files.filter((file) => /wasm|ort|worker/.test(file))).toEqual([]);
    expect(files.length).toBeLessThanOrEqual(7);
    expect(sizes.reduce((a, b) => a + b, 0)).toBeLessThan(120_000);
  });

  it('reaches every control with the keyboard, and opens the first bundle where the address names none that is there', async () => {
    const page = await openPage('bundle=nothing-such');
    await page.waitForFunction(() => document.querySelectorAll('#bundle option').length === 5);
    await finished(page);
    const reached = new Set<string>();
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      reached.add(await page.evaluate(() => document.activeElement?.id || document.activeElement?.getAttribute('name') || ''));
    }
    for (const id of ['bundle', 'open', 'rewind', 'play', 'position', 'mode', 'seed', 'K-slider', 'K', 'eta', 'nu', 'provider', 'link', 'save']) expect(reached).toContain(id);
  });
});
