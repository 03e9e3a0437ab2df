/**
 * Bundles are hostile until proven otherwise: thousands of mutated ones end in a named error or work, with nothing read
 * outside the bundle, nothing left in a prototype, and memory held. RATIOFLOW_MUTATIONS multiplies their number.
 */
import { GraphBuilder, createBundle, newModel } from '@ratioflow/export';
import { createRuntime } from '@ratioflow/node';
import { BundleError, RatioflowError, RuntimeError, graphFiles, openBundle } from '@ratioflow/sdk';
import type { BundleSource, RequiredGraphName, Model, Runtime } from '@ratioflow/sdk';
import { beforeAll, describe, expect, it } from 'vitest';
import { damage, mutateJson, mutateNumbers, pick, randomOf, redirect, rehash } from './mutations.js';
import type { Files, Random } from './mutations.js';

const times = Number(process.env['RATIOFLOW_MUTATIONS'] ?? 1);
let original: Files;

beforeAll(async () => {
  // Large enough for external data, in graphs and in the body of the loop.
  const builder = new GraphBuilder('network');
  const x = builder.input('x', 'float32', ['N', 2]);
  const weights = (name: string, dims: number[]): typeof x => builder.initializer(name, { dtype: 'float32', dims, data: new Uint8Array(Float32Array.from({ length: dims[0]! * dims[1]! }, (_, i) => Math.sin(i)).buffer) });
  const h = builder.op('LeakyRelu', [builder.op('MatMul', [x, weights('a', [2, 256])])], { alpha: 0.2 });
  builder.output('n', builder.op('MatMul', [h, weights('b', [256, 1])]));
  original = await createBundle({ name: 'network', estimator: newModel(builder.graph), pairing: 'lr-kl', prior: { kind: 'uniform' }, eta: 0.1, nu: 0.1, K: 3, kappa: 1, valueRange: [-1, 1], reference: createRuntime({ threads: 1 }) });
  expect(original.get('weights.bin')!.length).toBeGreaterThan(1000);
});

/** Only names of the format are ever asked for. */
const allowed = /^(manifest\.json|weights\.bin|(ratio|gradient|step|sampler|prior)\.onnx|verify\/[A-Za-z0-9_][A-Za-z0-9._-]*\.npy)$/;

function sourceOf(files: Files): BundleSource {
  return {
    location: 'mutated',
    read: (name) => {
      if (!allowed.test(name) || name.includes('..')) throw new Error(`the SDK asked for ${name}`);
      const bytes = files.get(name);
      return bytes === undefined ? Promise.reject(new BundleError(`mutated: ${name} is missing.`)) : Promise.resolve(bytes);
    },
  };
}

const uses: Readonly<Record<RequiredGraphName, (model: Model) => Promise<unknown>>> = {
  ratio: (model) => model.score(zeros(model)),
  gradient: (model) => model.gradient(zeros(model)),
  step: (model) => model.step(zeros(model), zeros(model)),
  sampler: (model) => model.sample({ count: 2, K: 2, kappa: 0, x0: zeros(model) }),
  prior: (model) => model.prior({ count: 2 }),
};
const zeros = ({ manifest: { sampleShape } }: Model): { shape: number[]; data: Float32Array } => ({ shape: [2, ...sampleShape], data: new Float32Array(2 * sampleShape.reduce((a, b) => a * b, 1)) });

/** Uses a bundle; what comes out of it, as a word. */
async function outcome(files: Files, runtime: Runtime, graphs: readonly RequiredGraphName[]): Promise<string> {
  let model: Model | undefined;
  try {
    model = await openBundle(sourceOf(files), runtime);
    for (const graph of graphs) await uses[graph](model);
    return 'works';
  } catch (error) {
    // Anything else, and an engine that died, is a finding.
    if (!(error instanceof RatioflowError) || error.name === 'RatioflowError' || /worker process/.test(error.message)) throw error;
    return error.name;
  } finally {
    await model?.dispose();
  }
}

/** Tries `count` mutations; the number of each outcome. */
async function survive(count: number, firstSeed: number, runtime: Runtime, mutate: (files: Files, random: Random) => readonly RequiredGraphName[]): Promise<Record<string, number>> {
  const outcomes: Record<string, number> = {};
  const before = process.memoryUsage.rss();
  for (let seed = firstSeed; seed < firstSeed + count * times; seed++) {
    const files: Files = new Map(original);
    const graphs = mutate(files, randomOf(seed));
    try {
      const word = await outcome(files, runtime, graphs);
      outcomes[word] = (outcomes[word] ?? 0) + 1;
    } catch (cause) {
      throw new Error(`mutation of seed ${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }
  expect((Object.prototype as Record<string, unknown>)['polluted']).toBeUndefined();
  expect(process.memoryUsage.rss() - before).toBeLessThan(600e6);
  return outcomes;
}

const change = (files: Files, name: string, how: (bytes: Uint8Array) => Uint8Array): void => void files.set(name, how(files.get(name)!));
const graphNames = Object.keys(graphFiles) as RequiredGraphName[];

describe('a mutated bundle', () => {
  it('whose manifest is damaged', { timeout: 300_000 * times }, async () => {
    const outcomes = await survive(4000, 0, createRuntime({ threads: 1 }), (files, random) => {
      change(files, 'manifest.json', (bytes) => (random(3) === 0 ? damage(bytes, random) : Buffer.from(mutateJson(Buffer.from(bytes).toString(), random))));
      return ['prior'];
    });
    expect(outcomes['BundleError']).toBeGreaterThan(2000 * times);
    // Names, hyperparameters and the training record may be anything: that is no damage.
    expect(outcomes['works']).toBeGreaterThan(100 * times);
  });

  it('whose files are not what the manifest says', { timeout: 300_000 * times }, async () => {
    const outcomes = await survive(3000, 1e6, createRuntime({ threads: 1 }), (files, random) => {
      const graph = pick(random, graphNames);
      const name = pick(random, [graphFiles[graph], 'weights.bin', `verify/${graph}.${graph === 'prior' ? 'z' : graph === 'sampler' ? 'x0' : 'x'}.npy`]);
      const kind = random(3);
      if (kind === 0) files.delete(name);
      else if (kind === 1) change(files, name, () => new Uint8Array(1e6));
      else change(files, name, (bytes) => damage(bytes, random));
      // prior.onnx has no weights of its own.
      return [graph === 'prior' && name === 'weights.bin' ? 'ratio' : graph];
    });
    // What a mutation happens to leave as it was still works.
    expect(outcomes['BundleError']).toBeGreaterThan(2900 * times);
    expect(Object.keys(outcomes).sort().slice(0, 2)).toEqual(['BundleError', ...(outcomes['works'] === undefined ? [] : ['works'])]);
  });

  it('whose author made the hashes fit', { timeout: 300_000 * times }, async () => {
    // A process of its own, so that a crash of the engine would be a finding and not the end of the test.
    const runtime = createRuntime({ threads: 1, worker: 'process', timeout: 20_000, memoryLimit: 3e9 });
    const outcomes = await survive(3500, 2e6, runtime, (files, random) => {
      const graph = pick(random, graphNames);
      const name = pick(random, [graphFiles[graph], graphFiles[graph], graphFiles[graph], graphFiles[graph], 'weights.bin', `verify/${graph}.${graph === 'prior' ? 'z' : graph === 'sampler' ? 'x0' : 'x'}.npy`]);
      const how = pick(random, [damage, mutateNumbers, mutateNumbers, redirect]);
      change(files, name, (bytes) => how(bytes, random));
      rehash(files);
      return [graph];
    });
    console.log(`graphs that an author mutated: ${JSON.stringify(outcomes)}`);
    for (const name of ['BundleError', 'RuntimeError', 'works']) expect(outcomes[name]).toBeGreaterThan(100 * times);
  });
});

describe('a hostile graph', () => {
  /** A ratio of x that also does what `abuse` does. */
  async function abusive(abuse: (builder: GraphBuilder, x: ReturnType<GraphBuilder['input']>) => ReturnType<GraphBuilder['input']>): Promise<Files> {
    const { writeModel } = await import('@ratioflow/export');
    const builder = new GraphBuilder('abuse');
    const x = builder.input('x', 'float32', ['N', 2]);
    builder.output('logRatio', builder.op('ReduceSum', [builder.op('Mul', [x, abuse(builder, x)]), builder.ints([1])], { keepdims: 0 }));
    const files: Files = new Map(original);
    files.set('ratio.onnx', writeModel(newModel(builder.graph)));
    rehash(files);
    return files;
  }
  const open = (files: Files, limits: { timeout?: number; memoryLimit?: number }): Promise<Model> => openBundle(sourceOf(files), createRuntime({ worker: 'process', threads: 1, ...limits }), { selfTest: false });

  it('that wants all memory is ended, and the model works on', async () => {
    const files = await abusive((builder, x) => builder.op('ReduceMax', [builder.op('Expand', [builder.op('ReduceMax', [x], { keepdims: 0 }), builder.ints([4096, 1024, 1024])])], { keepdims: 0 }));
    const model = await open(files, { memoryLimit: 1.5e9, timeout: 60_000 });
    await expect(model.score(zeros(model))).rejects.toThrow(/took more memory than the memoryLimit of 1500000000 bytes|bad_alloc|Failed to allocate/);
    await model.dispose();
    const again = await open(original, { memoryLimit: 1.5e9 });
    expect(await again.score(zeros(again))).toHaveLength(2);
    await again.dispose();
  });

  it('that does not end is ended, and the model can be opened again', async () => {
    // 2000 products of 1024 × 1024 matrices.
    const files = await abusive((builder, x) => {
      let matrix = builder.op('Expand', [builder.op('ReduceMax', [x], { keepdims: 0 }), builder.ints([1024, 1024])]);
      for (let i = 0; i < 2000; i++) matrix = builder.op('MatMul', [matrix, matrix]);
      return builder.op('ReduceMax', [matrix], { keepdims: 0 });
    });
    const model = await open(files, { timeout: 4000 });
    await expect(model.score(zeros(model))).rejects.toThrow(new RuntimeError('The worker process took more than 4000 ms for one call and was ended; open the model again.'));
    await model.dispose();
    const again = await open(original, { timeout: 20_000 });
    expect(await again.score(zeros(again))).toHaveLength(2);
    await again.dispose();
  });

  it('in the engine\'s own format is not taken for ONNX', async () => {
    const files: Files = new Map(original);
    // Field 1, ten bytes long, swallows the identifier: sound for a reader of ONNX's wire format.
    files.set('ratio.onnx', Uint8Array.from([10, 10, 0, 0, ...Buffer.from('ORTM'), 0, 0, 0, 0]));
    rehash(files);
    const model = await openBundle(sourceOf(files), createRuntime({ threads: 1 }));
    await expect(model.score(zeros(model))).rejects.toThrow(RuntimeError);
    await model.dispose();
  });
});
