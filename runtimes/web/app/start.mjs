/**
 * Serves the page: npm run app [-- folder …] [--port n] [--host]
 * The folders hold bundles, or folders of bundles; without any, those near the current folder are found.
 */
import { delimiter } from 'node:path';
import { parseArgs } from 'node:util';
import { createServer } from 'vite';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { port: { type: 'string' }, host: { type: 'boolean', default: false } } });
if (positionals.length > 0) process.env.RATIOFLOW_BUNDLES = positionals.join(delimiter);
const server = await createServer({
  configFile: `${import.meta.dirname}/vite.config.ts`,
  server: { ...(values.port !== undefined && { port: Number(values.port), strictPort: true }), host: values.host || '127.0.0.1' },
});
await server.listen();
server.printUrls();
