/** What `npm run app` serves of the bundles nearby, whatever their folders hold. */
import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createViteServer } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { localBundles } from '../../runtimes/web/app/local-bundles.js';
import { writePointsBundle } from '../support/network-bundles.js';

let folder: string;
const server = createServer();
let url: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-app-'));
  await writePointsBundle(join(folder, 'points'));
  await cp(join(folder, 'points'), join(folder, 'odd'), { recursive: true });
  await rm(join(folder, 'odd/weights.bin'));
  await mkdir(join(folder, 'odd/weights.bin'));
  await rm(join(folder, 'odd/step.onnx'));
  await rm(join(folder, 'odd/ratio.onnx'));
  await symlink(join(folder, 'secret.txt'), join(folder, 'odd/ratio.onnx'));
  await writeFile(join(folder, 'secret.txt'), 'nothing of the bundle');
  if (process.platform !== 'win32') {
    await mkdir(join(folder, 'pipe'));
    execFileSync('mkfifo', [join(folder, 'pipe/manifest.json')]);
  }
  process.env.RATIOFLOW_BUNDLES = folder;
  const { configurePreviewServer } = localBundles() as unknown as { configurePreviewServer: (server: object) => void };
  configurePreviewServer({
    middlewares: {
      use: (_: string, handler: (request: IncomingMessage, response: ServerResponse, next: () => void) => void) => {
        server.on('request', ((request, response) => handler(request, response, () => response.writeHead(404).end())) satisfies RequestListener);
      },
    },
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  delete process.env.RATIOFLOW_BUNDLES;
  server.close();
  await rm(folder, { recursive: true });
});

const status = async (path: string): Promise<number> => (await fetch(url + path)).status;

it('lists the bundles and gives their files and no others, one that cannot be read included', async () => {
  expect((await (await fetch(`${url}/index.json`)).json() as { id: string }[]).map(({ id }) => id).sort()).toEqual(['odd', 'points']);
  expect(await status('/points/step.onnx')).toBe(200);
  expect(await status('/points/other.txt')).toBe(404);
  // A folder, and nothing, where the manifest names a file.
  expect(await status('/odd/weights.bin')).toBe(500);
  expect(await status('/odd/step.onnx')).toBe(500);
  // A link that leads out of it.
  expect(await status('/odd/ratio.onnx')).toBe(500);
  expect(await status('/%E0%A4%A')).toBe(500);
  expect(await status('/points/manifest.json')).toBe(200);
});

it('answers 404 where there is neither page nor bundle', async () => {
  const vite = await createViteServer({ configFile: join(import.meta.dirname, '../../runtimes/web/app/vite.config.ts'), logLevel: 'error', server: { host: '127.0.0.1', ws: false } });
  try {
    await vite.listen();
    const base = vite.resolvedUrls!.local[0]!;
    const statuses = await Promise.all(['', 'bundles/points/manifest.json', 'bundles/none/manifest.json', 'none'].map(async (path) => (await fetch(base + path)).status));
    expect(statuses).toEqual([200, 200, 404, 404]);
  } finally {
    await vite.close();
  }
});
