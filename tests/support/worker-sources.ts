/**
 * Tests run on the sources, but a worker starts from a file that Node itself can read: a Vite plugin that bundles the
 * TypeScript file behind `new URL('./…-main.js', import.meta.url)` into node_modules, from where packages resolve.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';
import type { Plugin } from 'vitest/config';

/** @param folder where the bundled workers go @param alias package name → source file */
export function workerSources(folder: string, alias: Readonly<Record<string, string>>): Plugin {
  const pattern = /new URL\('(\.\/[a-z-]+)\.js', import\.meta\.url\)/g;
  return {
    name: 'worker-sources',
    // Before anything rewrites the quotation marks.
    enforce: 'pre',
    transform: async (code, id) => {
      const matches = [...code.matchAll(pattern)];
      if (!/\/src\/[^?]+\.ts$/.test(id) || matches.length === 0) return undefined;
      let changed = code;
      for (const [text, name] of matches) {
        const source = join(dirname(id), `${name!}.ts`);
        if (existsSync(source)) changed = changed.replace(text, `new URL(${JSON.stringify(await bundled(source, folder, alias))})`);
      }
      return { code: changed, map: null };
    },
  };
}

async function bundled(input: string, folder: string, alias: Readonly<Record<string, string>>): Promise<string> {
  const build = await rolldown({ input, platform: 'node', resolve: { alias: { ...alias } }, external: /^(?!@ratioflow\/)[^./]/, logLevel: 'silent' });
  const { output } = await build.generate({ format: 'esm' });
  await build.close();
  const { code } = output[0];
  // Named by content: whatever else runs at the same time never sees half a file or another one.
  const path = join(folder, `${createHash('sha256').update(code).digest('hex').slice(0, 16)}.mjs`);
  await mkdir(folder, { recursive: true });
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, code);
  await rename(temporary, path);
  return pathToFileURL(path).href;
}
