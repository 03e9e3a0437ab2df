/** The packages as npm packs them, and a project of a stranger that has them. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

export const root = join(import.meta.dirname, '../..');
export const run = promisify(execFile);

/** Folders of what is published. */
const folders = ['sdk', 'export', 'runtimes/node', 'runtimes/web', 'trainer', 'runtimes/cli'];

export interface Manifest {
  readonly name: string;
  readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}
export interface Packed {
  /** Its folder in this repository. */
  readonly folder: string;
  readonly manifest: Manifest;
  /** Path of the `.tgz`. */
  readonly tarball: string;
  /** Paths in the package. */
  readonly files: readonly string[];
}

/** Runs the npm that came with this Node, or the one on the PATH. */
export function npm(args: readonly string[], folder: string): Promise<{ stdout: string }> {
  const script = join(dirname(process.execPath), '../lib/node_modules/npm/bin/npm-cli.js');
  // What a calling npm passes down in the environment is meant for this repository.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
  return existsSync(script) ? run(process.execPath, [script, ...args], { cwd: folder, env }) : run('npm', [...args], { cwd: folder, env });
}

/** Packs every package that is published into a folder. */
export async function pack(into: string): Promise<Packed[]> {
  const { stdout } = await npm(['pack', '--json', '--ignore-scripts', '--pack-destination', into, ...folders.flatMap((folder) => ['--workspace', folder])], root);
  type Report = { name: string; filename: string; files: { path: string }[] };
  // npm 12 names the packages, older npm lists them.
  const reports = Object.values(JSON.parse(stdout) as Report[] | Record<string, Report>);
  return Promise.all(folders.map(async (folder) => {
    const manifest = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8')) as Manifest;
    const { filename, files } = reports.find(({ name }) => name === manifest.name)!;
    return { folder, manifest, tarball: join(into, filename.replace(/^@/, '').replaceAll('/', '-')), files: files.map(({ path }) => path) };
  }));
}

/** Where a project has a package. */
export const installed = (project: string, { manifest }: Packed): string => join(project, 'node_modules', manifest.name);

/** Makes an empty project with the packages in it; what they depend on is linked, so that no network is needed. */
export async function makeProject(project: string, packages: readonly Packed[]): Promise<void> {
  await mkdir(project, { recursive: true });
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'stranger', private: true, type: 'module' }));
  for (const one of packages) {
    await mkdir(installed(project, one), { recursive: true });
    await run('tar', ['-xzf', one.tarball, '--strip-components=1', '-C', installed(project, one)]);
  }
  const link = async (name: string, folder = '.'): Promise<void> => {
    // A version that only this package wants lies with it.
    const source = [join(root, folder, 'node_modules', name), join(root, 'node_modules', name)].find((path) => existsSync(path));
    const target = join(project, 'node_modules', name);
    if (source === undefined || existsSync(target)) return;
    await mkdir(dirname(target), { recursive: true });
    await symlink(source, target);
  };
  for (const { folder, manifest } of packages) {
    for (const name of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies })) await link(name, folder);
  }
  for (const name of ['@types/node', 'undici-types', 'onnxruntime-common']) await link(name);
}

/** The compiler's complaints about a project. */
export async function compile(place: string): Promise<string> {
  return run(process.execPath, [join(root, 'node_modules/typescript/lib/tsc.js'), '-p', place, '--pretty', 'false']).then(() => '', (error: unknown) => (error as { stdout: string }).stdout);
}
