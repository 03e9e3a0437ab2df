/** Builds a page with Vite, from the sources of the packages, so that a stale build can never pass. */
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const source = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** @param root folder of the page @param outDir where the built page goes */
export async function buildPage(root: string, outDir: string): Promise<void> {
  await build({
    root, configFile: false, logLevel: 'error', base: './',
    build: { outDir, emptyOutDir: true, target: 'es2023', assetsInlineLimit: 0 },
    worker: { format: 'es' },
    resolve: { alias: { '@ratioflow/sdk/applications': source('sdk/src/applications/index.ts'), '@ratioflow/sdk/engine': source('sdk/src/engine.ts'), '@ratioflow/sdk': source('sdk/src/index.ts'), '@ratioflow/web': source('runtimes/web/src/index.ts') } },
  });
}
