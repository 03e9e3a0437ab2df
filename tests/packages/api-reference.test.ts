/** The API reference is made without a warning: everything exported is documented, every link leads somewhere. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root, run } from './pack.js';

it('typedoc has nothing to complain about in any entry of the packages for applications', { timeout: 240_000 }, async () => {
  const { stdout, stderr } = await run(process.execPath, [join(root, 'node_modules/typedoc/bin/typedoc'), '--emit', 'none', '--treatWarningsAsErrors'], { cwd: root })
    .catch((error: unknown) => error as { stdout: string; stderr: string });
  expect(stdout + stderr).not.toMatch(/warning|error/i);
  const { entryPoints } = JSON.parse(await readFile(join(root, 'typedoc.json'), 'utf8')) as { entryPoints: string[] };
  for (const folder of ['sdk', 'runtimes/node', 'runtimes/web', 'export']) {
    const { exports } = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8')) as { exports: Record<string, { default: string }> };
    // The worker's entry exports nothing: importing it is all.
    for (const entry of Object.values(exports).filter((target) => !target.default.endsWith('worker.js'))) {
      expect(entryPoints).toContain(join(folder, entry.default.replace('./dist', 'src').replace(/\.js$/, '.ts')));
    }
  }
});
