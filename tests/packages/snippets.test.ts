/**
 * The code of the documentation, block by block: all of it compiles against the packed packages, and what needs nothing but a
 * bundle runs.
 */
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open } from '@ratioflow/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeImageBundle } from '../support/network-bundles.js';
import { compile, makeProject, pack, root, run } from './pack.js';

interface Given {
  readonly type: string;
  /** Where the code runs. */
  readonly value?: string;
}

/** What a reader has before a block begins, by name; a block that declares the name itself has that. */
const given: Readonly<Record<string, Given>> = {
  open: { type: 'typeof import("@ratioflow/node").open', value: '(await import("@ratioflow/node")).open' },
  model: { type: 'import("@ratioflow/sdk").Model', value: 'await (await import("@ratioflow/node")).open("bundle", { threads: 1 })' },
  images: { type: 'import("@ratioflow/sdk").FloatTensor', value: '{ shape: [2, 1, 8, 8], data: new Float32Array(128) }' },
  draw: { type: '(...tensors: import("@ratioflow/sdk").FloatTensor[]) => void', value: '(...tensors) => console.log(tensors.map(({ shape }) => shape.join()).join(" "))' },
  upload: { type: 'Uint8Array', value: 'new Map((await Promise.all((await import("node:fs/promises").then((fs) => fs.readdir("bundle", { recursive: true, withFileTypes: true }))).filter((file) => file.isFile()).map(async (file) => { const path = file.parentPath + "/" + file.name; return [path.slice("bundle/".length), await (await import("node:fs/promises")).readFile(path)]; }))))' },
  k: { type: 'number', value: '0' },
  readFile: { type: 'typeof import("node:fs/promises").readFile' },
  writeFile: { type: 'typeof import("node:fs/promises").writeFile' },
  tf: { type: 'typeof import("@tensorflow/tfjs")' },
  network: { type: 'import("@tensorflow/tfjs").LayersModel' },
  convertLayersModel: { type: 'typeof import("@ratioflow/export").convertLayersModel' },
};

interface Block {
  /** The page and the number of the block. */
  readonly name: string;
  readonly code: string;
}

let folder: string;
let project: string;
const blocks: Block[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-snippets-'));
  project = join(folder, 'project');
  await makeProject(project, await pack(folder));
  await symlink(join(root, 'node_modules/@tensorflow'), join(project, 'node_modules/@tensorflow')).catch(() => undefined);
  await writeImageBundle(join(project, 'bundle'));
  await writeImageBundle(join(project, 'winter'), { prior: { kind: 'source' } });
  await symlink('bundle', join(project, 'digits'));
  for (const page of ['README.md', ...(await readdir(join(root, 'docs'))).filter((file) => file.endsWith('.md')).map((file) => `docs/${file}`)]) {
    const text = await readFile(join(root, page), 'utf8');
    for (const [i, [, code]] of [...text.matchAll(/^```(?:ts|js)\n([\s\S]*?)^```/gm)].entries()) {
      blocks.push({ name: `${page.replace(/^docs\/|\.md$/g, '')}-${i}`, code: code! });
    }
  }
});
afterAll(() => rm(folder, { recursive: true }));

/** Names that a block uses and does not declare. */
const wanted = (code: string): (readonly [string, Given])[] =>
  Object.entries(given).filter(([name]) => new RegExp(`(?<![.\\w'-])${name}\\b(?!['-])`).test(code) && !new RegExp(`\\b(import|const)\\b[^;=]*[{\\s,]${name}[\\s,}][^;]*?(=|from)`).test(code));

describe('the code of the documentation', () => {
  it('compiles', { timeout: 120_000 }, async () => {
    const place = join(project, 'compiled');
    await mkdir(place);
    await writeFile(join(place, 'package.json'), '{"type":"module"}');
    // The server is plain JavaScript, and tests/reliability/service.test.ts runs it.
    for (const { name, code } of blocks.filter(({ name }) => name !== 'node-service-0')) {
      // An interface is for those who work on this project.
      const types = name.startsWith('new-runtime') ? 'type Job = unknown;\ntype Outcome = unknown;\n' : '';
      await writeFile(join(place, `${name}.ts`), `${wanted(code).map(([given, { type }]) => `declare const ${given}: ${type};\n`).join('')}${types}${code}\nexport {};\n`);
    }
    expect(blocks.length).toBeGreaterThan(14);
    await writeFile(join(place, 'tsconfig.json'), JSON.stringify({
      compilerOptions: { module: 'node16', target: 'es2022', lib: ['es2023', 'esnext.disposable', 'dom'], types: ['node'], strict: true, useUnknownInCatchVariables: false, noEmit: true, skipLibCheck: true },
      include: ['*.ts'],
    }));
    expect(await compile(place)).toBe('');
  });

  it('runs, where a bundle is all that it needs', { timeout: 120_000 }, async () => {
    const running = blocks.filter(({ name }) => /^(README|sdk|cuda|applications|noise)-\d$|^node-service-1$/.test(name));
    expect(running.length).toBeGreaterThan(7);
    await mkdir(join(project, 'quickstart'));
    await symlink('../bundle', join(project, 'quickstart/bundle'));
    for (const { name, code } of running) {
      // Only a bundle that starts from images translates.
      const context = wanted(code).map(([given, { value }]) => `const ${given} = ${code.includes('translate(') ? value!.replace('"bundle"', '"winter"') : value!};\n`).join('');
      await writeFile(join(project, `${name}.mjs`), `${context}${code}`);
    }
    // One program, so that the engine is loaded once; whatever a block leaves open must not keep it running.
    await writeFile(join(project, 'all.mjs'), running.map(({ name }) => `console.log('${name}');\nawait import('./${name}.mjs');\n`).join(''));
    const { stdout } = await run(process.execPath, ['all.mjs'], { cwd: project, timeout: 60_000 });
    await using model = await open(join(project, 'bundle'));
    const { K, kappa } = model.manifest;
    expect(stdout.match(/^[a-zA-Z-]+-\d$/gm)).toEqual(running.map(({ name }) => name));
    // The frames of sdk.md, one in ten and the last.
    expect(stdout.match(/^8,1,8,8$/gm)).toHaveLength(Math.ceil((K + kappa) / 10) + 1);
    expect(stdout).toMatch(/provider: '(cuda|cpu)'/);
    expect(stdout.match(/^2,1,8,8 2,1,8,8$/gm)).toHaveLength(1);
  });
});
