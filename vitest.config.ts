import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { workerSources } from './tests/support/worker-sources.js';

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
// Tests run on the sources, so that a stale build can never pass.
const alias = {
  '@ratioflow/sdk/applications': source('sdk/src/applications/index.ts'),
  '@ratioflow/sdk/engine': source('sdk/src/engine.ts'),
  '@ratioflow/sdk/npy': source('sdk/src/npy.ts'),
  '@ratioflow/sdk': source('sdk/src/index.ts'),
  '@ratioflow/export': source('export/src/index.ts'),
  '@ratioflow/node': source('runtimes/node/src/index.ts'),
  '@ratioflow/web': source('runtimes/web/src/index.ts'),
  '@ratioflow/trainer': source('trainer/src/index.ts'),
};

export default defineConfig({
  plugins: [workerSources(source('node_modules/.ratioflow/workers'), alias)],
  resolve: { alias },
  test: {
    include: ['{sdk,export,trainer}/src/**/*.test.ts', 'runtimes/*/src/**/*.test.ts', 'tests/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
