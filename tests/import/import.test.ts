/**
 * Estimators as other people export them (PyTorch's two exporters, opsets 13 to 23, fixed batches, other precisions and
 * layouts) against PyTorch's own outputs and gradients; and what keeps an import from going wrong unseen.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GraphBuilder, importBundle, newModel, readModelFile, writeModel, type ImportOptions } from '@ratioflow/export';
import { createRuntime, readNpy } from '@ratioflow/node';
import type { Manifest } from '@ratioflow/sdk';
import { decodeNpy } from '@ratioflow/sdk/npy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { changedOperators } from '../../export/src/import/convert-opset.js';

const python = (modules: string): string | undefined => [process.env['RATIOFLOW_PYTHON'], 'python3'].find(
  (command) => command !== undefined && spawnSync(command, ['-c', `import ${modules}`]).status === 0,
);
const torch = python('numpy, onnx, onnxscript, torch');
const onnx = python('onnx');
if (!torch) console.log('skip: no Python with torch and onnxscript (set RATIOFLOW_PYTHON): imports are not compared with PyTorch');
if (!onnx) console.log('skip: no Python with onnx (set RATIOFLOW_PYTHON): the conversion between opsets is not held against the definitions');

const reference = createRuntime({ threads: 1 });
const flow = { name: 'foreign', pairing: 'lr-kl', prior: { kind: 'uniform' }, eta: 1, nu: 0.1, K: 2, kappa: 1, reference } as const;

interface Case { readonly name: string; readonly file: string; readonly options: Partial<ImportOptions>; readonly x: string; readonly n: string; readonly gradient: string }

let folder: string;
let cases: Case[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-import-'));
  if (!torch) return;
  const run = spawnSync(torch, [fileURLToPath(new URL('foreign_models.py', import.meta.url)), folder], { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (run.status !== 0) throw new Error(run.stderr);
  cases = JSON.parse(run.stdout.trim().split('\n').at(-1)!) as Case[];
}, 300_000);
afterAll(() => rm(folder, { recursive: true }));

describe.skipIf(!torch)('estimators of PyTorch', () => {
  it('import, and compute what PyTorch does', async () => {
    const seen: string[] = [];
    for (const { name, file, options, x, n, gradient } of cases) {
      const { files, notes } = await importBundle({ ...flow, ...options, read: () => readModelFile(join(folder, file)) });
      const session = await reference.load({ name, model: files.get('gradient.onnx')!, externalData: (file) => Promise.resolve(files.get(file)!) });
      const result = await session.run({ x: await readNpy(join(folder, x)) });
      await session.dispose();
      // Halves: the network's weights themselves are rounded to 11 bits, and kinks of LeakyReLU move.
      const allowed = name.includes('float16') ? 2e-2 : 1e-4;
      expect(difference(result['logRatio']!.data, (await readNpy(join(folder, n))).data), name).toBeLessThan(allowed);
      expect(difference(result['drift']!.data, (await readNpy(join(folder, gradient))).data, -1), name).toBeLessThan(allowed);
      const manifest = JSON.parse(new TextDecoder().decode(files.get('manifest.json'))) as Manifest;
      expect(manifest.departures, name).toBeUndefined();
      expect(manifest.valueRange, name).toEqual(name.startsWith('points') ? null : [-1, 1]);
      expect(notes.some((note) => note.includes('freed its batch extent')), name).toBe(name.includes('fixed batch'));
      seen.push(name);
    }
    expect(seen.length).toBeGreaterThan(20);
  }, 120_000);
});

/** Largest |sign · a − b| as a part of max |b|. */
function difference(a: ArrayLike<number | bigint>, b: ArrayLike<number | bigint>, sign = 1): number {
  let [error, size] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    error = Math.max(error, Math.abs(sign * Number(a[i]) - Number(b[i])));
    size = Math.max(size, Math.abs(Number(b[i])));
  }
  return a.length === b.length ? error / size : Infinity;
}

describe.skipIf(!onnx)('the conversion between opsets', () => {
  it('knows every operator whose form differs between opset 13 and the newest', () => {
    const script = `
from onnx import defs
history = {}
for schema in defs.get_all_schemas_with_history():
    if schema.domain == "":
        history.setdefault(schema.name, {})[schema.since_version] = schema
for name, versions in history.items():
    at18 = versions.get(max((v for v in versions if v <= 18), default=0))
    first = max((v for v in versions if v <= 13), default=0)
    for version, schema in versions.items():
        if not first <= version <= 28:
            continue
        old, new = set(schema.attributes), set(at18.attributes) if at18 else set()
        changed = at18 is None or old - new or len(schema.inputs) > len(at18.inputs) or any(
            str(schema.attributes[key].default_value) != str(at18.attributes[key].default_value) for key in old & new)
        changed = changed or any(at18.attributes[key].required for key in new - old)
        if changed:
            print(name)
            break
`;
    const run = spawnSync(onnx!, ['-c', script], { encoding: 'utf8' });
    expect(run.stderr).toBe('');
    const names = run.stdout.trim().split('\n');
    expect(names).toContain('Gelu');
    expect(names.filter((name) => !changedOperators.has(name))).toEqual([]);
  });
});

/** n(x) = Σ (x·W)², with W in a file beside the model. */
async function externalModel(path: string): Promise<void> {
  const builder = new GraphBuilder('external');
  const x = builder.input('x', 'float32', ['N', 4]);
  const w = builder.initializer('w', { dtype: 'float32', dims: [4, 4], data: { location: 'weights.data', offset: 8, length: 64 } });
  const y = builder.op('MatMul', [x, w]);
  builder.output('n', builder.op('ReduceSum', [builder.op('Mul', [y, y]), builder.ints([1])], { keepdims: 0 }));
  await writeFile(path, writeModel(newModel(builder.graph)));
  await writeFile(join(path, '../weights.data'), new Uint8Array(Float32Array.from({ length: 18 }, (_, i) => (i > 1 && (i - 2) % 5 === 0 ? 2 : 0)).buffer));
}

describe('a model whose weights lie beside it', () => {
  it('imports', async () => {
    const path = join(folder, 'external.onnx');
    await externalModel(path);
    const { files } = await importBundle({ ...flow, read: () => readModelFile(path) });
    const [x, n] = ['verify/ratio.x.npy', 'verify/ratio.logRatio.npy'].map((file) => Array.from(decodeNpy(files.get(file)!, file).data, Number)) as [number[], number[]];
    // W = 2·I: n = 4 Σ x².
    n.forEach((value, i) => expect(value).toBeCloseTo(4 * x.slice(4 * i, 4 * i + 4).reduce((sum, v) => sum + v * v, 0), 4));
  });

  it('is refused when they are missing, short, or elsewhere', async () => {
    const inner = await mkdtemp(join(folder, 'inner-'));
    const path = join(inner, 'model.onnx');
    await externalModel(path);
    await truncate(join(inner, 'weights.data'), 70);
    await expect(readModelFile(path)).rejects.toThrow(/tensor "w" needs bytes 8 to 72 of "weights\.data", which has 70: the file is truncated/);
    await rm(join(inner, 'weights.data'));
    await expect(readModelFile(path)).rejects.toThrow(/"weights\.data", which cannot be read: .*Copy that file together with the model/);
    await symlink(join(folder, 'external.onnx'), join(inner, 'weights.data'));
    await expect(readModelFile(path)).rejects.toThrow(/a link that leads out of the model's folder: refused/);
    await expect(readModelFile(join(inner, 'nothing.onnx'))).rejects.toThrow(/nothing\.onnx cannot be read/);
  });
});

describe('an import that would go wrong', () => {
  it.each([
    [{ eta: -1 }, 'eta is -1; allowed: a number'], [{ nu: NaN }, 'nu is "NaN"; allowed: a number'], [{ K: 1.5 }, 'K is 1.5; allowed: an integer from 0 to 1000000.'],
    [{ kappa: undefined }, 'kappa is undefined; allowed: an integer from 0 to 1000000.'], [{ name: '' }, 'name is ""; allowed: '], [{ valueRange: [1, -1] }, 'valueRange is [1,-1]; allowed: null or [low, high] with low < high.'],
    [{ prior: 'uniform' }, 'prior is "uniform"; allowed: an object whose kind is uniform, gaussian, ddp, ddp-low-rank or source.'],
    [{ reference: undefined }, 'reference is undefined; allowed: a runtime, for example createRuntime() of @ratioflow/node.'], [{ read: undefined }, 'read is undefined; allowed: a function that reads the model'],
  ])('names what no bundle can have: %j', async (wrong, message) => {
    const builder = new GraphBuilder('estimator');
    builder.output('n', builder.op('ReduceSum', [builder.input('x', 'float32', ['N', 2]), builder.ints([1])], { keepdims: 0 }));
    const model = newModel(builder.graph);
    const problem = await importBundle({ ...flow, read: () => Promise.resolve(model), ...wrong } as never).catch((error: unknown) => error as Error);
    expect(problem).toMatchObject({ name: 'ArgumentError', message: expect.stringContaining(message) as string });
  });

  const importing = (make: (builder: GraphBuilder) => void): Promise<unknown> => {
    const builder = new GraphBuilder('wrong');
    make(builder);
    return importBundle({ ...flow, read: () => Promise.resolve(structuredClone(newModel(builder.graph))) });
  };

  it('is refused when samples influence each other', async () => {
    await expect(importing((b) => {
      const x = b.input('x', 'float32', ['N', 3]);
      const centred = b.op('Sub', [x, b.op('ReduceMean', [x, b.ints([0])], { keepdims: 1 })]);
      b.output('n', b.op('ReduceSum', [b.op('Mul', [centred, x]), b.ints([1])], { keepdims: 0 }));
    })).rejects.toThrow(/samples influence each other/);
  });

  it('is refused when freeing the batch changes what is computed', async () => {
    await expect(importing((b) => {
      const x = b.input('x', 'float32', [4, 4]);
      // Read across samples: with a batch of 4, the transpose has the right shape and the wrong meaning.
      b.output('n', b.op('ReduceSum', [b.op('Mul', [x, b.op('Transpose', [x], { perm: [1, 0] })]), b.ints([1])], { keepdims: 0 }));
    })).rejects.toThrow(/fixed to 4/);
  });

  it('is refused when the estimator cannot be differentiated, before the prior is made', async () => {
    const builder = new GraphBuilder('steps');
    const x = builder.input('x', 'float32', ['N', 3]);
    builder.output('n', builder.op('ReduceSum', [builder.op('Cast', [builder.op('Greater', [x, builder.scalar(0, x)])], { to: 1 }), builder.ints([1])], { keepdims: 0 }));
    const prior = (): never => { throw new Error('the prior was made'); };
    await expect(importBundle({ ...flow, prior, read: () => Promise.resolve(structuredClone(newModel(builder.graph))) })).rejects.toThrow(/No differentiable path|not differentiable/);
  });

  it('says so when numbers are not finite', async () => {
    await expect(importing((b) => {
      const x = b.input('x', 'float32', ['N', 3]);
      b.output('n', b.op('ReduceSum', [b.op('Log', [x]), b.ints([1])], { keepdims: 0 }));
    })).rejects.toThrow(/its numbers must be finite/);
  });

  it('keeps what lies beyond the emission profile, and lists it', async () => {
    const builder = new GraphBuilder('odd');
    const x = builder.input('x', 'float32', ['N', 3]);
    const width = builder.op('Add', [builder.op('Gather', [builder.op('Shape', [x]), builder.ints([1])]), builder.ints([2])]);
    const squares = builder.op('ReduceSum', [builder.op('Mul', [x, x]), builder.ints([1])], { keepdims: 0 });
    builder.output('n', builder.op('Mul', [squares, builder.op('Cast', [width], { to: 1 })]));
    const { files } = await importBundle({ ...flow, read: () => Promise.resolve(structuredClone(newModel(builder.graph))) });
    const { departures } = JSON.parse(new TextDecoder().decode(files.get('manifest.json'))) as Manifest;
    expect(departures).toEqual([expect.stringMatching(/^ratio\.onnx, gradient\.onnx, step\.onnx, sampler\.onnx, sampler-device-noise\.onnx: Add node .* computes with int64$/)]);
    const read = (file: string): number[] => Array.from(decodeNpy(files.get(file)!, file).data, Number);
    expect(read('verify/ratio.logRatio.npy')[0]).toBeCloseTo(5 * read('verify/ratio.x.npy').slice(0, 3).reduce((sum, v) => sum + v * v, 0), 4);
  });
});
