/** A real headless Chromium for tests, with WebGPU on its software adapter. Where there is none, tests skip and say so. */
import { accessSync, constants, existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** Path of the browser: `RATIOFLOW_CHROMIUM`, or one on the PATH. */
export const chromiumPath: string | undefined = process.env.RATIOFLOW_CHROMIUM
  ?? (process.env.PATH ?? '').split(delimiter).flatMap((folder) => names.map((name) => join(folder, name))).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** Why browser tests cannot run here; undefined when they can. */
export const noChromium: string | undefined = chromiumPath === undefined
  ? 'no Chromium on the PATH: install Debian\'s package chromium, or set RATIOFLOW_CHROMIUM' : undefined;

if (noChromium !== undefined) console.log(`skipped: browser tests (${noChromium})`);

/** Starts the browser. @param webgpu false: as if it had never heard of WebGPU */
export async function launch({ webgpu = true } = {}): Promise<Browser> {
  const icd = '/usr/lib/chromium/vk_swiftshader_icd.json';
  return chromium.launch({
    executablePath: chromiumPath!,
    args: ['--no-sandbox', ...(webgpu ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'] : ['--disable-blink-features=WebGPU'])],
    env: {
      ...process.env as Record<string, string>,
      XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? mkdtempSync(join(tmpdir(), 'ratioflow-xdg-')),
      ...(existsSync(icd) && { VK_ICD_FILENAMES: icd }),
    },
  });
}
