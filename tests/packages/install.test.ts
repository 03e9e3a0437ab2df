/**
 * The packages as a stranger gets them: packed by npm, in a project outside of this repository.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeImageBundle } from '../support/network-bundles.js';
import { compile, installed, makeProject, npm, pack, root, run } from './pack.js';
import type { Packed } from './pack.js';

let folder: string;
let project: string;
let packages: Packed[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-install-'));
  project = join(folder, 'project');
  packages = await pack(folder);
  await makeProject(project, packages);
  await writeImageBundle(join(project, 'quickstart/bundle'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Without the trainer and the command line, which bring TensorFlow, hundreds of megabytes of it. */
const light = (all: readonly Packed[]): Packed[] => all.filter(({ manifest }) => !['@ratioflow/trainer', 'ratioflow'].includes(manifest.name));

/** Code blocks of a package's page. */
const codeOf = async (path: string, language: string): Promise<string[]> =>
  Array.from((await readFile(path, 'utf8')).matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm')), ([, code]) => code!);

describe('the packed packages', () => {
  it('hold what their manifests promise, licence and page, and nothing else', async () => {
    const licence = await readFile(join(root, 'LICENSE'), 'utf8');
    for (const one of packages) {
      const { manifest, files } = one;
      const place = installed(project, one);
      const promised = [...Object.values(manifest.exports).flatMap((entry) => Object.values(entry)), ...Object.values(manifest.bin ?? {})];
      for (const file of promised) expect(existsSync(join(place, file)), `${manifest.name}: ${file}`).toBe(true);
      expect(await readFile(join(place, 'LICENSE'), 'utf8'), manifest.name).toBe(licence);
      expect(await readFile(join(place, 'README.md'), 'utf8'), manifest.name).toMatch(new RegExp(`^# ${manifest.name}\n`));
      expect(files.filter((file) => /\.test\.|tsbuildinfo|\/testing\/|\.tgz$/.test(file))).toEqual([]);
      expect(files.filter((file) => !/^(LICENSE|README\.md|package\.json|(bin|configs|dist|native|src)\/.*)$/.test(file))).toEqual([]);
      // Every import of the package's own files and of packages is there.
      const modules = (await readdir(place, { recursive: true })).filter((file) => file.endsWith('.js') && !file.includes('bundled'));
      const known = [manifest.name, ...Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies })];
      for (const file of modules) {
        for (const [, , specifier] of (await readFile(join(place, file), 'utf8')).matchAll(/^(import|export) [^;]*? from '([^']+)'/gm)) {
          if (specifier!.startsWith('.')) expect(existsSync(join(place, dirname(file), specifier!)), `${manifest.name}/${file}: ${specifier!}`).toBe(true);
          else if (!specifier!.startsWith('node:')) expect(known.some((name) => specifier === name || specifier!.startsWith(`${name}/`)), `${manifest.name}/${file}: ${specifier!}`).toBe(true);
        }
      }
      // Maps lead to sources that are there.
      for (const map of files.filter((file) => file.endsWith('.map'))) {
        const { sources } = JSON.parse(await readFile(join(place, map), 'utf8')) as { sources: string[] };
        for (const source of sources) expect(existsSync(join(place, dirname(map), source)), `${manifest.name}/${map}: ${source} (from an older build? remove dist)`).toBe(true);
      }
    }
  });

  it('have nothing for publint to say', async () => {
    for (const one of packages) {
      const { messages, pkg } = await publint({ pkgDir: installed(project, one), pack: false, strict: true });
      expect(messages.map((message) => formatMessage(message, pkg, { color: false })), one.manifest.name).toEqual([]);
    }
  });

  it.each([
    ['node16', { module: 'node16', moduleResolution: 'node16' }], ['bundler', { module: 'esnext', moduleResolution: 'bundler' }],
  ])('have types that resolve with moduleResolution %s, and so has the code of their pages', { timeout: 120_000 }, async (name, options) => {
    const place = join(project, name);
    await mkdir(place);
    const entries = packages.flatMap(({ manifest }) => Object.keys(manifest.exports).filter((entry) => entry !== './package.json').map((entry) => manifest.name + entry.slice(1)));
    const imports = entries.map((entry, i) => `import * as p${i} from '${entry}';\nexport const n${i}: number = Object.keys(p${i}).length;`).join('\n');
    await writeFile(join(place, 'use.ts'), `${imports}
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
    const pages = ['use.ts'];
    for (const one of packages) {
      for (const [i, code] of (await codeOf(join(installed(project, one), 'README.md'), 'ts')).entries()) {
        pages.push(`${one.manifest.name.replace('/', '-')}-${i}.ts`);
        await writeFile(join(place, pages.at(-1)!), code);
      }
    }
    expect(pages.length).toBeGreaterThan(5);
    await writeFile(join(place, 'package.json'), '{"type":"module"}');
    await writeFile(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...options, target: 'es2022', lib: ['es2022', 'dom'], types: ['node'], strict: true, noEmit: true, skipLibCheck: true, exactOptionalPropertyTypes: true }, files: pages }));
    expect(await compile(place)).toBe('');
  });

  it('leave the SDK\'s types whole without libraries of any platform', async () => {
    const place = join(project, 'bare');
    await mkdir(place);
    await writeFile(join(place, 'use.ts'), 'import { openBundle } from \'@ratioflow/sdk\';\nexport * from \'@ratioflow/sdk/applications\';\nexport * from \'@ratioflow/sdk/engine\';\nexport const f: unknown = openBundle;\n');
    await writeFile(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions: { module: 'node16', target: 'es2022', lib: ['es2023', 'esnext.disposable'], types: [], strict: true, noEmit: true }, files: ['use.ts'] }));
    expect(await compile(place)).toBe('');
  });

  it.each([
    ['node16', { module: 'node16', moduleResolution: 'node16' }], ['bundler', { module: 'esnext', moduleResolution: 'bundler' }],
  ])('have declarations without errors where tfjs is not installed (%s, skipLibCheck: false)', { timeout: 120_000 }, async (name, options) => {
    const place = join(folder, `declarations-${name}`);
    await makeProject(place, light(packages).map((one) => ({ ...one, manifest: { ...one.manifest, peerDependencies: {} } })));
    expect(existsSync(join(place, 'node_modules/@tensorflow'))).toBe(false);
    const entries = light(packages).flatMap(({ manifest }) => Object.keys(manifest.exports).filter((entry) => entry !== './package.json').map((entry) => manifest.name + entry.slice(1)));
    await writeFile(join(place, 'use.ts'), entries.map((entry) => `export * as ${entry.replace(/\W/g, '_')} from '${entry}';\n`).join(''));
    await writeFile(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...options, target: 'es2022', lib: ['es2022', 'dom'], types: ['node'], strict: true, noEmit: true, skipLibCheck: false, exactOptionalPropertyTypes: true, preserveSymlinks: true }, files: ['use.ts'] }));
    expect(await compile(place)).toBe('');
  });

  it('run the example of the README', async () => {
    const [example] = (await codeOf(join(root, 'README.md'), 'ts')).filter((code) => code.startsWith('import { open, savePng }'));
    expect(example!.trim().split('\n').length).toBeLessThanOrEqual(10);
    expect(await runExample(project, example!)).toMatch(/^cpu \d/);
    expect(await sharp(join(project, 'mine.png')).metadata()).toMatchObject({ format: 'png' });
  });

  it('run in a worker from where they are installed', async () => {
    expect(await runExample(project, `
      import { open } from '@ratioflow/node';
      for (const worker of ['thread', 'process']) {
        const model = await open('quickstart/bundle', { worker });
        console.log((await model.sample({ count: 2, K: 2, kappa: 0 })).samples.shape.join());
        await model.dispose();
      }`)).toBe('2,1,8,8\n2,1,8,8\n');
  });

  it('bring the command line, with the configurations of its demos', async () => {
    const cli = packages.find(({ manifest }) => manifest.name === 'ratioflow')!;
    const ratioflow = async (...args: string[]): Promise<string> =>
      (await run(process.execPath, [join(installed(project, cli), cli.manifest.bin!['ratioflow']!), ...args], { cwd: project, timeout: 60_000 })).stdout;
    expect(await ratioflow('sample', 'quickstart/bundle', '--count', '2', '-o', 'two.npy')).toContain('two.npy');
    expect(await ratioflow('doctor')).toMatch(/ok {2}cpu: runs[^]*TensorFlow\.js: 4\.[^]*C\+\+ compiler/);
    const configs = await readdir(join(root, 'trainer/configs'));
    const trainer = packages.find(({ manifest }) => manifest.name === '@ratioflow/trainer')!;
    expect(await readdir(join(installed(project, trainer), 'configs'))).toEqual(configs);
  });

  it('are installed by npm itself, and run', { timeout: 240_000 }, async ({ skip }) => {
    const other = join(folder, 'by-npm');
    await mkdir(other);
    await writeFile(join(other, 'package.json'), JSON.stringify({ name: 'stranger', private: true, type: 'module' }));
    try {
      await npm(['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--fetch-retries=1', ...light(packages).map(({ tarball }) => tarball)], other);
    } catch (error) {
      const problem = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTCACHED|ENETUNREACH|E40[13]|network/.exec(String((error as { stderr?: string }).stderr));
      if (problem === null) throw error;
      console.log(`skipped: an installation by npm: no registry (${problem[0]})`);
      skip(`no registry (${problem[0]})`);
    }
    await writeImageBundle(join(other, 'quickstart/bundle'));
    expect((await readdir(join(other, 'node_modules/@ratioflow'))).sort()).toEqual(['export', 'node', 'sdk', 'web']);
    expect(await runExample(other, `
      import { readFile } from 'node:fs/promises';
      import { readModel } from '@ratioflow/export';
      import { open } from '@ratioflow/node';
      import { interpolate } from '@ratioflow/sdk/applications';
      const model = await open('quickstart/bundle');
      console.log(typeof readModel, typeof interpolate, (await model.sample({ count: 3 })).samples.shape.join());
      await model.dispose();`)).toBe('function function 3,1,8,8\n');
  });
});

/** What a program prints that runs in a project. */
async function runExample(place: string, code: string): Promise<string> {
  await writeFile(join(place, 'example.mjs'), code);
  return (await run(process.execPath, ['example.mjs'], { cwd: place, timeout: 60_000 })).stdout;
}
