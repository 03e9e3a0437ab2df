/** The drivers in Python and Java against the SDK: the same noise bit for bit, the same samples within tolerance, damaged bundles refused. */
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { appendFile, cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { convertLayersModel, createBundle, writeBundle } from '@ratioflow/export';
import { createRuntime, open, readNpy } from '@ratioflow/node';
import type { Model } from '@ratioflow/sdk';
import { normals, purposes } from '@ratioflow/sdk';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadTensorFlow } from '../../trainer/src/backend/load-tensorflow.js';
import { createEstimator } from '../../trainer/src/estimators/create-estimator.js';
import { buildJava } from '../support/java.js';
import { writeGuidedBundle, writeImageBundle } from '../support/network-bundles.js';

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const environment = { ...process.env, PYTHONPATH: path('runtimes/python') };

const python = [process.env['RATIOFLOW_PYTHON'], 'python3'].find(
  (command) => command !== undefined && spawnSync(command, ['-c', 'import numpy, onnxruntime']).status === 0,
);
if (!python) console.log('skip: no Python with numpy and onnxruntime (set RATIOFLOW_PYTHON): the Python driver is not tested');

const java = buildJava();
if (java.reason) console.log(`skip: ${java.reason}: the Java driver is not tested`);

interface Driver {
  readonly name: string;
  readonly present: boolean;
  readonly sample: (bundle: string, out: string, count: number, seed: string, first: number) => Promise<SpawnSyncReturns<string>>;
  readonly verify: (bundle: string) => Promise<SpawnSyncReturns<string>>;
}

const runJava = (main: string, args: readonly string[]): Promise<SpawnSyncReturns<string>> =>
  Promise.resolve(spawnSync('java', ['-cp', java.classpath!, `ratioflow.${main}`, ...args], { encoding: 'utf8' }));
const runPython = (args: readonly string[]): Promise<SpawnSyncReturns<string>> =>
  Promise.resolve(spawnSync(python!, ['-W', 'error', '-m', 'ratioflow', ...args], { encoding: 'utf8', env: environment }));

const drivers: readonly Driver[] = [
  {
    name: 'Python', present: python !== undefined, verify: (bundle) => runPython(['verify', bundle]),
    // A batch that does not divide the count: samples must not notice.
    sample: (bundle, out, count, seed, first) => runPython(['sample', bundle, '-o', out, '--count', String(count), '--seed', seed, '--first', String(first), '--batch', '3']),
  },
  {
    name: 'Java', present: java.reason === undefined, verify: (bundle) => runJava('Main', ['verify', bundle]),
    sample: (bundle, out, count, seed, first) => runJava('Main', ['sample', bundle, out, String(count), seed, String(first)]),
  },
];

const digitsShape = [1, 28, 28];
let folder: string;
let bundles: { readonly points: string; readonly images: string; readonly guided: string };
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ratioflow-drivers-'));
  bundles = { points: join(folder, 'points'), images: join(folder, 'images'), guided: join(folder, 'guided') };
  await writeImageBundle(join(folder, 'small'));
  await writeGuidedBundle(bundles.guided, join(folder, 'small'));
  const { tf } = await loadTensorFlow();
  const factor = normals({ seed: 5, purpose: purposes.testVectors, step: 0, count: 784, elements: 784 }).map((value, i) => (i % 784 <= Math.floor(i / 784) ? value / 784 : 0));
  const make = async (to: string, estimator: 'mlp' | 'resnet28', sampleShape: readonly number[], options: Pick<Parameters<typeof createBundle>[0], 'pairing' | 'prior' | 'valueRange'>): Promise<void> => {
    const network = createEstimator(tf, estimator, [...sampleShape], 1n);
    const { model } = await convertLayersModel(network);
    network.dispose();
    await writeBundle(to, await createBundle({ name: estimator, estimator: model, eta: 0.5, nu: 0.05, K: 4, kappa: 3, products: { float16: sampleShape.length === 3, unroll: 2 }, reference: createRuntime(), ...options }));
  };
  await make(bundles.points, 'mlp', [3], { pairing: 'lsif-chi2', prior: { kind: 'uniform' }, valueRange: null });
  await make(bundles.images, 'resnet28', digitsShape, { pairing: 'lr-js', prior: { kind: 'ddp', mean: new Float32Array(784).fill(-0.5), factor }, valueRange: [-1, 1] });
}, 120_000);
afterAll(() => rm(folder, { recursive: true }));

describe.each(drivers)('the $name driver', ({ name, present, sample, verify }) => {
  it.skipIf(!present).each([['points', 7, '18446744073709551615', 4294967289], ['images', 4, '42', 3], ['guided', 5, '6', 0]] as const)('samples %s as Node does', async (kind, count, seed, first) => {
    const out = join(folder, `${name}-${kind}.npy`);
    const run = await sample(bundles[kind], out, count, seed, first);
    expect([run.status, run.stderr]).toEqual([0, '']);
    await isSampleOf(out, bundles[kind], { count, seed, first });
  });

  it.skipIf(!present)('makes no samples of no number', async () => {
    const run = await sample(bundles.points, join(folder, 'none.npy'), 0, '0', 0);
    expect([run.status, run.stderr]).toEqual([1, 'error: count is 0; allowed: from 1\n']);
  });

  it.skipIf(!present)('passes the verification vectors, and fails a bundle that computes something else', async () => {
    // The images' graphs in half precision and the generator of bytes as well.
    for (const [bundle, checks] of [[bundles.points, 8], [bundles.images, 14]] as const) {
      const good = await verify(bundle);
      expect([good.status, good.stderr]).toEqual([0, '']);
      expect(good.stdout.match(/^ok /gm)!.length).toBeGreaterThanOrEqual(checks);
    }
    // The input of the gradient instead of its drift.
    const wrong = await cpBundle('wrong', name);
    const manifest = JSON.parse(await readFile(join(wrong, 'manifest.json'), 'utf8')) as { verification: { outputs: Record<string, string> }[] };
    const gradient = manifest.verification.find(({ outputs }) => 'drift' in outputs)!;
    manifest.verification = [{ ...gradient, outputs: { drift: 'verify/gradient.x.npy' } }];
    await writeFile(join(wrong, 'manifest.json'), JSON.stringify(manifest));
    const bad = await verify(wrong);
    expect(bad.status).toBe(1);
    expect(bad.stdout).toMatch(/^FAILED {2}gradient\.drift/m);
  });

  it.skipIf(!present)('refuses a damaged bundle, and one whose manifest names files elsewhere', async () => {
    const damaged = await cpBundle('damaged', name);
    await appendFile(join(damaged, 'step.onnx'), '\0');
    const run = await sample(damaged, join(folder, 'none.npy'), 1, '0', 0);
    expect(run.status).toBe(1);
    expect(run.stderr).toMatch(/^error: .*step\.onnx is not what the manifest says; copy or export the bundle again\n$/);
    const hostile = await cpBundle('hostile', name);
    const text = await readFile(join(hostile, 'manifest.json'), 'utf8');
    await writeFile(join(hostile, 'manifest.json'), text.replaceAll('"ratio.onnx"', '"../ratio.onnx"'));
    expect((await verify(hostile)).stderr).toMatch(/^error: .*the manifest names .*\.\.\/ratio\.onnx'?, which is no file of a bundle\n$/);
    await writeFile(join(hostile, 'manifest.json'), text.replace(/"formatVersion": 1/, '"formatVersion": 2'));
    expect((await verify(hostile)).stderr).toMatch(/^error: .*has format version 2(\.0)?; this driver reads 1\n$/);
    expect((await sample(join(folder, 'nowhere'), join(folder, 'none.npy'), 1, '0', 0)).stderr).toMatch(/^error: .*no (such )?file.*nowhere\/manifest\.json'?\n$/i);
    expect((await readdir(folder)).filter((file) => file.startsWith('none') || file.startsWith('.none'))).toEqual([]);
  });

  it.skipIf(!present)('names the argument that is no number', async () => {
    expect((await sample(bundles.points, join(folder, 'none.npy'), 1, '4.5', 0)).stderr).toMatch(/seed.*4\.5/);
  });
});

/** The samples in a file are those that Node makes, within the bundle's tolerance. */
async function isSampleOf(file: string, bundle: string, options: Parameters<Model['sample']>[0]): Promise<void> {
  const model = await open(bundle);
  const { samples } = await model.sample(options);
  const { absolute, relative } = model.manifest.tolerances['cpu']!;
  await model.dispose();
  const drawn = await readNpy(file);
  expect(drawn.shape).toEqual(samples.shape);
  const largest = Math.max(...samples.data.map(Math.abs));
  const error = Math.max(...Array.from(samples.data, (value, i) => Math.abs(value - Number(drawn.data[i]))));
  expect(error).toBeLessThanOrEqual(absolute + relative * largest);
}

async function cpBundle(kind: string, name: string): Promise<string> {
  const copy = join(folder, `${kind}-${name}`);
  await cp(bundles.points, copy, { recursive: true });
  return copy;
}

describe('published vectors of the noise', () => {
  it.skipIf(!python)('come out of the Python module, all of them', () => {
    const script = `
import hashlib, json, pathlib, sys
import numpy as np
import ratioflow_noise as noise
vectors = json.loads(pathlib.Path(sys.argv[1]).read_text())
compared = 0
def same(actual, expected):
    global compared
    compared += 1
    if actual != expected:
        print(f"{actual} instead of {expected}")
for one in vectors["threefry"]:
    key, counter = ([int(word, 16) for word in one[part]] for part in ("key", "counter"))
    same([f"{int(word[0]):08x}" for word in noise.threefry(key, *counter)], one["words"])
same(hashlib.sha256(noise.KNOTS.astype("<f8").tobytes()).hexdigest(), vectors["knots"]["sha256"])
for one in vectors["streams"] + vectors["digests"]:
    stream = int(one["seed"]), one["purpose"], one["step"], one["firstSample"], one["count"], one["elements"]
    for make, key, view in ((noise.words, "words", ">u4"), (noise.uniforms, "uniformsFloat64", ">f8"), (noise.normals, "normalsFloat32", ">f4")):
        values = make(*stream).ravel()
        if isinstance(one[key], str):
            same(hashlib.sha256(values.astype(view.replace(">", "<")).tobytes()).hexdigest(), one[key])
        else:
            same(values.astype(view).tobytes().hex(), "".join(one[key]))
print(f"{compared} compared")
`;
    const run = spawnSync(python!, ['-W', 'error', '-c', script, path('tests/noise/vectors.json')], { encoding: 'utf8', env: environment });
    expect([run.status, run.stderr]).toEqual([0, '']);
    expect(run.stdout).toMatch(/^\d{2,} compared\n$/);
  });

  it.skipIf(java.reason !== undefined)('come out of the Java driver, all of them', async () => {
    const run = await runJava('NoiseVectors', [path('tests/noise/vectors.json')]);
    expect([run.status, run.stderr]).toEqual([0, '']);
    expect(run.stdout).toMatch(/^\d{3,} compared\n$/);
  });
});

describe('python -m ratioflow', () => {
  it.skipIf(!python)('draws a grid that is the picture of its samples', async () => {
    const [png, npy] = [join(folder, 'grid.png'), join(folder, 'grid.npy')];
    for (const out of [png, npy]) expect((await runPython(['sample', bundles.images, '-o', out, '--count', '3', '--steps', '1', '--refine', '0'])).stderr).toBe('');
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([56, 56]);
    const samples = await readNpy(npy);
    for (const [n, y, x] of [[0, 3, 5], [1, 20, 27], [2, 27, 0]] as const) {
      const value = Number(samples.data[(n * 28 + y) * 28 + x]);
      expect(data[((Math.floor(n / 2) * 28 + y) * 56 + (n % 2) * 28 + x) * info.channels]).toBe(Math.round((value + 1) * 127.5));
    }
  });

  it.skipIf(!python)('guides samples to a class, as Node does', async () => {
    const out = join(folder, 'guided.npy');
    expect((await runPython(['sample', bundles.guided, '-o', out, '--count', '3', '--class', '2', '--scale', '0.7'])).stderr).toBe('');
    await isSampleOf(out, bundles.guided, { count: 3, class: 2, scale: 0.7 });
  });

  it.skipIf(!python).each([
    [['sample', 'POINTS', '-o', 'x.npy', '--class', '1'], 1, /y and phi need a guided bundle/],
    [['sample', 'POINTS', '-o', 'x.npy', '--eta', 'nan'], 1, /eta is nan; allowed: from 0/],
    [['sample', 'POINTS', '-o', 'x.npy', '--steps', '-1'], 1, /K is -1; allowed: from 0/],
    [['sample', 'nowhere', '-o', 'x.npy'], 1, /error: .*nowhere/],
    [['sample', 'POINTS', '-o', 'x.png'], 2, /the output ends in \.npy/],
    [['sample', 'POINTS', '-o', 'x.npy', '--seed', '-1'], 1, /seed -1 is not in/],
  ])('refuses %j', async (args, status, message) => {
    const run = await runPython(args.map((argument) => argument.replace('POINTS', bundles.points)));
    expect(run.status).toBe(status);
    expect(run.stderr).toMatch(message);
  });
});
