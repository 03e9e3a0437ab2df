/**
 * The packages as a stranger gets them: packed by npm, unpacked into an empty project, nothing of this repository in reach.
 * Their third-party dependencies are linked, so that no network is needed.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeImageBundle } from '../support/network-bundles.js';

const root = join(import.meta.dirname, '../..');
const folders = ['sdk', 'export', 'runtimes/node', 'runtimes/web'].filter((folder) => existsSync(join(root, folder, 'package.json')));
const run = promisify(execFile);

interface Package { readonly name: string; readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>>; readonly dependencies?: Readonly<Record<string, string>> }

let project: string;
const packages: { manifest: Package; folder: string; files: string[] }[] = [];

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'ratioflow-install-'));
  const link = async (name: string): Promise<void> => {
    const target = join(project, 'node_modules', name);
    await mkdir(dirname(target), { recursive: true });
    if (!existsSync(target)) await symlink(join(root, 'node_modules', name), target);
  };
  const npm = join(dirname(process.execPath), '../lib/node_modules/npm/bin/npm-cli.js');
  for (const folder of folders) {
    const [command, args] = existsSync(npm) ? [process.execPath, [npm]] : ['npm', []];
    const { stdout } = await run(command, [...args, 'pack', '--json', '--ignore-scripts', '--pack-destination', project], { cwd: join(root, folder) });
    // npm 12 names the packages, older npm lists them.
    const report = JSON.parse(stdout) as { filename: string; files: { path: string }[] }[] | Record<string, { filename: string; files: { path: string }[] }>;
    const { filename, files } = Object.values(report)[0]!;
    const manifest = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8')) as Package;
    const target = join(project, 'node_modules', manifest.name);
    await mkdir(target, { recursive: true });
    await run('tar', ['-xzf', join(project, filename.replace(/^@/, '').replaceAll('/', '-')), '--strip-components=1', '-C', target]);
    packages.push({ manifest, folder: target, files: files.map(({ path }) => path) });
  }
  for (const { manifest } of packages) {
    for (const name of Object.keys(manifest.dependencies ?? {})) if (!name.startsWith('@ratioflow/')) await link(name);
  }
  for (const name of ['@types/node', 'undici-types', 'onnxruntime-common']) await link(name);
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'stranger', private: true, type: 'module' }));
});
afterAll(() => rm(project, { recursive: true }));

describe('the packed packages', () => {
  it('hold what their manifests promise, and nothing else', async () => {
    expect(packages.length).toBeGreaterThanOrEqual(3);
    for (const { manifest, folder, files } of packages) {
      const promised = Object.values(manifest.exports).flatMap((entry) => Object.values(entry));
      for (const file of promised) expect(existsSync(join(folder, file)), `${manifest.name}: ${file}`).toBe(true);
      expect(files.filter((file) => /\.test\.|tsbuildinfo|\/testing\/|\.tgz$/.test(file) && !file.startsWith('dist/testing/'))).toEqual([]);
      // Every import of the package's own files and of packages is there.
      const modules = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.js') && !file.includes('bundled'));
      const known = new Set([manifest.name, ...Object.keys(manifest.dependencies ?? {}), ...Object.keys((manifest as { peerDependencies?: object }).peerDependencies ?? {})]);
      for (const file of modules) {
        for (const [, , specifier] of (await readFile(join(folder, file), 'utf8')).matchAll(/^(import|export) [^;]*? from '([^']+)'/gm)) {
          if (specifier!.startsWith('.')) expect(existsSync(join(folder, dirname(file), specifier!)), `${manifest.name}/${file}: ${specifier!}`).toBe(true);
          else if (!specifier!.startsWith('node:')) expect([...known].some((name) => specifier === name || specifier!.startsWith(`${name}/`)), `${manifest.name}/${file}: ${specifier!}`).toBe(true);
        }
      }
    }
  });

  it.each([
    ['node16', { module: 'node16', moduleResolution: 'node16' }], ['bundler', { module: 'esnext', moduleResolution: 'bundler' }],
  ])('have types that resolve with moduleResolution %s', { timeout: 120_000 }, async (name, options) => {
    const folder = join(project, name);
    await mkdir(folder);
    const imports = packages.map(({ manifest }, i) => `import * as p${i} from '${manifest.name}';\nexport const n${i}: number = Object.keys(p${i}).length;`).join('\n');
    await writeFile(join(folder, 'use.ts'), `${imports}
import { open } from '@ratioflow/node';
import type { FloatTensor, Model, Statistics } from '@ratioflow/sdk';
export async function use(): Promise<[FloatTensor, Statistics]> {
  const model: Model = await open('bundle', { providers: ['cuda', 'cpu'], worker: true });
  const { samples, statistics } = await model.sample({ count: 4, seed: 7n });
  for await (const { x, stage } of model.flow({ every: 5 })) console.log(x.shape, stage);
  // @ts-expect-error There is no such provider.
  await open('bundle', { providers: ['tpu'] });
  return [samples, statistics];
}
`);
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...options, target: 'es2022', lib: ['es2022', 'dom'], types: ['node'], strict: true, noEmit: true, skipLibCheck: true, exactOptionalPropertyTypes: true }, files: ['use.ts'] }));
    const outcome = await run(process.execPath, [join(root, 'node_modules/typescript/lib/tsc.js'), '-p', folder, '--pretty', 'false']).then(() => '', (error: unknown) => (error as { stdout: string }).stdout);
    expect(outcome).toBe('');
  });

  it('run the example of the README', async () => {
    const example = /```ts\n(import \{ open, savePng \}[\s\S]*?)```/.exec(await readFile(join(root, 'README.md'), 'utf8'))![1]!;
    expect(example.trim().split('\n').length).toBeLessThanOrEqual(10);
    await writeFile(join(project, 'example.mjs'), example);
    await writeImageBundle(join(project, 'quickstart/bundle'));
    const { stdout } = await run(process.execPath, ['example.mjs'], { cwd: project, timeout: 60_000 });
    expect(stdout).toMatch(/^cpu \d/);
    expect(await sharp(join(project, 'mine.png')).metadata()).toMatchObject({ format: 'png' });
  });

  it('run in a worker from where they are installed', async () => {
    await writeImageBundle(join(project, 'bundle'));
    await writeFile(join(project, 'worker.mjs'), `
      import { open } from '@ratioflow/node';
      for (const worker of ['thread', 'process']) {
        const model = await open('bundle', { worker });
        console.log((await model.sample({ count: 2, K: 2, kappa: 0 })).samples.shape.join());
        await model.dispose();
      }`);
    const { stdout } = await run(process.execPath, ['worker.mjs'], { cwd: project, timeout: 60_000 });
    expect(stdout).toBe('2,1,8,8\n2,1,8,8\n');
  });
});
