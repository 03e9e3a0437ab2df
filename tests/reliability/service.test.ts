/** The server of docs/node-service.md, word for word, against the packages as they are built. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from '@ratioflow/node';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { writeImageBundle, writePointsBundle } from '../support/network-bundles.js';

const root = join(import.meta.dirname, '../..');

it('answers many clients, refuses what it cannot do, and ends when it is told', async () => {
  // Below the root, from where the packages resolve.
  const folder = await mkdtemp(join(root, 'node_modules', '.ratioflow-service-'));
  const bundles = await mkdtemp(join(tmpdir(), 'ratioflow-service-'));
  try {
    const page = await readFile(join(root, 'docs/node-service.md'), 'utf8');
    const program = /```js\n(import [\s\S]*?)```/.exec(page)![1]!;
    await writeFile(join(folder, 'service.mjs'), program);
    for (const [name, write] of [['points', writePointsBundle], ['image', writeImageBundle]] as const) {
      await write(join(bundles, name));
      const child = spawn(process.execPath, [join(folder, 'service.mjs'), join(bundles, name)], { env: { ...process.env, PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit'] });
      const port = await new Promise<string>((resolve, reject) => {
        child.stdout.on('data', (part: Buffer) => { const match = /listening on (\d+)/.exec(part.toString()); if (match) resolve(match[1]!); });
        child.on('exit', (code) => { reject(new Error(`the service ended with ${code}`)); });
      });
      const get = (query: string, signal?: AbortSignal, path = '/'): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}?${query}`, { ...(signal && { signal }) });
      const model = await open(join(bundles, name));
      const answers = await Promise.all([1, 2, 3, 4].map((seed) => get(`seed=${seed}&count=3`)));
      for (const [i, answer] of answers.entries()) {
        expect([answer.status, answer.headers.get('x-provider')]).toEqual([200, 'cpu']);
        const { samples } = await model.sample({ seed: i + 1, count: 3 });
        if (name === 'points') expect(new Float32Array(await answer.json() as number[])).toEqual(samples.data);
        else expect(await sharp(await answer.arrayBuffer()).metadata()).toMatchObject({ format: 'png', width: 18 });
      }
      await model.dispose();
      const refused = await get('seed=-1');
      expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('seed is "-1"')]);
      // A path that is no URL of its own.
      expect((await get('seed=5&count=1', undefined, '//')).status).toBe(200);
      await expect(get('seed=1&count=64', AbortSignal.timeout(1))).rejects.toThrow();
      expect((await get('seed=5&count=1')).status).toBe(200);
      const ended = new Promise((resolve) => { child.on('exit', (code, signal) => resolve([code, signal])); });
      child.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
    }
  } finally {
    await Promise.all([rm(folder, { recursive: true }), rm(bundles, { recursive: true })]);
  }
});
