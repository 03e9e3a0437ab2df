/** The TypeScript sources in a plain Node process, through Vite with the tests' own aliases: nothing built is involved. */
import { join } from 'node:path';
import { createServer } from 'vite';

const root = join(import.meta.dirname, '../..');

/** @returns `load(path from the root)` → the module; `close()` ends Vite, after the last dynamic import */
export async function loadSources() {
  const server = await createServer({
    root, configFile: join(root, 'vitest.config.ts'), configLoader: 'runner', logLevel: 'error', appType: 'custom',
    server: { middlewareMode: true, watch: null, hmr: false, ws: false }, optimizeDeps: { noDiscovery: true },
  });
  return { load: (path) => server.ssrLoadModule(join(root, path)), close: () => server.close() };
}
