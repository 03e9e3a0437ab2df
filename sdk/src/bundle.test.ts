import { describe, expect, it } from 'vitest';
import { BundleError, RuntimeError } from './errors.js';
import { graphTensors } from './manifest.js';
import { openBundle } from './model.js';
import type { GraphSource, Runtime } from './runtime.js';
import { fakeManifest, fakeRuntime, fakeSource } from './testing/fake-bundle.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
/** Field `number` of a message, holding bytes. */
const field = (number: number, content: Uint8Array): Uint8Array => Uint8Array.from([number * 8 + 2, content.length, ...content]);
const entry = (key: string, value: string): Uint8Array => field(13, Uint8Array.from([...field(1, bytes(key)), ...field(2, bytes(value))]));
/** A model whose main graph has one external tensor. */
const modelAt = (location: string): Uint8Array => field(7, field(5, Uint8Array.from([...entry('location', location), 14 * 8, 1])));

describe('openBundle', () => {
  it('reads nothing but the manifest, and then only what is needed', async () => {
    const source = await fakeSource();
    const runtime = fakeRuntime();
    const model = await openBundle(source, runtime);
    expect(source.reads).toEqual(['manifest.json']);
    await model.score({ shape: [1, 2], data: new Float32Array(2) });
    await model.score({ shape: [1, 2], data: new Float32Array(2) });
    expect(source.reads).toEqual(['manifest.json', 'ratio.onnx']);
    expect(runtime.loaded).toEqual(['ratio']);
  });

  it('refuses a file that is not what the manifest says', async () => {
    const source = await fakeSource(fakeManifest(), { 'ratio.onnx': bytes('\x3a\x00') });
    const model = await openBundle(source, fakeRuntime());
    const x = { shape: [1, 2], data: new Float32Array(2) };
    source.files.set('ratio.onnx', bytes('\x3a'));
    await expect(model.score(x)).rejects.toThrow(new BundleError('memory: ratio.onnx has 1 bytes, 2 by the manifest: the bundle is damaged; copy or export it again.'));
    source.files.set('ratio.onnx', bytes('\x3b\x00'));
    await expect(model.score(x)).rejects.toThrow(/^memory: ratio\.onnx has SHA-256 [0-9a-f]{64}, [0-9a-f]{64} by the manifest/);
    source.files.delete('ratio.onnx');
    await expect(model.score(x)).rejects.toThrow('memory: ratio.onnx cannot be read: no such file: ratio.onnx');
    // Once it is right again, so is the model.
    source.files.set('ratio.onnx', bytes('\x3a\x00'));
    expect(await model.score(x)).toHaveLength(1);
  });

  it('says where the bundle is when its manifest is wrong or absent', async () => {
    await expect(openBundle(await fakeSource({ ...fakeManifest(), K: -1 }), fakeRuntime())).rejects.toThrow('memory: manifest.json: K is -1');
    await expect(openBundle({ location: 'nowhere', read: () => Promise.reject(new Error('404')) }, fakeRuntime())).rejects.toThrow(new BundleError('nowhere: manifest.json cannot be read: 404'));
  });

  it('shares the weights among graphs that load together, and keeps none', async () => {
    const weights = new Uint8Array(100);
    const source = await fakeSource(fakeManifest(), { 'weights.bin': weights, 'prior.onnx': modelAt('weights.bin'), 'ratio.onnx': modelAt('weights.bin'), 'gradient.onnx': modelAt('weights.bin') });
    const runtime = fakeRuntime();
    const model = await openBundle(source, runtime);
    const x = { shape: [1, 2], data: new Float32Array(2) };
    await Promise.all([model.score(x), model.gradient(x), model.prior()]);
    expect(source.reads.filter((name) => name === 'weights.bin')).toHaveLength(1);
    expect(runtime.models.get('ratio.onnx')!.externalData).toEqual(new Map([['weights.bin', weights]]));
  });

  it('reads the weights again when reading them has failed', async () => {
    const source = await fakeSource(fakeManifest(), { 'weights.bin': new Uint8Array(100), 'ratio.onnx': modelAt('weights.bin') });
    let failures = 1;
    const model = await openBundle({
      location: 'memory', read: (name) => (name === 'weights.bin' && failures-- > 0 ? Promise.reject(new Error('connection reset')) : source.read(name)),
    }, fakeRuntime());
    const x = { shape: [1, 2], data: new Float32Array(2) };
    await expect(model.score(x)).rejects.toThrow('weights.bin cannot be read: connection reset');
    expect(await model.score(x)).toHaveLength(1);
  });

  it.each(['/etc/passwd', '../weights.bin', 'verify/x.npy', 'manifest.json', ''])('reads no external data from %j', async (location) => {
    const source = await fakeSource(fakeManifest(), { 'ratio.onnx': modelAt(location) });
    const model = await openBundle(source, fakeRuntime());
    await expect(model.score({ shape: [1, 2], data: new Float32Array(2) })).rejects.toThrow(`memory: a graph refers to external data ${JSON.stringify(location)}; allowed: weights.bin.`);
    expect(source.reads).toEqual(['manifest.json', 'ratio.onnx']);
  });

  it('refuses graphs of another signature, and lets go of them', async () => {
    const disposed: string[] = [];
    const runtime: Runtime = { name: 'other', warnings: [], load: ({ name }: GraphSource) => Promise.resolve({
      provider: 'cpu', capabilities: { controlFlow: true, deviceTensors: false }, inputNames: ['input'], outputNames: ['logRatio'],
      run: () => Promise.resolve({}), dispose: () => { disposed.push(name); return Promise.resolve(); },
    }) };
    const model = await openBundle(await fakeSource(), runtime);
    await expect(model.score({ shape: [1, 2], data: new Float32Array(2) })).rejects.toThrow('memory: ratio.onnx maps input to logRatio; by the manifest it maps x to logRatio.');
    expect(disposed).toEqual(['ratio.onnx']);
  });

  it.each([
    ['ratio', ['x'], { mixture: [1, 1] }, 'x, weights to logRatio'],
    ['ratio', ['x', 'weights'], {}, 'x to logRatio'],
    ['ratio', ['x', 'y', 'phi'], { guidance: { classes: 2, scale: 1 } }, 'x to logRatio'],
    ['gradient', ['x'], { guidance: { classes: 2, scale: 1 } }, 'x, y, phi to logRatio, drift'],
    ['gradient', ['x', 'y', 'weights'], { guidance: { classes: 2, scale: 1 }, mixture: [1] }, 'x, y, phi, weights to logRatio, drift'],
    ['gradient', ['x', 'y', 'phi'], {}, 'x to logRatio, drift'],
    ['prior', ['z', 'y'], { guidance: { classes: 2, scale: 1 } }, 'z to x0'],
  ] as const)('refuses %s of %j under %j: classes and weights would be passed over', async (graph, inputNames, claims, wanted) => {
    const engine = fakeRuntime();
    const runtime: Runtime = { ...engine, load: async (source) => ({ ...await engine.load(source), inputNames }) };
    const model = await openBundle(await fakeSource({ ...fakeManifest(), ...claims }), runtime);
    const x = { shape: [1, 2], data: new Float32Array(2) };
    const use = { ratio: () => model.score(x), gradient: () => model.gradient(x), prior: () => model.prior() }[graph];
    await expect(use()).rejects.toThrow(new BundleError(`memory: ${graph}.onnx maps ${inputNames.join(', ')} to ${graphTensors[graph].outputs.join(', ')}; by the manifest it maps ${wanted}.`));
    expect(engine.disposed).toEqual([graph]);
  });

  it('names engine and graph when an engine fails, and goes on afterwards', async () => {
    let broken = true;
    const model = await openBundle(await fakeSource(), fakeRuntime({ onRun: () => { if (broken) throw new Error('out of memory'); } }));
    const x = { shape: [1, 2], data: new Float32Array(2) };
    await expect(model.score(x)).rejects.toThrow(new RuntimeError('ratio.onnx failed on cpu: out of memory'));
    await expect(model.sample()).rejects.toThrow(RuntimeError);
    broken = false;
    expect(await model.score(x)).toHaveLength(1);
    const unable: Runtime = { ...fakeRuntime(), load: () => Promise.reject(new Error('bad opset')) };
    await expect((await openBundle(await fakeSource(), unable)).score(x)).rejects.toThrow(new RuntimeError('fake 1.0 cannot load ratio.onnx: bad opset'));
  });

  it('refuses outputs of another size or type', async () => {
    const runtime = fakeRuntime();
    const load = runtime.load.bind(runtime);
    let output: unknown;
    const lying: Runtime = { ...runtime, load: async (graph) => ({ ...await load(graph), run: () => Promise.resolve({ logRatio: output as never }) }) };
    const model = await openBundle(await fakeSource(), lying);
    const x = { shape: [2, 2], data: new Float32Array(4) };
    for (const [value, actual] of [[{ shape: [3], data: new Float32Array(3) }, 'Float32Array of shape [3]'], [{ shape: [2], data: new Float64Array(2) }, 'Float64Array of shape [2]'], [undefined, 'nothing']] as const) {
      output = value;
      await expect(model.score(x)).rejects.toThrow(`ratio.onnx returned ${actual} as logRatio; expected: Float32Array of shape [2].`);
    }
  });
});

describe('dispose', () => {
  it('lets go of every session, once, after the runs under way', async () => {
    const events: string[] = [];
    const runtime = fakeRuntime({ onRun: async (graph) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      events.push(graph);
    } });
    const model = await openBundle(await fakeSource(), runtime);
    await model.prior();
    const sampling = model.sample({ count: 2 });
    const failing = expect(sampling).rejects.toThrow('The model of memory has been disposed of: open it again.');
    await new Promise((resolve) => setTimeout(resolve, 20));
    await Promise.all([model.dispose(), model.dispose()]);
    const before = events.length;
    expect([...runtime.disposed].sort()).toEqual([...runtime.loaded].sort());
    await failing;
    expect(events.length).toBe(before);
    await expect(model.score({ shape: [1, 2], data: new Float32Array(2) })).rejects.toThrow('has been disposed of');
  });

  it('comes by itself at the end of an await using', async () => {
    const runtime = fakeRuntime();
    {
      await using model = await openBundle(await fakeSource(), runtime);
      await model.prior();
    }
    expect(runtime.disposed).toEqual(['prior']);
  });
});
