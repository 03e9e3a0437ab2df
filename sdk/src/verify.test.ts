import { describe, expect, it } from 'vitest';
import type { BundleSource } from './bundle.js';
import { openBundle } from './model.js';
import { encodeNpy } from './npy.js';
import type { Runtime, Tensor } from './runtime.js';
import { exactDrift, exactLogRatio, fakeManifest, fakeRuntime, fakeSource } from './testing/fake-bundle.js';
import type { FakeOptions } from './testing/fake-bundle.js';
import type { Verification } from './verify.js';

const x: Tensor = { shape: [2, 2], data: Float32Array.of(0.1, -0.4, 2, 0.3) };
const logRatio = [exactLogRatio([0.1, -0.4]), exactLogRatio([2, 0.3])];

/** On this runtime alone, whatever it computes. */
async function verifyAlone(source: BundleSource, runtime: Runtime): Promise<Verification> {
  const model = await openBundle(source, runtime, { selfTest: false });
  return model.verify().finally(() => model.dispose());
}

/** Verifies a bundle whose expected values of gradient.onnx are these. */
async function verify({ drift = Array.from(x.data as Float32Array, exactDrift), logRatio: ratio = logRatio }: { drift?: number[]; logRatio?: number[] }, options: FakeOptions = {}): Promise<Verification> {
  const files = {
    'verify/x.npy': encodeNpy(x),
    'verify/drift.npy': encodeNpy({ shape: [drift.length / 2, 2], data: Float32Array.from(drift) }),
    'verify/logRatio.npy': encodeNpy({ shape: [ratio.length], data: Float32Array.from(ratio) }),
  };
  const manifest = {
    ...fakeManifest(), tolerances: { default: { absolute: 0, relative: 0 }, cpu: { absolute: 0.01, relative: 0.1 } },
    verification: [{ graph: 'gradient', inputs: { x: 'verify/x.npy' }, outputs: { logRatio: 'verify/logRatio.npy', drift: 'verify/drift.npy' } }],
  };
  const runtime = fakeRuntime(options);
  const result = await verifyAlone(await fakeSource(manifest, files), runtime);
  expect(runtime.disposed).toEqual(runtime.loaded);
  return result;
}

describe('verify', () => {
  it('passes where everything is as expected', async () => {
    const { checks, ...rest } = await verify({}, { warnings: ['slow'] });
    expect(rest).toEqual({ provider: 'cpu', runtime: 'fake 1.0', passed: true, warnings: ['slow'] });
    expect(checks.map(({ graph, output, passed }) => [graph, output, passed])).toEqual([['gradient', 'logRatio', true], ['gradient', 'drift', true]]);
  });

  it('holds the largest error against absolute + relative · largest value, of this provider', async () => {
    const drift = Array.from(x.data as Float32Array, exactDrift);
    const largest = Math.max(...drift.map(Math.abs));
    const allowed = 0.01 + 0.1 * largest;
    for (const [change, passed] of [[0.99 * allowed, true], [-0.99 * allowed, true], [1.01 * allowed, false], [-1.01 * allowed, false]] as const) {
      // The smallest value changes, so that the largest stays what it is.
      const at = drift.findIndex((value) => Math.abs(value) === Math.min(...drift.map(Math.abs)));
      const { checks, passed: all } = await verify({ drift: drift.map((value, i) => (i === at ? value + change : value)) });
      expect(checks[1]!.error).toBeCloseTo(Math.abs(change), 5);
      expect(checks[1]!.allowed).toBeCloseTo(allowed, 5);
      expect([checks[0]!.passed, checks[1]!.passed, all]).toEqual([true, passed, passed]);
    }
  });

  it('fails on NaN, wherever it is', async () => {
    for (const logRatioWithNaN of [[NaN, logRatio[1]!], [logRatio[0]!, NaN]]) {
      const { checks, passed } = await verify({ logRatio: logRatioWithNaN });
      expect([checks[0]!.error, checks[0]!.passed, passed]).toEqual([NaN, false, false]);
    }
  });

  it('fails, saying why, where a graph does not run or returns another shape', async () => {
    expect((await verify({}, { onRun: () => { throw new Error('kernel not found'); } })).checks[1]).toEqual(
      { graph: 'gradient', output: 'drift', provider: '', error: NaN, allowed: 0, passed: false, message: 'gradient.onnx failed on cpu: kernel not found' });
    expect((await verify({ logRatio: [1, 2, 3] })).checks[0]!.message).toContain('gradient.onnx returned Float32Array of shape [2] as logRatio; expected: Float32Array of shape [3].');
  });

  it('names the provider of each check', async () => {
    const { provider, checks } = await verify({});
    expect(provider).toBe('cpu');
    expect(new Set(checks.map((check) => check.provider))).toEqual(new Set(['cpu']));
  });

  it('rejects once the model is disposed of', async () => {
    const files = { 'verify/x.npy': encodeNpy(x), 'verify/y.npy': encodeNpy({ shape: [2], data: Float32Array.from(logRatio) }) };
    const vector = { graph: 'ratio', inputs: { x: 'verify/x.npy' }, outputs: { logRatio: 'verify/y.npy' } };
    const model = await openBundle(await fakeSource({ ...fakeManifest(), verification: [vector] }, files), fakeRuntime());
    await model.dispose();
    await expect(model.verify()).rejects.toThrow('has been disposed of');
  });

  it('does not pass a bundle without vectors', async () => {
    expect(await verifyAlone(await fakeSource(), fakeRuntime())).toMatchObject({ passed: false, checks: [] });
  });

  it('throws where the bundle itself is damaged', async () => {
    const source = await fakeSource({ ...fakeManifest(), verification: [{ graph: 'ratio', inputs: { x: 'verify/x.npy' }, outputs: { logRatio: 'verify/x.npy' } }] }, { 'verify/x.npy': encodeNpy(x) });
    source.files.set('verify/x.npy', encodeNpy({ ...x, data: new Float32Array(4) }));
    await expect(verifyAlone(source, fakeRuntime())).rejects.toThrow('verify/x.npy has SHA-256');
  });
});
